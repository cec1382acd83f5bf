from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import TensorProto, helper, numpy_helper

from backend.projects.service import Mirror
from backend.services import Services

Tandem = Callable[..., Result]


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A model that says tiger, dog or car by which colour is brightest."""
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Mul", ["flat", "ten"], ["logits"]),
        ],
        "brightest",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.float32(10), "ten")],
    )
    path = tmp_path / "brightest.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def names(folder: Path, *labels: str) -> str:
    path = folder / "names.txt"
    path.write_text("\n".join(labels) + "\n")
    return str(path)


def test_an_added_model_answers_as_a_version_of_the_control(
    tandem: Tandem, services: Services, project: Mirror, classifier: Path, tmp_path: Path
) -> None:
    said = tandem("models", "add", str(classifier), "--names", names(tmp_path, "Cat", "dog", "car"))

    assert said.exit_code == 0, said.output
    current = services.versions.current(services.projects.get(project.project.id).label_sets)
    [version] = current.values()
    assert said.output.startswith(f"{version.name} answers from now on")
    assert version.family == "onnx_classifier"
    assert version.weights_source == "imported from brightest.onnx"
    assert "'cat' is what the model calls 'Cat'" in said.output


def test_labels_that_the_model_does_not_know_are_named(
    tandem: Tandem, project: Mirror, classifier: Path, tmp_path: Path
) -> None:
    said = tandem("models", "add", str(classifier), "--names", names(tmp_path, "cat", "tiger", "car"), "--json")
    in_words = tandem("models", "add", str(classifier), "--names", names(tmp_path, "cat", "tiger", "car"))

    assert json.loads(said.output)["labels"] == {"cat": ["cat"], "dog": []}
    assert "the model knows nothing called 'dog'; give such labels predicted_values" in in_words.output


@pytest.mark.parametrize(
    ("labels", "options", "reason"),
    [
        (("cat", "dog"), (), "has 3 labels and 2 names were given"),
        (("lion", "tiger", "bear"), (), "(lion, tiger, bear …) is one of the config (cat, dog)"),
        (("cat", "dog", "car"), ("--layout", "yolo99"), "--layout should be one of yolox"),
        (("cat", "dog", "car"), ("--mean", "1,2"), "should be three numbers"),
        (("cat", "dog", "car"), ("--label-set", "mood"), "say which label set"),
    ],
)  # fmt: skip
def test_what_cannot_be_added_is_refused_with_what_to_do(
    tandem: Tandem, project: Mirror, classifier: Path, tmp_path: Path,
    labels: tuple[str, ...], options: tuple[str, ...], reason: str,
) -> None:  # fmt: skip
    said = tandem("models", "add", str(classifier), "--names", names(tmp_path, *labels), *options)

    assert said.exit_code != 0
    assert reason in " ".join(said.output.replace("│", " ").split())


def test_families_and_layouts_are_listed(tandem: Tandem) -> None:
    listed = json.loads(tandem("models", "list", "--json").output)

    assert {"image_classification", "onnx_detector"} <= {family["name"] for family in listed["families"]}
    assert "yolox" in listed["layouts"]
    assert "YOLOX, undecoded" in tandem("models", "list").output
