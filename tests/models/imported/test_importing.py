from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as PillowImage

from models import images
from models.catalog import predictor_loader
from models.family import FamilyError
from models.imported.importing import import_onnx
from models.labels import Objective
from models.regions import Box

WEIGHTS = Path(os.environ.get("TANDEM_TEST_MODELS", "absent"))
DATA = Path(os.environ.get("TANDEM_TEST_DATA", "absent"))
real_files = pytest.mark.skipif(
    not (WEIGHTS.is_dir() and DATA.is_dir()),
    reason="TANDEM_TEST_MODELS and TANDEM_TEST_DATA do not name folders",
)


def write_constant(path: Path, output: np.ndarray, *, shape: tuple[int, ...] = (1, 3, 64, 64), names: str = "") -> Path:  # type: ignore[type-arg]
    """Write a model that answers the same whatever it sees."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
            helper.make_node("Add", ["answer", "zero"], ["output"]),
        ],
        "constant",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, output.shape)],
        [
            numpy_helper.from_array(output.astype(np.float32), "answer"),
            numpy_helper.from_array(np.float32(0), "nothing"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if names:
        helper.set_model_props(model, {"names": names})
    onnx.save(model, path)
    return path


def two_overlapping_boxes() -> np.ndarray:  # type: ignore[type-arg]
    rows = np.zeros((1, 4 + 2, 84), dtype=np.float32)
    rows[0, :, 3] = [16, 32, 16, 16, 0.9, 0.0]
    rows[0, :, 4] = [17, 32, 16, 16, 0.8, 0.0]
    rows[0, :, 5] = [48, 32, 16, 16, 0.0, 0.6]
    rows[0, :, 6] = [48, 16, 8, 8, 0.0, 0.1]
    return rows


@pytest.fixture
def photo() -> images.Image:
    return images.Image(np.zeros((50, 100, 3), dtype=np.uint8), 100, 50)


def test_a_detector_answers_with_the_names_that_its_file_says_and_without_overlaps(
    tmp_path: Path, photo: images.Image
) -> None:
    file = write_constant(tmp_path / "yolo.onnx", two_overlapping_boxes(), names="{0: 'cat', 1: 'dog'}")

    manifest = import_onnx(file, tmp_path / "out", Objective.DETECTION)
    [found] = predictor_loader(manifest.family)(tmp_path / "out", "cpu").predict([photo])

    assert manifest.inputs["layout"] == "yolov8"
    assert [(box.label, box.score) for box in found] == [("cat", 0.9), ("dog", 0.6)]
    # The input shows the photo from row 16 to 48; a box from (8, 24) to (24, 40) covers its middle half.
    assert isinstance(found[0], Box)
    assert found[0].bounds == pytest.approx((8 / 64, 0.25, 24 / 64, 0.75))


@pytest.mark.parametrize(
    ("output", "objective", "answers"),
    [
        ([[0.1, 0.7, 0.2]], Objective.CLASSIFICATION, [("b", 0.7), ("c", 0.2), ("a", 0.1)]),
        ([[0.0, 2.0, 0.0]], Objective.CLASSIFICATION, [("b", 0.786986), ("a", 0.106507), ("c", 0.106507)]),
        ([[0.9, 0.7, 0.2]], Objective.MULTI_LABEL, [("a", 0.9), ("b", 0.7)]),
        ([[-2.0, 0.0, 2.0]], Objective.MULTI_LABEL, [("c", 0.880797), ("b", 0.5)]),
    ],
)
def test_a_classifier_answers_with_probabilities(
    tmp_path: Path,
    photo: images.Image,
    output: list[list[float]],
    objective: Objective,
    answers: list[tuple[str, float]],
) -> None:
    file = write_constant(tmp_path / "c.onnx", np.float32(output))

    manifest = import_onnx(file, tmp_path / "out", objective, names=["a", "b", "c"])
    [found] = predictor_loader(manifest.family)(tmp_path / "out", "cpu").predict([photo])

    assert [(choice.label, choice.score) for choice in found] == [(n, pytest.approx(s, abs=1e-5)) for n, s in answers]


@pytest.mark.parametrize(
    ("output", "shape", "objective", "names", "reason"),
    [
        (np.zeros((1, 3)), (1, 3, 64, 64), Objective.CLASSIFICATION, [], "does not name them"),
        (np.zeros((1, 3)), (1, 3, 64, 64), Objective.CLASSIFICATION, ["a"], "has 3 labels and 1 names were given"),
        (np.zeros((1, 3)), (1, 3, 64, 64), Objective.KEY_POINTS, ["a"], "not key points"),
        (np.zeros((1, 3)), (1, 7), Objective.CLASSIFICATION, ["a"], "should take one image"),
        (np.zeros((1, 3)), (1, 3, 64, 64), Objective.DETECTION, ["a"], "no known layout"),
        (two_overlapping_boxes(), (1, 3, 64, 64), Objective.DETECTION, ["a"], "has 2 labels and 1 names"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_do(
    tmp_path: Path,
    output: np.ndarray,  # type: ignore[type-arg]
    shape: tuple[int, ...],
    objective: Objective,
    names: list[str],
    reason: str,
) -> None:
    file = write_constant(tmp_path / "m.onnx", output, shape=shape)

    with pytest.raises(FamilyError, match=reason):
        import_onnx(file, tmp_path / "out", objective, names=names)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")

    with pytest.raises(FamilyError, match=r"m\.onnx cannot be loaded"):
        import_onnx(tmp_path / "m.onnx", tmp_path / "out", Objective.DETECTION)


def test_a_layout_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    file = write_constant(tmp_path / "m.onnx", two_overlapping_boxes())

    with pytest.raises(FamilyError, match="not those of the layout torchvision"):
        import_onnx(file, tmp_path / "out", Objective.DETECTION, names=["a", "b"], layout="torchvision")


@real_files
@pytest.mark.parametrize(
    ("file", "layout"), [("yolox_nano/yolox_nano.onnx", "yolox"), ("fastestdet/FastestDet.onnx", "fastestdet")]
)
def test_real_detectors_find_things_in_photos_of_glass(tmp_path: Path, file: str, layout: str) -> None:
    coco = (WEIGHTS / "yolox_nano" / "coco.names").read_text().split("\n")
    photos = sorted((DATA / "cls_trash" / "train" / "glass").glob("*.jpg"))

    manifest = import_onnx(WEIGHTS / file, tmp_path, Objective.DETECTION, names=[n for n in coco if n], min_score=0.3)
    found = predictor_loader(manifest.family)(tmp_path, "cpu").predict([images.read(photo) for photo in photos])

    labels = Counter(box.label for boxes in found for box in boxes[:1])
    assert manifest.inputs["layout"] == layout
    assert sum(labels[name] for name in ("bottle", "vase", "cup", "wine glass")) >= 4, labels


@real_files
def test_a_real_face_detector_has_one_label_and_its_background(tmp_path: Path) -> None:
    file = WEIGHTS / "ultraface" / "version-RFB-320.onnx"

    manifest = import_onnx(file, tmp_path, Objective.DETECTION, names=["face"], min_score=0.7)
    noise = PillowImage.effect_noise((320, 240), 40).convert("RGB")
    [found] = predictor_loader("onnx_detector")(tmp_path, "cpu").predict([images.Image(np.asarray(noise), 320, 240)])

    assert (manifest.inputs["layout"], found) == ("ssd", [])


@real_files
def test_a_real_classifier_in_half_precision_knows_bottles(tmp_path: Path) -> None:
    changes = {"is_bgr": True, "scale": 1.0, "mean": (104.0, 117.0, 123.0), "std": (1.0, 1.0, 1.0)}
    names = [f"class {number}" for number in range(1000)]
    photos = sorted((DATA / "cls_trash" / "train" / "glass").glob("*.jpg"))

    file = WEIGHTS / "squeezenet_fp16" / "SqueezeNet_fp16.onnx"
    import_onnx(file, tmp_path, Objective.CLASSIFICATION, names=names, changes=changes)
    found = predictor_loader("onnx_classifier")(tmp_path, "cpu").predict([images.read(photo) for photo in photos])

    bottles = {"class 440", "class 720", "class 737", "class 898", "class 907"}  # beer, pill, pop, water, wine
    # By chance five of a thousand classes would name one of these for about one photo of forty.
    assert sum(bool(bottles & {choice.label for choice in answer}) for answer in found) >= 4
