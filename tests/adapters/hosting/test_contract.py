"""A hosted model of the second generation over HTTP: contract E.3 and C-128 … C-135."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient
from hosted_models import CONFIG, UID

from adapters.hosting.host import Host

FORMS = '''
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
from flask import request
from label_studio_ml.model import LabelStudioMLBase
from label_studio_ml.response import ModelResponse
from label_studio_sdk.label_interface.objects import PredictionValue


def said(label="good", **more):
    item = {"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": [label]}}
    return {"result": [item], "score": np.float32(0.5), **more}


class Forms(LabelStudioMLBase):
    """Answers in the form that the first task names."""

    def setup(self):
        self.seen = request.get_json()
        if "Broken" in (self.label_config or ""):
            raise ValueError("no control fits")

    def predict(self, tasks, context=None, **kwargs):
        form = tasks[0]["data"]["text"]
        if form == "response":
            return ModelResponse(predictions=[said() for _ in tasks], model_version="1.2.3")
        if form == "values":
            return [PredictionValue(**said()) for _ in tasks]
        if form == "dict":
            return {"predictions": [said() for _ in tasks]}
        if form == "one dict":
            return said()
        if form == "none":
            return None
        if form == "semver":
            return [said(model_version=self.model_version)]
        if form == "nan":
            return [{**said(), "score": float("nan")}]
        if form == "first only":
            return [said(tasks[0]["data"].get("label", "good"))]
        if form == "asserts":
            assert len(tasks) == 1
            return [said()]
        if form == "too many":
            return [said(), said("bad"), said()]
        if form == "unknown label":
            return [said("ugly")]
        if form == "context":
            return [said("good" if context == {"result": [{"id": "a"}]} else "bad")]
        if form == "kwargs":
            return [said("good" if kwargs == {"login": None, "password": None} else "bad")]
        if form == "request":
            return [said("good" if request.get_json()["project"] == "7.1795203195" else "bad")]
        if form == "params":
            return [said("good" if self.extra_params == {"threshold": 0.4} else "bad")]
        if form == "folder":
            return [said("good" if os.getcwd() == os.path.dirname(os.path.abspath(__file__)) else "bad")]
        if form == "slow":
            time.sleep(1.5)
            return [said()]
        if form == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("form " + form)
'''


@pytest.fixture(scope="module")
def forms(make_host: Callable[..., Host]) -> Host:
    return make_host(FORMS)


@pytest.fixture
def client(forms: Host, ask: Callable[..., FlaskClient]) -> FlaskClient:
    return ask(forms)


def labels(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.get_json()
    results = answer.get_json()["results"]
    return [item["value"]["choices"][0] for entry in results for item in entry["result"]]


@pytest.mark.parametrize("form", ["response", "values", "dict"])
def test_all_forms_of_an_answer_give_one_result_per_task(form: str, client: FlaskClient, predict: Any) -> None:
    """C-128."""
    assert labels(predict(client, form, "b", "c")) == ["good", "good", "good"]


def test_a_single_prediction_and_nothing_are_answers_too(client: FlaskClient, predict: Any) -> None:
    """C-128."""
    assert labels(predict(client, "one dict")) == ["good"]
    empty = predict(client, "none", "b").get_json()["results"]
    assert [entry["result"] for entry in empty] == [[], []]


def test_versions_and_scores_become_plain_json(client: FlaskClient, predict: Any) -> None:
    """C-128, C-005: a missing version is the stored one, a number of NumPy is a number, NaN is null."""
    [own] = predict(client, "response").get_json()["results"]
    [semver] = predict(client, "semver").get_json()["results"]
    [nan] = predict(client, "nan").get_json()["results"]

    assert (own["model_version"], own["score"]) == ("1.2.3", 0.5)
    assert semver["model_version"] == nan["model_version"] == "0.0.1"
    assert nan["score"] is None


def test_a_version_other_than_that_of_the_set_up_is_reported(client: FlaskClient, predict: Any) -> None:
    assert "says version '1.2.3' where the set-up says '0.0.1'" in predict(client, "response").get_json()["detail"]


def test_a_model_that_looks_at_the_first_task_only_is_asked_for_each(client: FlaskClient, predict: Any) -> None:
    """C-030."""
    assert labels(predict(client, *["first only"] * 5)) == ["good"] * 5


def test_a_model_that_asserts_one_task_predicts_five(client: FlaskClient, predict: Any) -> None:
    """C-129."""
    assert labels(predict(client, *["asserts"] * 5)) == ["good"] * 5


def test_more_entries_than_tasks_are_several_predictions_of_the_one_task(client: FlaskClient, predict: Any) -> None:
    [entry] = predict(client, "too many").get_json()["results"]

    assert [one["result"][0]["value"]["choices"] for one in entry] == [["good"], ["bad"], ["good"]]


def test_one_failing_task_leaves_the_others_their_predictions(client: FlaskClient, predict: Any) -> None:
    """C-029."""
    answer = predict(client, "asserts", "fails", "asserts")

    assert [len(entry["result"]) for entry in answer.get_json()["results"]] == [1, 0, 1]
    assert "task 2: RuntimeError: form fails" in answer.get_json()["detail"]


def test_a_failing_model_answers_500_with_its_sentence_and_no_traceback(client: FlaskClient, predict: Any) -> None:
    """C-038; Label Studio shows nothing but the reason phrase."""
    answer = predict(client, "fails")

    assert answer.status == "500 RuntimeError: form fails"
    assert answer.get_json() == {"detail": "RuntimeError: form fails", "code": "model_failed"}


def test_a_region_that_label_studio_refuses_is_left_out(client: FlaskClient, predict: Any) -> None:
    answer = predict(client, "unknown label").get_json()

    assert answer["results"][0]["result"] == []
    assert "ugly" in answer["detail"]


@pytest.mark.parametrize("form", ["kwargs", "request", "folder"])
def test_the_model_is_called_as_by_the_official_server(form: str, client: FlaskClient, predict: Any) -> None:
    """E.3 #2, #7, #9: the credentials but not the context as arguments, the whole request, its own folder."""
    assert labels(predict(client, form)) == ["good"]


