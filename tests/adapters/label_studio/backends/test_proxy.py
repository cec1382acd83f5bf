"""/api/ml with LABEL_STUDIO_URL: Label Studio keeps the registry, and we pass on what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import CONFIG, CREATED_AT, add_version, task
from doubles import Answer, FakeLabelStudio, FakeWeb, InlineQueue, as_json
from flask.testing import FlaskClient

from backend.projects.service import Mirror
from backend.services import Services

BACKEND = {"id": 3, "project": 7, "url": "http://elsewhere", "state": "CO"}


@pytest.fixture
def label_studio(fake_label_studio: FakeLabelStudio) -> FakeLabelStudio:
    """A Label Studio with a backend for project 7."""
    fake_label_studio.connections.append(BACKEND)
    fake_label_studio.answers |= {
        "/api/ml/3": as_json(BACKEND),
        "/api/ml/3/train": Answer(200),
        "/api/ml/9": Answer(404, b"<html>Not found</html>", {"Content-Type": "text/html"}),
    }
    fake_label_studio.projects[7] = {"id": 7, "title": "Colours", "label_config": CONFIG, "created_at": CREATED_AT}
    return fake_label_studio


@pytest.fixture
def behind(caller, label_studio: FakeLabelStudio, make_client: Callable[..., FlaskClient], queue: InlineQueue):
    """`caller`, of a server in front of that Label Studio."""
    caller.client = make_client(
        queue=queue, label_studio_url=label_studio.url, label_studio_api_key=label_studio.legacy_token
    )
    return caller


def test_what_is_asked_and_answered_is_passed_on(behind, label_studio: FakeLabelStudio) -> None:
    """N-014."""
    listed = behind.ask("GET", "/v1/api/ml?project=7&is_interactive=true")
    made = behind.ask("POST", "/api/ml", json={"project": 7, "url": "http://elsewhere"})
    trained = behind.ask("POST", "/api/ml/3/train/", json={})
    missing = behind.ask("GET", "/api/ml/9")

    assert listed.get_json() == [BACKEND]
    assert listed.headers["X-Backend-Mode"] == "proxy"
    asked = label_studio.asked_for("/api/ml")
    assert [(each.method, each.path) for each in asked] == [
        ("GET", "/api/ml/"),
        ("POST", "/api/ml/"),
        ("POST", "/api/ml/3/train"),
        ("GET", "/api/ml/9"),
    ]
    assert asked[0].query == {"project": "7", "is_interactive": "true"}
    assert json.loads(asked[1].body) == {"project": 7, "url": "http://elsewhere"}
    assert made.status_code == 201
    assert (trained.status_code, trained.data) == (200, b"")
    assert (missing.status_code, missing.mimetype) == (404, "text/html")


def test_a_test_request_is_passed_on(behind, label_studio: FakeLabelStudio) -> None:
    label_studio.answers["/api/ml/3/predict/test"] = as_json({"status": 200})

    assert behind.ok("POST", "/v1/api/ml/3/predict/test?random=true") == {"status": 200}
    assert label_studio.asked[-1].query == {"random": "true"}


def test_a_form_is_passed_on_as_it_is(behind, label_studio: FakeLabelStudio) -> None:
    behind.ask("POST", "/api/ml/", data={"project": "7"})

    [asked] = label_studio.asked_for("/api/ml/")
    assert (asked.body, asked.headers["content-type"]) == (b"project=7", "application/x-www-form-urlencoded")


def test_a_request_that_is_repeated_under_its_key_is_passed_on_once(behind, label_studio: FakeLabelStudio) -> None:
    answers = [
        behind.ask("POST", "/api/ml", json={"project": 7}, headers={"Idempotency-Key": "again"}) for _ in range(2)
    ]

    assert answers[0].get_json() == answers[1].get_json()
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert len(label_studio.asked_for("/api/ml/")) == 1


def test_our_keys_speak_with_the_servers_token(behind, label_studio: FakeLabelStudio) -> None:
    behind.ok("GET", "/api/ml/3")

    assert [asked.authorization for asked in label_studio.asked] == [f"Token {label_studio.legacy_token}"]


def test_a_personal_access_token_is_renewed_where_it_was_refused(
    caller, label_studio: FakeLabelStudio, make_client: Callable[..., FlaskClient]
) -> None:
    caller.client = make_client(label_studio_url=label_studio.url, label_studio_api_key=label_studio.pat)
    caller.ok("GET", "/api/ml/3")
    label_studio.access_tokens.clear()

    assert caller.ok("GET", "/api/ml/3") == BACKEND


def test_label_studios_own_tokens_are_left_to_it_to_judge(
    behind, client: FlaskClient, label_studio: FakeLabelStudio
) -> None:
    theirs = {"Authorization": f"Token  {label_studio.legacy_token}"}
    wrong = {"Authorization": "Token 0000"}

    answers = [behind.client.get("/api/ml/3", headers=headers) for headers in (theirs, wrong)]

    assert [answer.status_code for answer in answers] == [200, 401]
    assert "credentials were not provided" in answers[1].get_json()["detail"]


@pytest.mark.parametrize("header", [None, "Basic YTpi", "Bearer mlp_live_aaaaaaaaaaaaaaaaaaaaaaaa", "Bearer abc"])
def test_whoever_has_neither_is_refused_here(behind, label_studio: FakeLabelStudio, header: str | None) -> None:
    response = behind.client.get("/api/ml/3", headers={"Authorization": header} if header else {})

    assert (response.status_code, response.headers["X-Backend-Mode"]) == (401, "proxy")
    assert label_studio.asked == []


def test_a_key_does_what_its_scopes_say(behind, make_caller, label_studio: FakeLabelStudio) -> None:
    reader = make_caller(scopes=["backends:read"])
    reader.client = behind.client

    assert reader.ask("POST", "/api/ml/3/train").status_code == 403
    assert reader.ask("GET", "/api/ml/3").status_code == 200
    assert len(label_studio.asked) == 1


def test_a_token_of_ours_that_is_refused_is_not_the_callers_fault(
    caller, label_studio: FakeLabelStudio, make_client: Callable[..., FlaskClient]
) -> None:
    caller.client = make_client(label_studio_url=label_studio.url, label_studio_api_key="wrong")

    response = caller.ask("GET", "/api/ml/3")

    assert (response.status_code, response.get_json()["code"]) == (502, "UPSTREAM_ERROR")


def test_a_label_studio_that_does_not_answer_is_named(caller, make_client: Callable[..., FlaskClient]) -> None:
    caller.client = make_client(label_studio_url="http://127.0.0.1:1", label_studio_api_key="x")

    response = caller.ask("GET", "/api/ml/3")

    assert (response.status_code, response.get_json()["code"]) == (502, "UPSTREAM_ERROR")


# What Label Studio's free edition has no route for.


@pytest.fixture
def tasks(label_studio: FakeLabelStudio) -> list[dict[str, Any]]:
    """Twelve tasks without predictions."""
    label_studio.tasks[7] = [task(number, ("red", "green")[number % 2]) for number in range(1, 13)]
    return label_studio.tasks[7]


@pytest.fixture
def work(
    work: Callable[[], None], label_studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """With a token for that Label Studio."""
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.legacy_token)
    return work


def test_as_many_tasks_are_predicted_as_wanted_and_then_the_others(
    behind,
    services: Services,
    mirror: Mirror,
    tmp_path: Path,
    tasks: list[dict[str, Any]],
    work: Callable[[], None],
    label_studio: FakeLabelStudio,
) -> None:
    """N-011."""
    add_version(services, mirror.label_sets[0], tmp_path)

    answered, written = [], []
    for path in ("?batch_size=5", "", ""):
        answered.append(behind.ok("POST", f"/v1/api/ml/3/predict{path}"))
        work()
        written.append(len(label_studio.predictions))

    assert [(each["tasks"], each["batch_size"]) for each in answered] == [(5, 5), (7, None), (0, None)]
    assert written == [5, 12, 12]
    assert answered[0]["run_id"] == f"inf_{answered[0]['job_id']}"
    assert answered[2]["job_id"] is None
    assert {made["task"] for made in label_studio.predictions} == set(range(1, 13))


def test_tasks_are_predicted_by_what_is_behind_the_address(
    behind,
    services: Services,
    mirror: Mirror,
    tmp_path: Path,
    tasks: list[dict[str, Any]],
    work: Callable[[], None],
    label_studio: FakeLabelStudio,
    fake_web: FakeWeb,
) -> None:
    """N-011, N-014."""
    add_version(services, mirror.label_sets[0], tmp_path)
    answers = as_json({"results": [{"result": [], "score": 0.5}] * 5})
    fake_web.answers |= {"/health": as_json({"model_class": "Mine"}), "/predict": answers}
    fake_web.answers["/setup"] = as_json({"model_version": "theirs"})
    label_studio.answers["/api/ml/3"] = as_json({**BACKEND, "url": fake_web.url, "timeout": 3.0})

    answered = behind.ok("POST", "/api/ml/3/predict?batch_size=5")
    work()

    assert (answered["tasks"], answered["run_id"]) == (5, None)
    assert [made["model_version"] for made in label_studio.predictions] == ["theirs"] * 5


def test_asking_twice_makes_one_job(
    behind, services: Services, mirror: Mirror, tmp_path: Path, tasks: list[dict[str, Any]]
) -> None:
    add_version(services, mirror.label_sets[0], tmp_path)

    first, second = (behind.ok("POST", "/api/ml/3/predict") for _ in range(2))

    assert first["job_id"] == second["job_id"]


def test_nothing_is_predicted_before_something_was_trained(behind, mirror: Mirror) -> None:
    response = behind.ask("POST", "/api/ml/3/predict")

    assert (response.status_code, response.get_json()["code"]) == (409, "MODEL_NOT_READY")


def test_a_backend_that_label_studio_does_not_know_is_not_predicted_with(behind) -> None:
    assert behind.ask("POST", "/api/ml/9/predict").status_code == 404


def test_a_batch_size_of_nothing_is_refused(behind, mirror: Mirror) -> None:
    assert list(behind.wrong("POST", "/api/ml/3/predict?batch_size=0")) == ["batch_size"]
