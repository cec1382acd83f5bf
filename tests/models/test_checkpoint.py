from pathlib import Path

import pytest

from models import checkpoint
from models.checkpoint import Manifest
from models.family import FitSettings
from models.labels import Label, LabelSchema, Objective
from models.regions import Choice


def test_a_manifest_survives_being_written(tmp_path: Path) -> None:
    manifest = Manifest(
        family="image_classification",
        schema=LabelSchema(Objective.MULTI_LABEL, (Label("a", ("x",)), Label("b"))),
        settings=FitSettings(seed=3, max_epochs=2, time_limit_s=1.5),
        inputs={"side_px": 32},
        weights_source="random: no pretrained weights were found",
        libraries={"torch": "2"},
        metrics={"accuracy": 0.5},
        held_out={"one": (Choice("a", 0.75),), "two": ()},
    )

    checkpoint.write_manifest(tmp_path, manifest)

    assert checkpoint.read_manifest(tmp_path) == manifest
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.MANIFEST]


def test_a_folder_without_manifest_is_a_fit_that_never_ended(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint.read_manifest(tmp_path)
