import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from models import checkpoint, images
from models.examples import Example, Split
from models.families.image_classification.fit import fit
from models.families.image_classification.predict import load
from models.family import FamilyError, FitSettings, Progress
from models.images import Image
from models.labels import Label, LabelSchema, Objective
from models.learning.vision import load_torchvision
from models.regions import Choice

Paint = Callable[..., list[Example]]
QUICK = FitSettings(max_epochs=3, image_px=32)
COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220)}


class Recorder:
    """A report that remembers."""

    def __init__(self) -> None:
        self.steps: list[Progress] = []
        self.lines: list[str] = []

    def progress(self, progress: Progress) -> None:
        self.steps.append(progress)

    def log(self, line: str) -> None:
        self.lines.append(line)


def make_schema(*names: str, objective: Objective = Objective.CLASSIFICATION) -> LabelSchema:
    return LabelSchema(objective, tuple(map(Label, names)))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def paint(tmp_path: Path) -> Callable[..., list[Example]]:
    """A function that paints noisy squares, one colour per label; every fourth is held out."""

    def paint_examples(labels: Sequence[str], *, num_each: int, held_out: bool = False) -> list[Example]:
        rng = np.random.default_rng(0)
        examples = []
        for label in labels:
            for n in range(num_each):
                noise = rng.normal(0, 25, (20, 24, 3))
                pixels = np.clip(np.array(COLOURS[label]) + noise, 0, 255).astype(np.uint8)
                path = tmp_path / f"{label}{n}.png"
                PillowImage.fromarray(pixels).save(path)
                split = Split.HELD_OUT if held_out and n % 4 == 3 else Split.TRAIN
                examples.append(Example(path.name, path, (Choice(label),), split))
        return examples

    return paint_examples


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty hub cache, and no way to the hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def learn(
    examples: list[Example],
    schema: LabelSchema,
    folder: Path,
    *,
    settings: FitSettings = QUICK,
    recorder: Recorder | None = None,
    weights: Path | None = None,
) -> Path:
    folder.mkdir(exist_ok=True)
    fit(examples, schema, settings, device="cpu", report=recorder or Recorder(), folder=folder, weights=weights)
    return folder


def answer(folder: Path, examples: list[Example]) -> list[list[str]]:
    predictor = load(folder, "cpu")
    pictures = [images.read(example.path, min_side_px=predictor.min_side_px) for example in examples]
    return [[region.label for region in regions] for regions in predictor.predict(pictures)]


