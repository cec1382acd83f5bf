"""What to look at next, against a Label Studio over HTTP, with a version that tells red from green."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import annotation, task
from doubles import FakeLabelStudio
from PIL import Image

from adapters.label_studio.review import Review
from backend.errors import Conflict
from backend.projects.service import Mirror
from backend.services import Services
from backend.settings import Settings
from backend.versions.registry import ModelVersion


@pytest.fixture
def settings(settings: Settings, fake_label_studio: FakeLabelStudio) -> Settings:
    return Settings(
        home=settings.home,
        device="cpu",
        label_studio_url=fake_label_studio.url,
        label_studio_api_key=fake_label_studio.legacy_token,
    )


def mixed(red: int, *, texture: int = 0) -> bytes:
    """Return an image that is the nearer to green the smaller `red` is; `texture` makes it look like no other."""
    pixels = np.full((24, 24, 3), (red, 255 - red, 20), dtype=np.int64)
    if texture:
        pixels += np.random.default_rng(texture).integers(-15, 15, pixels.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_the_least_certain_task_comes_first_and_has_a_link(
    services: Services, mirror: Mirror, version: ModelVersion, fake_label_studio: FakeLabelStudio
) -> None:
    fake_label_studio.tasks[7] = [task(1, mixed(250)), task(2, mixed(140)), task(3, mixed(200))]

    found = Review(services, services.projects.get(mirror.project.id)).next_tasks(
        2, is_diverse=False, num_looked_at=100
    )

    assert [one.task_id for one in found] == [2, 3]
    assert 0 < found[1].uncertainty < found[0].uncertainty < 0.5
    assert found[0].link == f"{fake_label_studio.url}/projects/7/data?task=2"


def test_a_twin_of_an_earlier_task_comes_later_when_diversity_counts(
    services: Services, mirror: Mirror, version: ModelVersion, fake_label_studio: FakeLabelStudio
) -> None:
    twin, other = mixed(135, texture=1), mixed(145, texture=2)
    fake_label_studio.tasks[7] = [task(1, twin), task(2, twin), task(3, other)]
    review = Review(services, services.projects.get(mirror.project.id))

    diverse = [one.task_id for one in review.next_tasks(3, is_diverse=True, num_looked_at=100)]
    uncertain = [one.task_id for one in review.next_tasks(3, is_diverse=False, num_looked_at=100)]

    assert (diverse, uncertain) == ([1, 3, 2], [1, 2, 3])


def test_annotated_and_unreadable_tasks_are_not_listed(
    services: Services, mirror: Mirror, version: ModelVersion, fake_label_studio: FakeLabelStudio
) -> None:
    done = {**task(1), "annotations": [annotation(1, 1)]}
    fake_label_studio.tasks[7] = [done, task(2, b"no image"), task(3, mixed(140))]

    found = Review(services, services.projects.get(mirror.project.id)).next_tasks(9, is_diverse=True, num_looked_at=100)

    assert [one.task_id for one in found] == [3]


def test_annotations_that_contradict_the_model_are_suspects_worst_first(
    services: Services, mirror: Mirror, version: ModelVersion, fake_label_studio: FakeLabelStudio
) -> None:
    said: list[tuple[int, int, str]] = [(1, 250, "red"), (2, 240, "green"), (3, 60, "red"), (4, 150, "green")]
    fake_label_studio.tasks[7] = [
        {**task(number, mixed(red)), "annotations": [annotation(10 + number, number, colour)]}
        for number, red, colour in said
    ]

    found = Review(services, services.projects.get(mirror.project.id)).suspects()

    assert [(one.task_id, one.annotation_id, one.control) for one in found] == [
        (2, 12, "colour"),
        (3, 13, "colour"),
        (4, 14, "colour"),
    ]
    assert found[0].doubt.reason == "'green' is probably 'red'"
    assert found[0].to_json()["expected"]["label"] == "red"
    assert [one.is_held_out for one in found] == [False] * 3


def test_skipped_annotations_are_no_suspects(
    services: Services, mirror: Mirror, version: ModelVersion, fake_label_studio: FakeLabelStudio
) -> None:
    skipped: dict[str, Any] = {**annotation(1, 1, "green"), "was_cancelled": True}
    fake_label_studio.tasks[7] = [{**task(1, mixed(250)), "annotations": [skipped]}]

    assert Review(services, services.projects.get(mirror.project.id)).suspects() == []


def test_without_a_trained_version_there_is_nothing_to_go_by(
    services: Services, mirror: Mirror, tmp_path: Path
) -> None:
    with pytest.raises(Conflict, match="train it first"):
        Review(services, services.projects.get(mirror.project.id))
