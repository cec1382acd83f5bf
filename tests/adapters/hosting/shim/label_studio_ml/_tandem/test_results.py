"""Whatever `predict` returns → plain entries; contract E.3 #10 and C-128."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.label_interface.objects import PredictionValue

from adapters.hosting.shim.label_studio_ml._tandem.results import empty, entries, one_prediction, only_entry, plain
from adapters.hosting.shim.label_studio_ml._tandem.semantic_version import Version
from adapters.hosting.shim.label_studio_ml.response import ModelResponse

REGION = {"from_name": "a", "to_name": "b", "type": "choices", "value": {"choices": ["x"]}}
SAID = {"result": [REGION], "score": 0.5, "model_version": "v"}


@pytest.mark.parametrize(
    "response",
    [
        ModelResponse(predictions=[PredictionValue(result=[REGION], score=0.5)], model_version="v"),
        ModelResponse(predictions=[PredictionValue(result=[REGION], score=0.5, model_version="v")]),
        {"predictions": [{"result": [REGION], "score": 0.5}], "model_version": "v"},
        [PredictionValue(result=[REGION], score=0.5, model_version="v")],
        ({"result": (REGION,), "score": np.float64(0.5), "model_version": "v"} for _ in range(1)),
        {"result": [REGION], "score": "0.5", "model_version": "v"},
        {"result": [[REGION]], "score": [0.5], "model_version": "v"},
    ],
)
def test_one_prediction_in_any_form_is_the_same_entry(response: Any) -> None:
    assert entries(response, "stored") == [SAID]


def test_what_is_missing_is_filled() -> None:
    assert entries([{"result": [REGION]}], "stored") == [{**SAID, "score": None, "model_version": "stored"}]
    assert entries([{"result": None, "score": float("nan")}], "s") == [{**empty("s"), "score": None}]
    assert entries(None, "s") == []
    assert entries([None], "s") == [empty("s")]


def test_regions_without_a_prediction_around_them_are_one() -> None:
    assert entries([[REGION, REGION]], "v") == [{"result": [REGION, REGION], "score": None, "model_version": "v"}]


def test_several_predictions_of_a_task_stay_together() -> None:
    [entry] = entries([[SAID, SAID]], "v")

    assert entry == [SAID, SAID]
    assert only_entry([SAID, SAID], "v") == [SAID, SAID]
    assert one_prediction([SAID, SAID], "v") == SAID
    assert one_prediction([], "v") == empty("v")


def test_a_text_is_no_answer() -> None:
    with pytest.raises(TypeError, match="a list of predictions is expected"):
        entries("good", "v")


def test_everything_becomes_json() -> None:
    """C-005."""
    value = {
        "scalars": [np.float32(0.25), np.int64(3), np.bool_(True), float("inf"), Version("1.2.3")],
        "array": np.arange(3),
        "nested": ({1}, (None,)),
        7: object,
    }

    text = json.dumps(plain(value), allow_nan=False)

    assert json.loads(text)["scalars"] == [0.25, 3, True, None, "1.2.3"]
    assert json.loads(text)["array"] == [0, 1, 2]
    assert json.loads(text)["nested"] == [[1], [None]]
    assert "7" in json.loads(text)
