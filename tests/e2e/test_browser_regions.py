"""Regions as annotators see them, in a real browser: what a model predicts, and what it answers to a click."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from e2e.browser import TAKES_PICTURES, Editor
from e2e.nuts import CONFIG, HOTKEYS, Nut, Photo, nuts
from e2e.servers import LabelStudio, Project, Tandem, run_tandem
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

NUM_LEARNT = 12
TYPES = {"box": "rectangleregion", "outline": "polygonregion", "paint": "brushregion"}


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    return nuts()


@pytest.fixture(scope="module")
def own_tandem(label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tandem]:
    """A Tandem that trains only when it is told to; not for long, unless for the pictures of the docs."""
    settings = {
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.token,
        "TANDEM_TRAIN_EVERY": "0",
    }
    if not TAKES_PICTURES:
        settings["TANDEM_TRAIN_WITHIN_S"] = "25"
    with run_tandem(tmp_path_factory.mktemp("nuts"), **settings) as tandem:
        yield tandem


@pytest.fixture
def untrained(label_studio: LabelStudio, own_tandem: Tandem, photos: list[Photo]) -> Project:
    """A project in which nobody has drawn anything, nor left a draft."""
    return _connected(label_studio, own_tandem, photos[NUM_LEARNT:])


@pytest.fixture(scope="module")
def trained(label_studio: LabelStudio, own_tandem: Tandem, photos: list[Photo]) -> Project:
    """A project that learnt from some of the photos, with predictions for the others."""
    project = _connected(label_studio, own_tandem, photos)
    for photo in photos[:NUM_LEARNT]:
        path = f"/api/tasks/{project.task_ids[photo.name]}/annotations/"
        label_studio.post(path, {"result": photo.annotation, "lead_time": 1.0})
    project.start_training()
    names = {row["id"]: row["name"] for row in own_tandem.project(project.uid)["label_sets"]}
    runs = {names[run["label_set_id"]]: run["id"] for run in own_tandem.runs(project.uid)}
    own_tandem.post(f"/tandem/runs/{runs['clicks:photo']}/cancel")  # clicks are answered without it
    for name in TYPES:
        own_tandem.await_completed(runs[name])
    project.retrieve_predictions(photos[NUM_LEARNT:])  # type: ignore[arg-type]
    return project


@pytest.fixture
def editor(driver: webdriver.Chrome, label_studio: LabelStudio) -> Editor:
    """The editor of that Label Studio's administrator."""
    opened = Editor(driver)
    opened.log_in(label_studio)
    return opened


def test_a_click_suggests_a_region_that_can_be_accepted(
    editor: Editor, untrained: Project, photos: list[Photo]
) -> None:
    photo = photos[14]
    dates = [nut for nut in photo.nuts if nut.label == "date"]
    editor.open_task(untrained, photo.name)

    editor.prompt_with("key-point-tool", hotkey=HOTKEYS["point", "date"])
    editor.click_at(dates[0].centre)
    editor.await_suggestion()
    editor.accept()

    [region] = editor.regions
    assert (region["type"], region["label"]) == ("brushregion", "date")
    assert editor.listed() == ["date"]
    assert _iou(editor.painted(), dates[0].mask) > 0.7

    editor.press(HOTKEYS["point", "date"])
    editor.click_at(dates[1].centre)
    editor.await_suggestion()
    editor.take_picture("click")


def test_a_box_suggests_a_region(editor: Editor, untrained: Project, photos: list[Photo]) -> None:
    photo = photos[14]
    nut = next(nut for nut in photo.nuts if nut.label == "hazelnut")
    editor.open_task(untrained, photo.name)

    editor.prompt_with("rectangle-tool", hotkey=HOTKEYS["box", "hazelnut"])
    editor.drag(*_corners(nut))
    editor.await_suggestion()
    editor.accept()

    [region] = editor.regions
    assert (region["type"], region["label"]) == ("brushregion", "hazelnut")
    assert _iou(editor.painted(), nut.mask) > 0.7