def same_weights(one: Path, other: Path) -> bool:
    states = [torch.load(folder / checkpoint.WEIGHTS, weights_only=True) for folder in (one, other)]
    return states[0].keys() == states[1].keys() and all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_a_fit_learns_measures_itself_and_leaves_a_whole_checkpoint(
    paint: Paint, tmp_path: Path, recorder: Recorder
) -> None:
    examples = paint(["red", "green", "blue"], num_each=8, held_out=True)

    folder = learn(examples, make_schema("red", "green", "blue", "never"), tmp_path / "run", recorder=recorder)

    assert sorted(path.name for path in folder.iterdir()) == sorted(checkpoint.FILES)
    assert answer(folder, examples) == [[region.label for region in example.regions] for example in examples]
    manifest = checkpoint.read_manifest(folder)
    held_out = {example.key for example in examples if example.split is Split.HELD_OUT}
    assert set(manifest.held_out) == held_out
    assert manifest.metrics["num_held_out"] == manifest.metrics["num_examples"] == len(held_out) == 6
    assert manifest.metrics["accuracy"] == 1
    assert manifest.metrics["is_refit_on_all_labels"] is True
    assert "random" in manifest.weights_source
    fractions = [step.fraction for step in recorder.steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert {step.stage for step in recorder.steps} >= {"evaluating", "training on all labels", "exporting"}
    assert all("loss" in step.metrics for step in recorder.steps if step.stage == "evaluating")


def test_every_answer_has_a_score_between_zero_and_one(paint: Paint, tmp_path: Path) -> None:
    examples = paint(["red", "green"], num_each=4)
    folder = learn(examples, make_schema("red", "green"), tmp_path / "run")

    odd = [Image(np.full(shape, 90, dtype=np.uint8), 1, 1) for shape in ((1, 1, 3), (1, 500, 3), (200, 2, 3))]
    answers = load(folder, "cpu").predict(odd * 20)

    assert len(answers) == 60
    assert all(len(regions) == 1 and 0.5 <= (regions[0].score or 0) <= 1 for regions in answers)
    assert load(folder, "cpu").predict([]) == []


def test_with_nothing_held_out_there_are_no_metrics_and_the_manifest_says_so(paint: Paint, tmp_path: Path) -> None:
    folder = learn(paint(["red", "green"], num_each=3), make_schema("red", "green"), tmp_path / "run")

    manifest = checkpoint.read_manifest(folder)
    assert manifest.metrics["num_held_out"] == 0
    assert "accuracy" not in manifest.metrics
    assert manifest.held_out == {}


def test_the_same_examples_in_another_order_give_the_same_weights(paint: Paint, tmp_path: Path) -> None:
    examples = paint(["red", "green"], num_each=5, held_out=True)
    schema = make_schema("red", "green")

    one = learn(examples, schema, tmp_path / "one")
    other = learn(examples[::-1], schema, tmp_path / "other")

    assert same_weights(one, other)
    assert checkpoint.read_manifest(one) == checkpoint.read_manifest(other)
    assert (one / checkpoint.WEIGHTS).read_bytes() == (other / checkpoint.WEIGHTS).read_bytes()


def test_another_seed_gives_other_weights(paint: Paint, tmp_path: Path) -> None:
    examples, schema = paint(["red", "green"], num_each=3), make_schema("red", "green")

    one = learn(examples, schema, tmp_path / "one")
    other = learn(examples, schema, tmp_path / "other", settings=dataclasses.replace(QUICK, seed=1))

    assert not same_weights(one, other)


_KILLED_FIT = """
import json, sys
from pathlib import Path
from models.examples import Example, Split
from models.families.image_classification.fit import fit
from models.family import FitSettings
from models.labels import Label, LabelSchema, Objective
from models.regions import Choice

class Report:
    def progress(self, progress):
        print(progress.stage, progress.epoch, flush=True)
        if [progress.stage, progress.epoch] == json.loads(sys.argv[2]):
            sys.stdin.read()  # wait to be killed
    def log(self, line):
        pass

work = json.loads(sys.argv[1])
examples = [Example(k, Path(p), (Choice(l),), Split(s)) for k, p, l, s in work["examples"]]
schema = LabelSchema(Objective.CLASSIFICATION, tuple(map(Label, work["labels"])))
fit(examples, schema, FitSettings(**work["settings"]), device="cpu", report=Report(), folder=Path(work["folder"]),
    weights=None)
"""


@pytest.mark.parametrize("moment", [["evaluating", 2], ["training on all labels", 1]])
def test_a_killed_fit_goes_on_and_ends_with_the_weights_of_an_uninterrupted_one(
    paint: Paint, tmp_path: Path, moment: list[object]
) -> None:
    examples = paint(["red", "green"], num_each=4, held_out=True)
    whole = learn(examples, make_schema("red", "green"), tmp_path / "whole")
    killed = tmp_path / "killed"
    killed.mkdir()
    work = {
        "examples": [[e.key, str(e.path), e.regions[0].label, e.split] for e in examples],
        "labels": ["red", "green"],
        "settings": dataclasses.asdict(QUICK),
        "folder": str(killed),
    }

    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED_FIT, json.dumps(work), json.dumps(moment)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert any(line.split() == " ".join(map(str, moment)).split() for line in process.stdout)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (killed / checkpoint.MANIFEST).exists()
    recorder = Recorder()
    learn(examples, make_schema("red", "green"), killed, recorder=recorder)

    assert same_weights(whole, killed)
    assert checkpoint.read_manifest(whole) == checkpoint.read_manifest(killed)
    repeated = [step.epoch for step in recorder.steps if step.stage == moment[0]]
    assert 1 not in repeated or moment[1] == 0


def test_a_checkpoint_answers_in_a_fresh_process_without_torch(paint: Paint, tmp_path: Path) -> None:
    examples = paint(["red", "green"], num_each=3)
    folder = learn(examples, make_schema("red", "green"), tmp_path / "run")
    code = (
        "import sys; from pathlib import Path; from models import catalog, images;"
        "predictor = catalog.predictor_loader('image_classification')(Path(sys.argv[1]), 'cpu');"
        "print(predictor.predict([images.read(Path(sys.argv[2]))])[0][0].label);"
        "assert not {'torch', 'torchvision'} & set(sys.modules)"
    )

    result = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(examples[0].path)], check=True, capture_output=True, text=True
    )

    assert result.stdout.split() == ["red"]


def test_the_stored_weights_are_tensors_that_load_without_running_code(paint: Paint, tmp_path: Path) -> None:
    folder = learn(paint(["red", "green"], num_each=3), make_schema("red", "green"), tmp_path / "run")

    state = torch.load(folder / checkpoint.WEIGHTS, weights_only=True)

    assert all(torch.isfinite(tensor).all() for tensor in state.values() if tensor.is_floating_point())


