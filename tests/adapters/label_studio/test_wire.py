"""Tests of adapters/label_studio/wire.py; bodies are those of sections A.4, A.5 and A.9 of the contract."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.label_studio import wire
from adapters.label_studio.wire import ExtraParams, PredictRequest, ProjectUid, SetupRequest
from backend.errors import Invalid

SETUP: dict[str, Any] = {
    "project": "7.1795203195",
    "schema": "<View/>",
    "hostname": "https://ls.example.org",
    "access_token": "s3cret-token",
    "extra_params": {"threshold": 0.4},
}
PREDICT: dict[str, Any] = {
    "tasks": [
        {"id": 41, "data": {"img": "/data/upload/7/9c1-bridge.jpg"}, "meta": {}, "annotations": [], "predictions": []}
    ],
    "project": "7.1795203195",
    "label_config": "<View/>",
    "params": {"login": "s3cret-login", "password": "s3cret-password", "context": None},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=10,
)
ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
BODIES = [
    wire.SetupRequest,
    wire.PredictRequest,
    wire.TrainRequest,
    wire.JobStatusRequest,
    wire.ValidateRequest,
    wire.VersionsRequest,
    wire.DeleteRequest,
    wire.DuplicateModelRequest,
]


def refusal(model: type[wire.Body], body: object) -> str:
    with pytest.raises(Invalid) as caught:
        wire.read(model, body)
    message = caught.value.message
    assert len(message) <= 150
    assert message.isascii()
    assert message.isprintable()
    return message


class TestSetup:
    def test_the_body_of_label_studio_is_read(self):
        """C-016, the request."""
        setup = wire.read(SetupRequest, SETUP)

        assert setup.project == ProjectUid(7, 1795203195)
        assert setup.label_config == "<View/>"
        assert setup.hostname == "https://ls.example.org"
        assert setup.access_token is not None
        assert setup.access_token.get_secret_value() == "s3cret-token"
        assert setup.extra_params.values == {"threshold": 0.4}

    def test_only_project_and_schema_are_needed_and_unknown_fields_are_ignored(self):
        """C-003."""
        body = {"project": "7.1", "schema": "<View/>", "force_reload": True, "hostname": None, "access_token": None}

        setup = wire.read(SetupRequest, body)

        assert (setup.hostname, setup.access_token, setup.extra_params) == (None, None, ExtraParams())

    @pytest.mark.parametrize(
        ("sent", "values", "text"),
        [
            (None, {}, None),
            ("", {}, None),
            ("fast", {}, "fast"),
            ('{"a": 1}', {"a": 1}, None),
            ({"a": 1}, {"a": 1}, None),
            ([1, 2], {}, "[1, 2]"),
            ("[1, 2]", {}, "[1, 2]"),
            (0.5, {}, "0.5"),
            ('{"a": NaN}', {}, '{"a": NaN}'),
            ("[" * 100_000, {}, "[" * 100_000),
            ("9" * 5_000, {}, "9" * 5_000),
        ],
    )
    def test_extra_params_may_be_anything(self, sent: object, values: dict[str, Any], text: str | None):
        """C-019."""
        params = wire.read(SetupRequest, {**SETUP, "extra_params": sent}).extra_params

        assert (params.values, params.text) == (values, text)

    def test_extra_params_nested_beyond_reason_are_refused(self):
        params: list[Any] = []
        for _ in range(100_000):
            params = [params]

        assert refusal(SetupRequest, {**SETUP, "extra_params": params}) == "extra_params: is nested too deeply."

    @pytest.mark.parametrize(
        "project", ["", "seven", "7.", ".5", "7.1.2", "-7.1", "7.1e9", "٧.1", "9" * 30, 7.5, True, []]
    )
    def test_a_malformed_project_is_refused(self, project: object):
        """C-023."""
        with pytest.raises(Invalid) as caught:
            wire.read(SetupRequest, {**SETUP, "project": project})

        assert caught.value.code == "project_uid_invalid"

    @pytest.mark.parametrize(("project", "written"), [("7.1795203195", "7.1795203195"), ("7", "7"), (7, "7")])
    def test_a_uid_is_written_as_it_was_read(self, project: object, written: str):
        assert str(ProjectUid.parse(project)) == written

    def test_uids_of_two_installations_differ(self):
        """C-021."""
        assert ProjectUid.parse("7.1") != ProjectUid.parse("7.2")


class TestPredict:
    def test_the_body_of_label_studio_is_read(self):
        request = wire.read(PredictRequest, PREDICT)

        assert [(task.id, task.data) for task in request.tasks] == [(41, {"img": "/data/upload/7/9c1-bridge.jpg"})]
        assert request.params.login is not None
        assert request.params.login.get_secret_value() == "s3cret-login"
        assert request.params.context is None

    @pytest.mark.parametrize("params", [None, {}, [], "text", 3, {"login": None, "password": None, "context": None}])
    def test_params_may_be_missing_or_nonsense(self, params: object):
        """C-031."""
        request = wire.read(PredictRequest, {"tasks": [], "params": params})

        assert request.params == wire.PredictParams()
        assert (request.project, request.label_config, request.tasks) == (None, None, [])  # C-032, first half

    @pytest.mark.parametrize("context", [[], [1], "text", 3, {}, {"result": []}])
    def test_a_context_may_be_any_json(self, context: object):
        """C-048."""
        assert wire.read(PredictRequest, {"tasks": [{}], "params": {"context": context}}).params.context == context

    @pytest.mark.parametrize("tasks", [None, {}, "text", 3])
    def test_tasks_must_be_a_list(self, tasks: object):
        """C-032, second half."""
        assert refusal(PredictRequest, {"tasks": tasks}).startswith("tasks: ")

    @pytest.mark.parametrize("task_id", [41, "41", None, 2**62])
    def test_a_task_keeps_its_id(self, task_id: object):
        assert wire.read(PredictRequest, {"tasks": [{"id": task_id}]}).tasks[0].id == task_id

    def test_an_id_that_no_database_holds_is_refused(self):
        assert "tasks.0.id" in refusal(PredictRequest, {"tasks": [{"id": 10**30}]})


class TestOlderClients:
    def test_a_training_request_carries_annotated_tasks(self):
        """C-072, the request."""
        annotation = {"id": 5, "result": [{"from_name": "pet"}], "was_cancelled": None, "ground_truth": True}
        body = {"project": "7.1", "annotations": [{"id": 1, "data": {}, "annotations": [annotation]}], "params": {}}

        (task,) = wire.read(wire.TrainRequest, body).annotations

        assert task.annotations == [wire.Annotation(id=5, result=[{"from_name": "pet"}], ground_truth=True)]
        assert task.annotations[0].was_cancelled is False

    def test_other_bodies_are_read(self):
        """C-073, C-074."""
        assert wire.read(wire.JobStatusRequest, {"job": "j1"}).job == "j1"
        assert wire.read(wire.ValidateRequest, {"config": "<View/>"}).config == "<View/>"
        assert wire.read(wire.VersionsRequest, {}).project is None
        assert wire.read(wire.DeleteRequest, {"project": "7.1"}).project == ProjectUid(7, 1)
        duplicate = wire.read(wire.DuplicateModelRequest, {"project_src": "7.1", "project_dst": "8.2"})
        assert (duplicate.project_src, duplicate.project_dst) == (ProjectUid(7, 1), ProjectUid(8, 2))


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({"schema": "<View/>"}, "project: field required."),
            ({"project": "7.1"}, "schema: field required."),
            ({"project": "7.1", "schema": 5, "hostname": []}, "schema: should be a valid string (and 1 more)."),
            ([], "The body: should be a valid dictionary or instance of SetupRequest."),
        ],
    )
    def test_a_message_names_the_field_and_what_was_expected(self, body: object, message: str):
        """C-009: a client's mistake has an answer."""
        assert refusal(SetupRequest, body) == message

    def test_a_message_names_no_input_and_no_library(self):
        with pytest.raises(ValidationError) as caught:
            SetupRequest.model_validate({**SETUP, "schema": 5, "access_token": ["s3cret-token"]})

        message = wire.validation_message(caught.value)

        assert "s3cret" not in message + str(caught.value)
        assert "pydantic" not in message

    def test_a_refusal_has_no_trace_of_the_input(self):
        """C-008: a logged traceback would show causes and contexts too."""
        with pytest.raises(Invalid) as caught:
            wire.read(SetupRequest, {**SETUP, "schema": 5})

        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    @pytest.mark.parametrize("model", BODIES)
    @ANY_SPEED
    @given(body=JSON)
    def test_any_json_is_read_or_refused(self, model: type[wire.Body], body: object):
        fields = {field.alias or name: body for name, field in model.model_fields.items()}
        messages: list[str] = []

        for sent in (body, fields, {**fields, "project": "7.1"}):
            try:
                wire.read(model, sent)
            except Invalid as error:
                messages.append(error.message)

        assert all(len(message) <= 150 and message.isascii() for message in messages)


class TestSecrets:
    @pytest.mark.parametrize(("model", "body"), [(SetupRequest, SETUP), (PredictRequest, PREDICT)])
    def test_no_repr_shows_one(self, model: type[wire.Body], body: dict[str, Any]):
        """C-008."""
        context = {"project_credentials_password": "s3cret-context"}
        sent = json.loads(json.dumps(body))
        if "params" in sent:
            sent["params"]["context"] = context

        request = wire.read(model, {**sent, "extra_params": {"key": "s3cret-key"}})

        assert "s3cret" not in repr(request) + str(request)
