"""Tests of adapters/label_studio/webhook_event.py; bodies are those of section A.7 of the contract."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.label_studio import webhook_event
from adapters.label_studio.webhook_event import EventKind, WebhookEvent
from adapters.label_studio.wire import ProjectUid
from backend.errors import Invalid

PROJECT: dict[str, Any] = {
    "id": 7,
    "created_at": "2026-11-20T12:33:15.999999Z",
    "label_config": "<View/>",
    "task_data_password": "s3cret",
    "token": "s3cret",
}
UID = ProjectUid(7, 1795177995)
ANNOTATION: dict[str, Any] = {"id": 5, "result": [{"value": {"choices": ["s3cret"]}}], "task": 41, "project": 7}
TASK: dict[str, Any] = {"id": 41, "data": {"img": "s3cret"}}
CHANGED = EventKind.ANNOTATIONS_CHANGED
KEYS = ["action", "project", "annotation", "annotations", "task", "tasks", "id", "created_at", "label_config"]
ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inside, max_size=4),
    max_leaves=15,
)


class TestShapes:
    """C-060: every event of A.7.2 is understood."""

    def test_one_annotation(self):
        body = {"action": "ANNOTATION_UPDATED", "annotation": ANNOTATION, "task": TASK, "project": PROJECT}

        assert webhook_event.read(body) == WebhookEvent("ANNOTATION_UPDATED", CHANGED, UID, (5,), (41,))

    def test_many_annotations_under_the_singular_key(self):
        """C-063, lists."""
        annotations, tasks = [ANNOTATION, {**ANNOTATION, "id": 6, "task": 42}], [TASK, {**TASK, "id": 42}]
        body = {"action": "ANNOTATIONS_CREATED", "annotation": annotations, "task": tasks, "project": PROJECT}

        assert webhook_event.read(body) == WebhookEvent("ANNOTATIONS_CREATED", CHANGED, UID, (5, 6), (41, 42))

    def test_an_annotation_names_its_task_where_the_task_is_left_out(self):
        body = {"action": "ANNOTATION_CREATED", "annotation": ANNOTATION}

        assert webhook_event.read(body).task_ids == (41,)

    @pytest.mark.parametrize("action", ["ANNOTATIONS_DELETED", "ANNOTATION_DELETED"])
    def test_deleted_annotations_in_both_spellings(self, action: str):
        """C-063, deletions."""
        body = {"action": action, "annotations": [{"id": 5}, {"id": 6}], "project": PROJECT}

        assert webhook_event.read(body) == WebhookEvent(action, CHANGED, UID, (5, 6), ())

    @pytest.mark.parametrize("action", ["TASKS_CREATED", "TASKS_DELETED"])
    def test_tasks(self, action: str):
        body = {"action": action, "tasks": [{"id": 41}, {"id": 42}], "project": PROJECT}

        assert webhook_event.read(body) == WebhookEvent(action, EventKind.TASKS_CHANGED, UID, (), (41, 42))

    @pytest.mark.parametrize(
        ("action", "kind"),
        [("PROJECT_UPDATED", EventKind.CONFIG_CHANGED), ("START_TRAINING", EventKind.START_TRAINING)],
    )
    def test_what_is_about_the_project_carries_its_config(self, action: str, kind: EventKind):
        """C-067: whoever reads the event sees the new config."""
        event = webhook_event.read({"action": action, "project": PROJECT})

        assert event == WebhookEvent(action, kind, UID, label_config="<View/>")

    @pytest.mark.parametrize("action", ["LABEL_LINK_CREATED", "PROJECT_CREATED", "REVIEW_CREATED", "X", "日" * 500])
    def test_every_other_action_is_nothing_to_do(self, action: str):
        """C-061, unknown actions."""
        assert webhook_event.read({"action": action}) == WebhookEvent(action, EventKind.OTHER)

    def test_a_payload_may_be_switched_off(self):
        """C-061, no payload."""
        assert webhook_event.read({"action": "ANNOTATION_CREATED"}) == WebhookEvent("ANNOTATION_CREATED", CHANGED)


class TestRefusals:
    @pytest.mark.parametrize("body", [{}, {"action": None}, {"action": ""}, {"action": 3}, [], None, "START_TRAINING"])
    def test_an_action_is_needed(self, body: object):
        """C-062."""
        with pytest.raises(Invalid) as caught:
            webhook_event.read(body)

        assert caught.value.code == "webhook_action_missing"

    @ANY_SPEED
    @given(JSON, st.sampled_from(["START_TRAINING", "PROJECT_UPDATED", "ANNOTATION_CREATED", "TASKS_DELETED"]))
    def test_any_json_is_read_or_refused(self, body: object, action: str):
        with_action = {**body, "action": action} if isinstance(body, dict) else {"action": action, "project": body}

        assert webhook_event.read(with_action).action == action
        if not isinstance(body, dict) or not isinstance(body.get("action"), str):
            with pytest.raises(Invalid):
                webhook_event.read(body)


class TestProjectUid:
    """A.4 and A.7: the uid of an event equals the `project` of /setup and /predict."""

    @pytest.mark.parametrize(
        ("created_at", "seconds"),
        [
            ("2026-11-20T12:33:15Z", 1795177995),
            ("2026-11-20T12:33:15.999999Z", 1795177995),
            ("2026-11-20T14:33:15.000001+02:00", 1795177995),
            ("2026-11-20T12:33:15", 1795177995),
            ("2026-11-20", 1795132800),
            ("soon", None),
            ("0001-01-01T00:00:00+23:59", None),
            (1795177995, None),
            (None, None),
        ],
    )
    def test_seconds_are_those_of_utc_cut_not_rounded(self, created_at: object, seconds: int | None):
        event = webhook_event.read({"action": "START_TRAINING", "project": {"id": 7, "created_at": created_at}})

        assert event.project == ProjectUid(7, seconds)

    @pytest.mark.parametrize("project", [None, 7, "7.1795177995", [], {}, {"id": "7"}, {"id": True}, {"id": 10**30}])
    def test_without_an_id_there_is_no_uid(self, project: object):
        assert webhook_event.read({"action": "START_TRAINING", "project": project}).project is None


def test_contents_and_secrets_are_left_behind():
    """C-008; also C-069: what is queued is small, however large the body."""
    body = {"action": "ANNOTATION_CREATED", "annotation": ANNOTATION, "task": TASK, "project": PROJECT}

    event = webhook_event.read(body)

    assert "s3cret" not in repr({name: getattr(event, name) for name in WebhookEvent.__dataclass_fields__})