def test_one_unreadable_image_is_skipped_with_a_log_line(paint: Paint, tmp_path: Path, recorder: Recorder) -> None:
    examples = paint(["red", "green"], num_each=3)
    examples[1].path.write_bytes(b"no image")

    folder = learn(examples, make_schema("red", "green"), tmp_path / "run", recorder=recorder)

    assert (folder / checkpoint.MANIFEST).exists()
    assert any(examples[1].key in line for line in recorder.lines)


def test_a_label_with_one_image_and_images_of_every_kind_do_no_harm(paint: Paint, tmp_path: Path) -> None:
    examples = paint(["red", "green"], num_each=3)
    odd = {
        "grey.png": PillowImage.new("L", (9, 7), 128),
        "palette.png": PillowImage.new("RGB", (9, 7), (9, 200, 9)).convert("P"),
        "cmyk.jpg": PillowImage.new("CMYK", (9, 7), (200, 0, 200, 0)),
        "deep.png": PillowImage.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) * 1000),
        "dot.png": PillowImage.new("RGB", (1, 1), (0, 255, 0)),
        "line.png": PillowImage.new("RGB", (300, 1), (0, 255, 0)),
    }
    for name, picture in odd.items():
        picture.save(tmp_path / name)
        examples.append(Example(name, tmp_path / name, (Choice("green"),), Split.TRAIN))
    examples.append(Example("once", examples[0].path, (Choice("blue"),), Split.TRAIN))

    folder = learn(examples, make_schema("red", "green", "blue"), tmp_path / "run")

    assert len(answer(folder, examples)) == len(examples)


def test_multi_label_examples_may_have_no_label_at_all(paint: Paint, tmp_path: Path) -> None:
    painted = paint(["red", "green"], num_each=8, held_out=True)
    schema = make_schema("reddish", "never", objective=Objective.MULTI_LABEL)
    examples = [
        dataclasses.replace(e, regions=(Choice("reddish"),) if e.regions[0].label == "red" else ()) for e in painted
    ]

    folder = learn(examples, schema, tmp_path / "run")

    assert answer(folder, examples) == [[region.label for region in example.regions] for example in examples]
    manifest = checkpoint.read_manifest(folder)
    assert manifest.metrics["primary"] == manifest.metrics["micro_f1"] == 1


@pytest.mark.parametrize(
    ("labels", "num_each", "sentence"),
    [(["red"], 6, "same one"), (["red", "green"], 1, "two images or more")],
)
def test_too_few_labels_or_images_are_refused_with_a_sentence(
    paint: Paint, tmp_path: Path, labels: list[str], num_each: int, sentence: str
) -> None:
    with pytest.raises(FamilyError, match=sentence):
        learn(paint(labels, num_each=num_each), make_schema("red", "green"), tmp_path / "run")


def test_a_multi_label_set_without_any_contrast_is_refused(paint: Paint, tmp_path: Path) -> None:
    with pytest.raises(FamilyError, match="not to some other"):
        learn(paint(["red"], num_each=4), make_schema("red", objective=Objective.MULTI_LABEL), tmp_path / "run")


def test_no_examples_and_no_readable_image_are_refused(paint: Paint, tmp_path: Path) -> None:
    with pytest.raises(FamilyError, match="no labelled images"):
        learn([], make_schema("red", "green"), tmp_path / "run")
    examples = paint(["red", "green"], num_each=2)
    for example in examples:
        example.path.write_bytes(b"no image")
    with pytest.raises(FamilyError, match="can be read"):
        learn(examples, make_schema("red", "green"), tmp_path / "run")


def test_pretrained_weights_in_the_folder_are_fine_tuned(paint: Paint, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    torch.manual_seed(0)
    network = load_torchvision().models.resnet18(weights=None, num_classes=5)
    torch.save(network.state_dict(), tmp_path / "weights" / "resnet18-f37072fd.pth")
    examples = paint(["red", "green"], num_each=3)

    folder = learn(examples, make_schema("red", "green"), tmp_path / "run", weights=tmp_path / "weights")

    assert "resnet18-f37072fd.pth" in checkpoint.read_manifest(folder).weights_source
    assert len(answer(folder, examples)) == len(examples)


def test_a_report_that_raises_stops_the_fit(paint: Paint, tmp_path: Path) -> None:
    class Impatient(Recorder):
        def progress(self, progress: object) -> None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        learn(paint(["red", "green"], num_each=2), make_schema("red", "green"), tmp_path / "run", recorder=Impatient())
