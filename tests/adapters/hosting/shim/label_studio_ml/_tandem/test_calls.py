"""How a model class is called; contract E.2, E.3 #5 … #8, #10."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.hosting.shim.label_studio_ml._tandem.calls import Calls
from adapters.hosting.shim.label_studio_ml.cache import SqliteCache
from adapters.hosting.shim.label_studio_ml.model import LabelStudioMLBase

CONFIG = '<View><Text name="t" value="$t"/></View>'
UID = "7.1795203195"
DATA = {"project": {"id": 7, "label_config": CONFIG}}

pytestmark = pytest.mark.usefixtures("store")


class Counting(LabelStudioMLBase):
    """Says how often it was constructed for the same instance, and takes no **kwargs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.num_asked = 0
        self.said = args, sorted(kwargs)

    def predict(self, tasks: Any, context: Any = None) -> Any:  # type: ignore[override]
        self.num_asked += 1
        return [{"result": [], "score": self.num_asked, "cluster": self.project_id} for _ in tasks]

    def fit(self, event: str, data: Any) -> Any:  # type: ignore[override]
        return {"constructed with": self.said, "annotation": data["annotation"]}


def ask(calls: Calls, *, project: str = UID, document: str = CONFIG) -> Any:
    body = {"tasks": [{}], "project": project, "label_config": document, "params": {"login": None, "context": None}}
    return calls.predict(body)["results"][0]


def test_a_model_is_constructed_for_each_request() -> None:
    calls = Calls(Counting, generation=2)

    assert [ask(calls)["score"] for _ in range(2)] == [1, 1]
    assert ask(calls)["cluster"] == "7"


def test_a_model_may_be_kept_by_project_and_config() -> None:
    calls = Calls(Counting, generation=2, keeps_models=True)

    scores = [ask(calls)["score"], ask(calls)["score"], ask(calls, project="8.1")["score"]]
    changed = ask(calls, document=CONFIG.replace("$t", "$u"))["score"]

    assert (scores, changed) == ([1, 2, 1], 1)


def test_an_event_constructs_a_model_with_the_id_by_position(store: SqliteCache) -> None:
    """E.3 #5."""
    calls = Calls(Counting, generation=2, keeps_models=True)
    data = {**DATA, "annotation": {"id": 5}}

    result = calls.fit({"event": "ANNOTATION_CREATED", "data": data, "job": "j"})["result"]

    assert result == {"constructed with": [["7"], ["label_config"]], "annotation": {"id": 5}}


def test_only_start_training_is_repeated_with_an_annotation() -> None:
    calls = Calls(Counting, generation=2)

    assert calls.fit({"event": "START_TRAINING", "data": DATA, "job": "j"})["result"]["annotation"] == {"project": 7}
    with pytest.raises(KeyError):
        calls.fit({"event": "ANNOTATION_UPDATED", "data": DATA, "job": "j"})


@pytest.mark.parametrize(
    ("sent", "seen"), [({}, {"a": 1}), ({"extra_params": None}, {}), ({"extra_params": {"b": [2]}}, {"b": [2]})]
)
def test_extra_params_stay_until_others_or_none_are_sent(sent: dict[str, Any], seen: Any) -> None:
    calls = Calls(LabelStudioMLBase, generation=2)
    calls.setup({"project": UID, "schema": CONFIG, "extra_params": {"a": 1}})

    calls.setup({"project": UID, "schema": CONFIG, **sent})

    assert LabelStudioMLBase("7", label_config=CONFIG).extra_params == seen


class First(LabelStudioMLBase):
    def predict(self, tasks: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return [{"result": [], "cluster": [self.train_output, self.hostname, sorted(kwargs)]} for _ in tasks]

    def fit(self, tasks: Any, workdir: str = "", **kwargs: Any) -> Any:  # type: ignore[override]
        return {"n": len(kwargs["data"])} if kwargs["event"] == "START_TRAINING" else None


@pytest.fixture
def train() -> Callable[[Calls, str, int], str]:
    def run(calls: Calls, event: str, project: int) -> str:
        calls.fit({"event": event, "data": {"project": {"id": project, "label_config": CONFIG}}, "job": "j"})
        return str(calls.setup({"project": f"{project}.1", "schema": CONFIG})["model_version"])

    return run


def test_a_job_of_the_first_generation_is_a_version_of_its_project(train: Any, store: SqliteCache) -> None:
    """E.2; each job has a number of its own, even within one second."""
    calls = Calls(First, generation=1)

    first, second = train(calls, "START_TRAINING", 7), train(calls, "START_TRAINING", 7)

    assert int(second) > int(first)
    assert ask(calls)["cluster"] == [{"n": 1, "job_id": second}, "", ["context", "login"]]
    assert ask(calls)["model_version"] == second
    assert calls.setup({"project": "8.1", "schema": CONFIG})["model_version"] == "INITIAL"


def test_a_job_that_returns_no_dict_leaves_the_version(train: Any) -> None:
    assert train(Calls(First, generation=1), "ANNOTATION_CREATED", 7) == "INITIAL"


@pytest.mark.parametrize("result", [{"n": 5}, {"status": "ok", "train_output": {"n": 5}, "version": "x"}])
def test_jobs_of_an_earlier_installation_count_for_every_project(result: Any, store: SqliteCache) -> None:
    folder = Path(store.path) / "1600000000"
    folder.mkdir(parents=True)
    (folder / "job_result.json").write_text(json.dumps(result))
    calls = Calls(First, generation=1)

    assert calls.setup({"project": UID, "schema": CONFIG, "hostname": "http://ls"})["model_version"] == "1600000000"
    assert ask(calls)["cluster"][:2] == [{"n": 5, "job_id": "1600000000"}, "http://ls"]
