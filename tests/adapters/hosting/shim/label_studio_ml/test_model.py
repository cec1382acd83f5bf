"""The class that models inherit; contract E.1 and E.2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.hosting.shim.label_studio_ml.cache import SqliteCache
from adapters.hosting.shim.label_studio_ml.model import LabelStudioMLBase, predict_fn, update_fn

CONFIG = """
<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">
<Label value="Airplane"/><Label value="Car" predicted_values="car, truck"/><Label value="Bus"/>
</RectangleLabels></View>
"""


def test_a_new_project_has_the_first_version_and_its_config(store: SqliteCache) -> None:
    model = LabelStudioMLBase(project_id="7", label_config=CONFIG)

    assert (model.project_id, str(model.model_version)) == ("7", "0.0.1")
    assert model.get("label_config") == model.label_config == CONFIG
    assert model.parsed_label_config["box"]["labels"] == ["Airplane", "Car", "Bus"]
    assert model.get_first_tag_occurence("RectangleLabels", "Image") == ("box", "image", "image")


def test_projects_do_not_see_each_others_values(store: SqliteCache) -> None:
    one, other = LabelStudioMLBase("7", label_config=CONFIG), LabelStudioMLBase("8", label_config=CONFIG)
    one.set("word", "mine")

    assert (one.get("word"), one.has("word"), other.get("word"), other.has("word")) == ("mine", True, None, False)
    with pytest.raises(ValueError, match="must be a string"):
        one.set("number", 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "value"), [('{"a": 1}', {"a": 1}), ("[1]", [1]), ("fast", {}), ("", {})])
def test_extra_params_are_read_from_their_text(text: str, value: Any, store: SqliteCache) -> None:
    model = LabelStudioMLBase("7", label_config=CONFIG)

    model.set_extra_params(text)

    assert model.extra_params == value


def test_a_version_is_raised_where_it_has_numbers(store: SqliteCache) -> None:
    """In the original, raising it has no effect."""
    model = LabelStudioMLBase("7", label_config=CONFIG)

    assert str(model.bump_model_version()) == model.get("model_version") == "0.1.0"
    model.set("model_version", "yolo")
    assert model.bump_model_version() == model.get("model_version") == "yolo"


def test_labels_are_mapped_by_predicted_values_then_by_name(store: SqliteCache) -> None:
    model = LabelStudioMLBase("7", label_config=CONFIG)

    assert model.build_label_map("box", ["car", "truck", "airplane", "person"]) == {
        "car": "Car",
        "truck": "Car",
        "airplane": "Airplane",
    }


def test_files_of_a_task_are_read_however_deep_they_are_named(
    store: SqliteCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text("inside")
    model = LabelStudioMLBase("7", label_config=CONFIG)
    monkeypatch.setattr(model, "get_local_path", lambda url, task_id: str(tmp_path / "text.txt"))
    data = {"a": ["s3://bucket/x.txt", "plain"], "b": {"c": "/data/upload/1.txt", "d": 5}}

    assert model.preload_task_data({"id": 1}, data) == {"a": ["inside", "plain"], "b": {"c": "inside", "d": 5}}
    assert model.preload_task_data({"id": 1}, "gs://b/x", read_file=False) == str(tmp_path / "text.txt")


def test_a_token_is_the_key_where_no_server_is_known(store: SqliteCache, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    model = LabelStudioMLBase(label_config=CONFIG, train_output={}, access_token="sent")
    assert model.get_label_studio_access_token() == "sent"

    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "key")
    assert model.get_label_studio_access_token() == "key"


def test_a_token_is_the_key_where_the_sdk_fails(store: SqliteCache, monkeypatch: pytest.MonkeyPatch) -> None:
    import label_studio_sdk

    def refuse(**kwargs: Any) -> Any:
        raise RuntimeError("no client")

    monkeypatch.setattr(label_studio_sdk, "LabelStudio", refuse, raising=False)
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "key")

    assert LabelStudioMLBase("7", label_config=CONFIG).get_label_studio_access_token() == "key"


def test_only_events_to_learn_from_are_learnt_from(store: SqliteCache) -> None:
    class Learner(LabelStudioMLBase):
        def fit(self, event: str, data: Any, **kwargs: Any) -> Any:
            return event, data, kwargs

    model = Learner("7", label_config=CONFIG)

    assert model.process_event("START_TRAINING", {}, "5", {}) == ("START_TRAINING", {}, {"job_id": "5"})
    assert model.process_event("TASKS_CREATED", {}, "5", {}) is None


def test_registered_functions_stand_in_for_a_class(store: SqliteCache) -> None:
    """E.3 #14."""
    model = LabelStudioMLBase("7", label_config=CONFIG)
    assert (model.predict([]), model.fit("START_TRAINING", {})) == (None, None)

    predict_fn(lambda tasks, context, helper, **kwargs: [helper.project_id, context, kwargs])
    update_fn(lambda event, data, helper, **kwargs: helper.set("event", event))

    assert model.predict([], context={}, login=None) == ["7", {}, {"login": None}]
    model.fit("START_TRAINING", {})
    assert model.get("event") == "START_TRAINING"


def test_the_first_generation_gets_its_config_and_output_and_no_store(store: SqliteCache) -> None:
    """E.2."""
    model = LabelStudioMLBase(label_config=CONFIG, train_output={"file": "x"}, hostname="http://ls", access_token="t")

    assert (model.label_config, model.train_output) == (CONFIG, {"file": "x"})
    assert (model.hostname, model.access_token) == ("http://ls", "t")
    assert list(model.parsed_label_config) == ["box"]
    assert store.values_of("label_config") == {}
