import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from models import checkpoint, images
from models.examples import Example, Split
from models.families.semantic_segmentation.fit import fit, measured_size_px
from models.families.semantic_segmentation.predict import SemanticSegmenter, load
from models.family import FamilyError, FitSettings, Progress
from models.images import Image
from models.labels import Label, LabelSchema, Objective
from models.metrics import evaluate
from models.regions import Mask, Region

SCHEMA = LabelSchema(Objective.SEMANTIC_SEGMENTATION, (Label("red"), Label("blue")))
COLOURS = {"red": (210, 40, 40), "blue": (40, 40, 210)}
QUICK = FitSettings(max_epochs=12, image_px=64)


class Silence:
    def progress(self, progress: Progress) -> None:
        pass

    def log(self, line: str) -> None:
        pass


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty hub cache, and no way to the hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def paint(folder: Path, num: int, *, num_held_out: int = 0, size: int = 64) -> list[Example]:
    """Noisy images with a disc of each colour."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    examples = []
    for n in range(num):
        pixels = np.full((size, size, 3), 120.0)
        regions = []
        for at, label in enumerate(COLOURS):
            x, y = size * (0.25 + 0.5 * at), rng.uniform(0.25, 0.75) * size
            inside = np.hypot(rows - y, columns - x) < size * rng.uniform(0.12, 0.2)
            pixels[inside] = COLOURS[label]
            regions.append(Mask.from_array(label, inside))
        path = folder / f"{n:02}.png"
        PillowImage.fromarray(np.clip(pixels + rng.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)).save(path)
        examples.append(Example(path.name, path, tuple(regions), Split.HELD_OUT if n < num_held_out else Split.TRAIN))
    return examples


def learn(
    examples: list[Example], folder: Path, *, settings: FitSettings = QUICK, schema: LabelSchema = SCHEMA
) -> SemanticSegmenter:
    folder.mkdir(exist_ok=True)
    fit(examples, schema, settings, device="cpu", report=Silence(), folder=folder, weights=None)
    return load(folder, "cpu")


def score(segmenter: SemanticSegmenter, examples: list[Example]) -> float:
    answers = segmenter.predict([images.read(each.path, min_side_px=segmenter.min_side_px) for each in examples])
    truths = {example.key: example.regions for example in examples}
    return evaluate(SCHEMA, truths, dict(zip(truths, answers, strict=True))).primary


def test_a_fit_learns_measures_itself_and_paints_masks_of_the_natural_size(tmp_path: Path) -> None:
    examples = paint(tmp_path, 9, num_held_out=2)

    segmenter = learn(examples, tmp_path / "run")

    manifest = checkpoint.read_manifest(tmp_path / "run")
    assert manifest.metrics["primary"] > 0.7
    assert manifest.inputs["is_exclusive"] is True
    assert {mask.label for mask in manifest.held_out["00.png"]} == {"red", "blue"}
    assert score(segmenter, examples) > 0.75
    pixels = images.read(examples[0].path).pixels
    (masks,) = segmenter.predict([Image(pixels, 300, 200)])
    assert {(mask.width_px, mask.height_px) for mask in masks if isinstance(mask, Mask)} == {(300, 200)}


def test_labels_that_lie_on_each_other_are_both_painted(tmp_path: Path) -> None:
    examples = []
    for example in paint(tmp_path, 8):
        red, blue = (mask.to_array() for mask in example.regions if isinstance(mask, Mask))
        both = (Mask.from_array("red", red), Mask.from_array("blue", red | blue))
        examples.append(Example(example.key, example.path, both, example.split))

    segmenter = learn(examples, tmp_path / "run")

    assert checkpoint.read_manifest(tmp_path / "run").inputs["is_exclusive"] is False
    assert score(segmenter, examples) > 0.6


def test_odd_annotations_do_not_stop_a_fit(tmp_path: Path) -> None:
    good, empty, broken, scaled, none, unknown = paint(tmp_path, 6)
    blank = Mask.from_array("red", np.zeros((64, 64)))
    red = good.regions[0]
    assert isinstance(red, Mask)
    twice = Mask.from_array("red", np.kron(red.to_array(), np.ones((2, 2))))
    odd: dict[Example, tuple[Region, ...]] = {
        empty: (blank,),
        broken: (Mask("red", 64, 64, (7, 5)),),
        scaled: (twice,),
        none: (),
        unknown: (Mask.from_array("green", np.ones((64, 64))),),
    }
    examples = [good, *(Example(each.key, each.path, regions, each.split) for each, regions in odd.items())]

    segmenter = learn(examples, tmp_path / "run", settings=FitSettings(max_epochs=1, image_px=32))

    assert len(segmenter.predict([images.read(good.path)])) == 1


def test_a_set_without_anything_painted_is_refused(tmp_path: Path) -> None:
    (example,) = paint(tmp_path, 1)
    blank = Example("a", example.path, (Mask.from_array("red", np.zeros((64, 64))),), Split.TRAIN)

    with pytest.raises(FamilyError, match="Nothing is drawn"):
        learn([blank], tmp_path / "run")


def test_a_single_image_can_be_learnt(tmp_path: Path) -> None:
    segmenter = learn(paint(tmp_path, 1), tmp_path / "run", settings=FitSettings(max_epochs=1, image_px=32))

    assert segmenter.schema == SCHEMA


def test_odd_images_can_be_learnt_and_predicted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = {
        "grey.png": PillowImage.fromarray(rng.integers(0, 255, (30, 40), dtype=np.uint8)),
        "deep.png": PillowImage.fromarray(rng.integers(0, 40_000, (30, 40), dtype=np.uint16)),
        "palette.png": PillowImage.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)).quantize(16),
        "dot.png": PillowImage.fromarray(np.full((1, 1), 9, dtype=np.uint8)),
        "wide.png": PillowImage.fromarray(np.full((50, 20_000), 9, dtype=np.uint8)),
    }
    examples = []
    for name, picture in pictures.items():
        picture.save(tmp_path / name)
        mask = Mask.from_array("red", np.ones((picture.height, picture.width)))
        examples.append(Example(name, tmp_path / name, (mask,), Split.TRAIN))

    segmenter = learn(examples, tmp_path / "run", settings=FitSettings(max_epochs=2, image_px=32))

    read = [images.read(example.path, min_side_px=segmenter.min_side_px) for example in examples]
    for answers, picture in zip(segmenter.predict(read), pictures.values(), strict=True):
        for mask in answers:
            assert isinstance(mask, Mask)
            assert (mask.width_px, mask.height_px) == (picture.width, picture.height)


def test_masks_are_measured_at_the_size_at_which_they_were_painted_unless_it_is_very_large() -> None:
    def size(*painted: tuple[int, int]) -> tuple[int, int]:
        masks = [Mask("red", width, height, (0, width * height)) for width, height in painted]
        return measured_size_px([Mask("red", 9, 9, (81,)), *masks], otherwise=(64, 32))

    assert size((800, 600)) == (800, 600)
    assert size((4000, 3000)) == (1155, 866)
    assert size((20_000, 50)) == (20_000, 50)
    assert size() == (64, 32)


def test_twelve_megapixels_are_painted_within_seconds(tmp_path: Path) -> None:
    segmenter = learn(paint(tmp_path, 2), tmp_path / "run", settings=FitSettings(max_epochs=1, image_px=32))
    photo = Image(np.full((300, 400, 3), 120, dtype=np.uint8), 4000, 3000)

    start = time.thread_time()
    segmenter.predict([photo])

    assert time.thread_time() - start < 5


@pytest.mark.skipif("TANDEM_TEST_DATA" not in os.environ, reason="TANDEM_TEST_DATA names no folder with data sets")
def test_nuclei_are_painted_better_than_by_a_threshold(tmp_path: Path) -> None:
    folder = Path(os.environ["TANDEM_TEST_DATA"]) / "seg_nuclei"
    schema = LabelSchema(Objective.SEMANTIC_SEGMENTATION, (Label("nucleus"),))
    parts = []
    for part in ("train", "test"):
        examples = []
        for path in sorted((folder / part / "images").glob("*.png"))[:12]:
            with PillowImage.open(folder / part / "masks" / path.name) as opened:
                mask = Mask.from_array("nucleus", np.asarray(opened, dtype=np.int64) > 0)
            examples.append(Example(path.name, path, (mask,), Split.TRAIN))
        parts.append(examples)

    segmenter = learn(parts[0], tmp_path / "run", settings=FitSettings(max_epochs=8, image_px=128), schema=schema)

    truths = {example.key: example.regions for example in parts[1]}
    read = [images.read(example.path) for example in parts[1]]
    bright = [
        [Mask.from_array("nucleus", (grey := image.pixels.mean(2)) > (grey.min() + grey.max()) / 2)] for image in read
    ]
    learnt, simple = (
        evaluate(schema, truths, dict(zip(truths, answers, strict=True))).primary
        for answers in (segmenter.predict(read), bright)
    )
    assert learnt > max(0.6, simple)
