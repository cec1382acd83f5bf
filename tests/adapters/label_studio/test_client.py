"""What Label Studio says arrives as our words, and what goes wrong says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from doubles import Answer, FakeLabelStudio, as_json, make_jwt, redirect

from adapters.label_studio.client import SETUP_FAULTS, LabelStudio
from adapters.label_studio.tokens import KeyKind
from backend.errors import Denied, Invalid, NotFound, TandemError, Unavailable

PROJECT = {"id": 7, "title": "Cats", "label_config": "<View/>", "created_at": "2026-11-20T10:33:15.987654Z"}


@pytest.fixture(params=["pat", "legacy_token"])
def client(request: pytest.FixtureRequest, fake_label_studio: FakeLabelStudio) -> LabelStudio:
    return LabelStudio(fake_label_studio.url, getattr(fake_label_studio, request.param))


def test_a_key_of_either_kind_tells_who_we_are(client: LabelStudio) -> None:
    assert client.whoami() == "admin@example.com"


def test_the_release_is_told_without_a_key(fake_label_studio: FakeLabelStudio) -> None:
    assert LabelStudio(fake_label_studio.url, "").version() == "1.23.2"


def test_a_project_has_the_uid_that_setup_names(fake_label_studio: FakeLabelStudio, client: LabelStudio) -> None:
    fake_label_studio.projects[7] = PROJECT

    project = client.get_project(7)

    assert (project.id, project.title, project.label_config) == (7, "Cats", "<View/>")
    assert project.uid == "7.1795170795"


def test_an_unknown_project_is_not_found(client: LabelStudio) -> None:
    with pytest.raises(NotFound, match="404 to /api/projects/8"):
        client.get_project(8)


def test_annotated_tasks_come_complete_page_by_page(fake_label_studio: FakeLabelStudio, client: LabelStudio) -> None:
    fake_label_studio.tasks[7] = [_task(number, num_annotations=number % 2) for number in range(1, 1002)]

    tasks = list(client.fetch_annotated_tasks(7))

    assert [task["id"] for task in tasks] == list(range(1, 1002, 2))
    assert tasks[0] == _task(1, num_annotations=1)
    assert len(fake_label_studio.asked_for("/api/tasks/")) == 4


def test_tasks_deleted_between_pages_hide_no_others(fake_label_studio: FakeLabelStudio, client: LabelStudio) -> None:
    fake_label_studio.tasks[7] = [_task(number, num_annotations=1) for number in range(1, 501)]
    tasks = client.fetch_annotated_tasks(7)
    seen = [next(tasks)["id"]]

    del fake_label_studio.tasks[7][:100]
    seen += [task["id"] for task in tasks]

    assert seen == list(range(1, 501))


def test_reading_tasks_asks_for_no_predictions_and_no_signed_addresses(
    fake_label_studio: FakeLabelStudio, client: LabelStudio
) -> None:
    fake_label_studio.tasks[7] = [_task(1, num_annotations=1)]

    list(client.fetch_annotated_tasks(7))

    query = fake_label_studio.asked_for("/api/tasks/")[0].query
    assert (query["review"], query["resolve_uri"]) == ("true", "false")


def test_a_server_that_ignores_the_order_does_not_hold_us_forever(
    fake_label_studio: FakeLabelStudio, client: LabelStudio
) -> None:
    fake_label_studio.break_path("/api/tasks/", as_json({"tasks": [_task(1, num_annotations=1)]}), times=9)

    with pytest.raises(Unavailable, match="out of order"):
        list(client.fetch_annotated_tasks(7))


def test_tasks_of_a_project_that_is_gone_are_not_found(client: LabelStudio) -> None:
    with pytest.raises(NotFound):
        list(client.fetch_annotated_tasks(8))


def test_an_access_token_that_label_studio_forgot_is_renewed(fake_label_studio: FakeLabelStudio) -> None:
    client = LabelStudio(fake_label_studio.url, fake_label_studio.pat)
    client.whoami()
    fake_label_studio.access_tokens.clear()

    assert client.whoami() == "admin@example.com"

    assert len(fake_label_studio.asked_for("/api/token/refresh/")) == 2


@pytest.mark.parametrize(
    ("token", "kind", "reason"),
    [
        ("", KeyKind.NONE, "LABEL_STUDIO_API_KEY is not set"),
        ("f" * 40, KeyKind.LEGACY, "legacy tokens are disabled"),
        (make_jwt(token_type="refresh", exp=10**12), KeyKind.PERSONAL, "revoked"),
        (make_jwt(token_type="access", exp=10**12), KeyKind.ACCESS, "lasts five minutes"),
        (make_jwt(token_type="refresh", exp=1), KeyKind.PERSONAL, "expired on 1970-01-01"),
    ],
)
def test_a_refused_key_says_why_and_what_to_do(
    fake_label_studio: FakeLabelStudio, token: str, kind: KeyKind, reason: str
) -> None:
    client = LabelStudio(fake_label_studio.url, token)

    with pytest.raises(Denied, match=reason) as refused:
        client.whoami()

    assert client.key_kind is kind
    assert refused.value.code in SETUP_FAULTS
    assert "create a personal access token" in refused.value.message
    assert not token or token not in refused.value.message


def test_legacy_tokens_disabled_in_label_studio_are_named_as_a_reason() -> None:
    with FakeLabelStudio(legacy_enabled=False) as server:
        client = LabelStudio(server.url, server.legacy_token)

        with pytest.raises(Denied, match="legacy tokens are disabled for the organization"):
            client.whoami()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (redirect("https://ls.example.org/api/current-user/whoami", 301), "set LABEL_STUDIO_URL"),
        (Answer(body=b"<html>", headers={"Content-Type": "text/html"}), "does not speak Label Studio's JSON"),
        (Answer(502), "answered 502"),
    ],
)
def test_something_else_at_the_address_is_a_fault_of_the_setup(
    fake_label_studio: FakeLabelStudio, answer: Answer, expected: str
) -> None:
    client = LabelStudio(fake_label_studio.url, fake_label_studio.legacy_token)
    fake_label_studio.break_path("/api/current-user", answer)

    with pytest.raises(Unavailable, match=expected) as failed:
        client.whoami()

    assert failed.value.code in SETUP_FAULTS


def test_a_server_that_is_down_is_a_fault_of_the_setup() -> None:
    with FakeLabelStudio() as server:
        url = server.url

    with pytest.raises(Unavailable, match="check LABEL_STUDIO_URL") as failed:
        LabelStudio(url, "abc").whoami()

    assert failed.value.code in SETUP_FAULTS


@pytest.mark.parametrize("url", ["", "ls.example.org", "ftp://ls.example.org", "http://"])
def test_an_address_without_scheme_or_host_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="LABEL_STUDIO_URL should look like"):
        LabelStudio(url, "abc")


def test_a_server_that_came_with_a_request_must_have_a_public_address(fake_label_studio: FakeLabelStudio) -> None:
    client = LabelStudio(fake_label_studio.url, "abc", allow_private=False)

    with pytest.raises(TandemError) as refused:
        client.whoami()

    assert refused.value.code == "media_private_address"
    assert fake_label_studio.asked == []


def test_a_netrc_file_does_not_replace_our_token(
    fake_label_studio: FakeLabelStudio, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    assert LabelStudio(fake_label_studio.url, fake_label_studio.legacy_token).whoami() == "admin@example.com"


def test_a_subpath_installation_exchanges_tokens_below_its_path() -> None:
    with FakeLabelStudio(base_path="/label-studio") as server:
        assert LabelStudio(f"{server.url}/", server.pat).whoami() == "admin@example.com"


def _task(task_id: int, *, num_annotations: int) -> dict[str, Any]:
    annotation = {
        "id": 1000 + task_id,
        "result": [{"from_name": "c", "to_name": "i", "type": "choices", "value": {"choices": ["cat"]}}],
        "was_cancelled": False,
        "ground_truth": False,
        "updated_at": "2026-11-20T10:33:15Z",
        "completed_by": 1,
    }
    return {"id": task_id, "data": {"image": f"s3://b/{task_id}.png"}, "annotations": [annotation] * num_annotations}