def test_a_click_is_passed_on_and_answered_with_one_object(client: FlaskClient, predict: Any) -> None:
    """E.3 #7, C-049."""
    assert labels(predict(client, "context", context={"result": [{"id": "a"}]})) == ["good"]
    [entry] = predict(client, "too many", "b", context={"result": [{"id": "a"}]}).get_json()["results"]
    assert isinstance(entry, dict)


@pytest.mark.parametrize("context", [{"result": []}, {}, [], "text", 5])
def test_a_click_without_prompts_is_one_empty_result(context: Any, client: FlaskClient, predict: Any) -> None:
    """C-046, C-047, C-048."""
    [entry] = predict(client, "fails", context=context).get_json()["results"]

    assert entry["result"] == []


def test_extra_params_reach_the_model_decoded(client: FlaskClient, predict: Any) -> None:
    """C-132; nothing sent takes them back."""
    for sent, seen in (
        ({"threshold": 0.4}, "good"),
        ('{"threshold": 0.4}', "good"),
        ("", "bad"),
        ("plain text", "bad"),
    ):
        body = {"project": UID, "schema": CONFIG, "extra_params": sent}
        assert client.post("/setup", json=body).get_json() == {"model_version": "0.0.1"}
        assert labels(predict(client, "params")) == [seen]


def test_set_up_has_a_request_and_a_refusal_says_why(client: FlaskClient) -> None:
    """C-022, C-134: `setup()` reads flask.request."""
    body = {"project": UID, "schema": CONFIG.replace("<View>", '<View><Header value="Broken"/>')}

    answer = client.post("/setup", json=body)

    assert answer.status == "400 The model refuses this project: ValueError: no control fits"
    assert client.get("/health").status_code == 200


def test_a_prediction_without_label_config_uses_that_of_the_set_up(client: FlaskClient) -> None:
    client.post("/setup", json={"project": UID, "schema": CONFIG})
    tasks = [{"data": {"text": "dict"}}]

    assert labels(client.post("/predict", json={"tasks": tasks, "project": UID})) == ["good"]
    assert client.post("/predict", json={"tasks": tasks, "project": "8.1"}).status_code == 400


def test_health_and_set_up_do_not_wait_for_a_prediction(client: FlaskClient, predict: Any) -> None:
    """C-011, C-017."""
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(predict, client, "slow")
        time.sleep(0.2)
        started = time.monotonic()
        health = client.get("/health")
        health_s = time.monotonic() - started
        version = client.post("/setup", json={"project": UID, "schema": CONFIG})
        is_running = not slow.done()

    assert health.get_json() == {"status": "UP", "model_class": "Forms", "ready": True}
    assert health_s < 0.2
    assert version.get_json() == {"model_version": "0.0.1"}
    assert is_running
    assert labels(slow.result()) == ["good"]


def test_a_killed_model_is_reported_and_started_again(client: FlaskClient, predict: Any) -> None:
    answer = predict(client, "kill")

    assert answer.status == "503 the model's process ended with signal SIGKILL"
    assert answer.headers["Retry-After"] == "5"
    assert client.get("/health").status_code == 200
    assert labels(predict(client, "dict")) == ["good"]


def test_every_path_answers_json(client: FlaskClient) -> None:
    """C-001, C-002, C-009, C-032."""
    assert client.get("/a/b/health/").get_json()["status"] == "UP"
    assert client.get("/versions").get_json() == {"versions": ["0.0.1"]}
    assert client.get("/metrics").get_json() == {}
    assert client.get("/nothing").get_json()["code"] == "not_found"
    assert client.get("/predict").get_json()["code"] == "method_not_allowed"
    assert client.post("/predict", data=b"{").status_code == 400
    assert client.post("/predict", json={"tasks": {}}).status_code == 400
    assert client.post("/predict", json={"tasks": []}).get_json() == {"results": []}
    assert client.post("/job_status", json={"job": "none"}).status_code == 410


def test_an_event_that_the_model_cannot_learn_from_is_ignored(client: FlaskClient, event: Any) -> None:
    """The class has no fit; C-061."""
    for body in (event("START_TRAINING"), event("ANNOTATION_CREATED"), event("SOMETHING"), {"action": "X"}):
        assert client.post("/webhook", json=body).get_json()["status"] == "ignored"


def test_passwords_are_asked_for(forms: Host, ask: Callable[..., FlaskClient], event: Any) -> None:
    """A.12: Label Studio's own events carry none, so they count for projects set up by somebody who knew it."""
    client = ask(forms, basic_auth_user="u", basic_auth_pass="p")
    right = {"auth": ("u", "p")}

    assert client.get("/health").status_code == 401
    assert client.get("/health", auth=("u", "wrong")).headers["WWW-Authenticate"].startswith("Basic")
    assert client.get("/health", **right).status_code == 200
    assert client.post("/webhook", json=event("START_TRAINING")).status_code == 401
    assert client.post("/webhook", json={**event("ANNOTATION_CREATED"), "project": {"id": 99}}).status_code == 403
    assert client.post("/setup", json={"project": UID, "schema": CONFIG}, **right).status_code == 200
    assert client.post("/webhook", json=event("ANNOTATION_CREATED")).status_code == 200