def test_a_rejected_suggestion_is_gone_with_its_prompt(
    editor: Editor, untrained: Project, own_tandem: Tandem, photos: list[Photo]
) -> None:
    """C-058."""
    photo = photos[14]
    editor.open_task(untrained, photo.name)
    editor.prompt_with("key-point-tool", hotkey=HOTKEYS["point", photo.nuts[0].label])
    editor.click_at(photo.nuts[0].centre)
    editor.await_suggestion()

    editor.reject()

    editor.await_regions(0)
    assert editor.listed() == []
    assert own_tandem.troubles == []


def test_a_deleted_prompt_does_not_count_any_more(editor: Editor, untrained: Project, photos: list[Photo]) -> None:
    """C-058: Label Studio 1.23.2 does not ask again when a prompt is deleted, so the next click must forget it."""
    photo = photos[14]
    first, second = [nut for nut in photo.nuts if nut.label == "date"][:2]
    editor.open_task(untrained, photo.name)
    editor.prompt_with("key-point-tool", hotkey=HOTKEYS["point", "date"])
    editor.click_at(first.centre)
    editor.await_suggestion()
    [old] = editor.suggestions

    editor.find(".lsf-outliner-item").click()
    editor.press(Keys.BACKSPACE)
    editor.await_regions(0)
    editor.press(HOTKEYS["point", "date"])
    editor.click_at(second.centre)
    editor.wait_for(lambda: [found for found in editor.suggestions if found["id"] != old["id"]], "no other suggestion")
    editor.accept()

    assert len(editor.regions) == 1
    assert _iou(editor.painted(), second.mask) > 0.7


def test_the_editor_lists_every_predicted_region(editor: Editor, trained: Project, photos: list[Photo]) -> None:
    for photo in photos[NUM_LEARNT:]:
        result = _prediction(trained, photo)["result"]
        said = Counter((TYPES[item["from_name"]], item["value"][item["type"]][0]) for item in result)
        assert {kind for kind, _ in said} == set(TYPES.values())

        editor.open_task(trained, photo.name)

        editor.await_regions(len(result))
        assert Counter((region["type"], region["label"]) for region in editor.regions) == said
        assert Counter(editor.listed()) == Counter(region["label"] for region in editor.regions)


def test_predicted_regions_are_drawn_on_the_nuts(editor: Editor, trained: Project, photos: list[Photo]) -> None:
    made = {photo.name: _prediction(trained, photo) for photo in photos[NUM_LEARNT:]}
    photo = max(photos[NUM_LEARNT:], key=lambda photo: (_num_painted(made[photo.name]), made[photo.name]["score"]))

    editor.open_task(trained, photo.name)
    editor.await_regions(len(made[photo.name]["result"]))

    everything = np.any([nut.mask for nut in photo.nuts], axis=0)
    assert _iou(editor.painted(), everything) > 0.3
    editor.take_picture("regions")


def _connected(label_studio: LabelStudio, tandem: Tandem, photos: list[Photo]) -> Project:
    project = label_studio.create_project("Nuts", CONFIG)
    project.upload(photos)  # type: ignore[arg-type]
    assert project.connect(tandem).status_code == 201
    return project


def _prediction(project: Project, photo: Photo) -> dict[str, Any]:
    version, task_id = project.connection()["model_version"], project.task_ids[photo.name]
    [made] = [p for p in project.predictions() if (p["task"], p["model_version"]) == (task_id, version)]
    return dict(made)


def _num_painted(prediction: dict[str, Any]) -> int:
    """Return how many labels have a mask."""
    return sum(item["from_name"] == "paint" for item in prediction["result"])


def _corners(nut: Nut) -> tuple[tuple[float, float], tuple[float, float]]:
    (left, top), (right, bottom) = nut.outline.min(0).tolist(), nut.outline.max(0).tolist()
    return (left, top), (right, bottom)


def _iou(painted: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    height, width = painted.shape
    truth = np.asarray(Image.fromarray(truth).resize((width, height), Image.Resampling.NEAREST))
    return float((painted & truth).sum() / (painted | truth).sum())
