"""`init_app`, as models' own tests use it; contract E.1, E.3 #1."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.hosting.shim.label_studio_ml.api import init_app, initialised
from adapters.hosting.shim.label_studio_ml.cache import SqliteCache
from adapters.hosting.shim.label_studio_ml.model import LabelStudioMLBase

PROJECT = {"id": 7, "label_config": "<View/>"}


class Mine(LabelStudioMLBase):
    def predict(self, tasks: Any, context: Any = None, **kwargs: Any) -> Any:
        return [{"result": [], "score": 0.5} for _ in tasks]

    def fit(self, event: str, data: Any, **kwargs: Any) -> Any:
        return {"event": event, "keys": sorted(data)}


def test_an_application_answers_as_the_official_one(store: SqliteCache) -> None:
    client = init_app(model_class=Mine).test_client()

    assert initialised()[-1] is Mine
    assert client.get("/health").get_json() == {"status": "UP", "model_class": "Mine"}
    assert client.post("/setup", json={"project": "7.1", "schema": "<View/>"}).get_json() == {"model_version": "0.0.1"}
    said = client.post("/predict", json={"tasks": [{}, {}], "project": "7.1", "label_config": "<View/>"})
    assert said.get_json() == {"results": [{"result": [], "score": 0.5, "model_version": "0.0.1"}] * 2}
    learnt = client.post("/webhook", json={"action": "START_TRAINING", "project": PROJECT})
    assert (learnt.status_code, learnt.get_json()["result"]) == (201, {"event": "START_TRAINING", "keys": ["project"]})
    assert client.post("/webhook", json={"action": "OTHER"}).get_json() == {"status": "Unknown event"}
    assert client.get("/metrics").get_json() == {}


def test_a_failure_has_a_sentence_and_no_traceback(store: SqliteCache) -> None:
    """N-11."""
    client = init_app(model_class=Mine).test_client()

    answer = client.post("/predict", json={"tasks": [{}], "label_config": "<View"})

    assert answer.status_code == 500
    assert "Traceback" not in answer.get_data(as_text=True)
    assert client.get("/nothing").get_json()["detail"]


def test_a_password_is_asked_for(store: SqliteCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASIC_AUTH_USER", "u")
    monkeypatch.setenv("BASIC_AUTH_PASS", "p")
    client = init_app(model_class=Mine).test_client()

    assert client.get("/health").status_code == 401
    assert client.get("/health", auth=("u", "p")).status_code == 200


def test_only_models_are_served() -> None:
    with pytest.raises(ValueError, match="subclass of LabelStudioMLBase"):
        init_app(model_class=dict)  # type: ignore[arg-type]
