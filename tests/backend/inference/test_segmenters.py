from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sam_files import write_sam

from backend.inference.engine import Engine
from backend.inference.segmenters import Segmenters
from backend.settings import Settings
from backend.versions.registry import ModelVersion
from models.interactive.classical import ClassicalSegmenter
from models.interactive.sam import SamSegmenter

VERSION = cast(ModelVersion, SimpleNamespace(id="v1", name="clicks-photo-v1"))


class Learned:
    num_bytes = 1


@pytest.fixture
def weights(settings: Settings) -> Path:
    folder = settings.weights_folder
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def segmenters(settings: Settings) -> Segmenters:
    return Segmenters(Engine(lambda _: cast(Any, Learned()), capacity_bytes=100), settings)


def test_without_weights_and_training_the_classical_one_answers(segmenters: Segmenters) -> None:
    assert isinstance(segmenters.choose(None), ClassicalSegmenter)


def test_what_the_project_learnt_comes_before_the_classical_one(segmenters: Segmenters) -> None:
    assert isinstance(segmenters.choose(VERSION), Learned)


def test_weights_that_were_put_there_come_first(segmenters: Segmenters, weights: Path) -> None:
    write_sam(weights / "mobile_sam")

    assert isinstance(segmenters.choose(VERSION), SamSegmenter)


def test_weights_may_lie_in_the_folder_itself(segmenters: Segmenters, weights: Path) -> None:
    write_sam(weights)

    assert isinstance(segmenters.choose(None), SamSegmenter)


def test_weights_that_are_added_later_are_found(segmenters: Segmenters, weights: Path) -> None:
    before = segmenters.choose(None)

    write_sam(weights / "mobile_sam")

    assert isinstance(before, ClassicalSegmenter)
    assert isinstance(segmenters.choose(None), SamSegmenter)


def test_weights_are_loaded_once(segmenters: Segmenters, weights: Path) -> None:
    write_sam(weights / "mobile_sam")

    assert segmenters.choose(None) is segmenters.choose(None)


def test_files_that_are_no_pair_are_passed_over_with_one_warning(
    segmenters: Segmenters, weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = weights / "a-broken"
    broken.mkdir()
    for name in ("encoder.onnx", "decoder.onnx"):
        (broken / name).write_bytes(b"no model")

    with caplog.at_level(logging.WARNING):
        found = [segmenters.choose(None) for _ in range(3)]

    assert all(isinstance(each, ClassicalSegmenter) for each in found)
    assert [record.message for record in caplog.records] == ["weights cannot answer clicks"]


def test_a_broken_folder_does_not_hide_a_good_one(segmenters: Segmenters, weights: Path) -> None:
    broken = weights / "a-broken"
    broken.mkdir()
    for name in ("encoder.onnx", "decoder.onnx"):
        (broken / name).write_bytes(b"no model")
    write_sam(weights / "mobile_sam")

    assert isinstance(segmenters.choose(None), SamSegmenter)
