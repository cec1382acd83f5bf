from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PillowImage

from adapters.cli.main import main
from models import catalog
from models.checkpoint import ARRAYS, read_manifest
from models.examples import Example, Split
from models.family import FamilyError, FitSettings, Progress
from models.images import read
from models.labels import Label, LabelSchema, Objective
from models.regions import Choice

SCHEMA = LabelSchema(Objective.CLASSIFICATION, (Label("dark"), Label("bright")))


class Quiet:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.fractions: list[float] = []

    def progress(self, progress: Progress) -> None:
        self.fractions.append(progress.fraction)

    def log(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def scaffolded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The family that `tandem new family` writes, in the catalogue."""
    monkeypatch.setattr(catalog, "_own", {})
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "home"))
    written = CliRunner().invoke(main, ["new", "family", "mean_colour"])
    assert written.exit_code == 0, written.output
    catalog.add_folder(tmp_path / "home" / "families")
    return "mean_colour"


def examples(folder: Path, num: int = 20) -> list[Example]:
    made = []
    for number in range(num):
        level = (30 if number % 2 else 200) + number
        path = folder / f"{number}.png"
        PillowImage.fromarray(np.full((16, 16, 3), level, dtype=np.uint8)).save(path)
        label = "dark" if number % 2 else "bright"
        split = Split.HELD_OUT if number >= num - 6 else Split.TRAIN
        made.append(Example(str(number), path, (Choice(label),), split))
    return made


def learn(name: str, given: list[Example], folder: Path, report: Quiet) -> None:
    catalog.fitter(name)(given, SCHEMA, FitSettings(), device="cpu", report=report, folder=folder, weights=None)


def test_the_scaffolded_family_is_short(scaffolded: str, tmp_path: Path) -> None:
    text = (tmp_path / "home" / "families" / "mean_colour.py").read_text()

    assert len(text.splitlines()) <= 40


def test_a_family_of_ones_own_is_asked_before_the_others(scaffolded: str) -> None:
    family = catalog.find_family(SCHEMA)

    assert family is not None
    assert family.name == "mean_colour"


def test_what_it_learns_is_measured_stored_and_served(scaffolded: str, tmp_path: Path) -> None:
    report = Quiet()
    given = examples(tmp_path)

    learn(scaffolded, given, tmp_path / "out", report)
    manifest = read_manifest(tmp_path / "out")
    predictor = catalog.predictor_loader(scaffolded)(tmp_path / "out", "cpu")
    found = predictor.predict([read(example.path) for example in given])

    assert (manifest.metrics["accuracy"], manifest.metrics["num_held_out"]) == (1.0, 6)
    assert manifest.metrics["is_refit_on_all_labels"] is True
    assert [answer[0].label for answer in found] == [example.regions[0].label for example in given]
    assert all(0.5 < (answer[0].score or 0) <= 1 for answer in found)
    assert (tmp_path / "out" / ARRAYS).exists()
    assert report.fractions == sorted(report.fractions)


def test_an_unreadable_image_is_logged_and_left_out(scaffolded: str, tmp_path: Path) -> None:
    given = examples(tmp_path)
    given[3].path.write_bytes(b"no image")
    report = Quiet()

    learn(scaffolded, given, tmp_path / "out", report)

    assert len(report.lines) == 1
    assert report.lines[0].startswith("3 is skipped")


def test_its_own_reason_ends_the_fit(scaffolded: str, tmp_path: Path) -> None:
    only_dark = [example for example in examples(tmp_path) if example.regions[0].label == "dark"]

    with pytest.raises(FamilyError, match="two different labels"):
        learn(scaffolded, only_dark, tmp_path / "out", Quiet())


@pytest.mark.parametrize("content", ["this is no Python", "import nothing_of_the_kind", "x = 1"])
def test_a_file_that_cannot_be_used_does_not_keep_others_from_answering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    monkeypatch.setattr(catalog, "_own", {})
    (tmp_path / "broken.py").write_text(content)

    catalog.add_folder(tmp_path)

    family = catalog.find_family(SCHEMA)
    assert family is not None
    assert family.name == "image_classification"
    assert "own family left out" in caplog.text
