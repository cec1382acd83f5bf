"""Images with what was said about them, and what models find in them, drawn on them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from labelled_projects import make_label_set, make_project
from PIL import Image
from trained_projects import add_training, box_at, build_detector, id_of, paint, upload

from adapters.identifiers import spell
from backend.projects.service import LabelSet
from backend.projects.tasks import Task
from backend.services import Services
from backend.training.run import RunState, TrainingRun
from models.labels import Objective

GREEN, BLUE = (60, 180, 75), (0, 128, 255)
"""Of the labels "green", for which nobody chose a colour, and "red", for which somebody did: the image has red, too."""
SIZE = (640, 320)


@pytest.fixture
def label_set(services: Services, label_set: LabelSet) -> LabelSet:
    with services.database.transaction() as session:
        session.get_one(LabelSet, label_set.id).colors = {"red": "#0080ff"}
    return label_set


@pytest.fixture
def image(services: Services, label_set: LabelSet) -> Task:
    """Black with a red square at (2, 1) of 8 × 8, which is said to be green, at (5, 5)."""
    return upload(services, label_set, paint({(2, 1): 0}, size=SIZE), said=[box_at("green", 5, 5)], size=SIZE)


def path_of(image: Task, label_set: LabelSet | None = None, run: TrainingRun | None = None, **more: object) -> str:
    query = {
        **({"labelSetId": spell("label_set_id", label_set.id)} if label_set else {}),
        **({"trainingId": spell("training_id", run.id)} if run else {}),
        **more,
    }
    return f"/images/{id_of(image)}/file?" + "&".join(f"{name}={value}" for name, value in query.items())


def view(agent: Any, path: str) -> npt.NDArray[np.int_]:
    response = agent.ask("GET", path, buffered=True)
    assert (response.status_code, response.mimetype) == (200, "image/jpeg"), response.get_data(as_text=True)
    return np.asarray(Image.open(io.BytesIO(response.data)), dtype=int)


def num_like(pixels: npt.NDArray[np.int_], colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels - colour).max(-1) < 60).sum())


def around(pixels: npt.NDArray[np.int_], column: int, row: int) -> npt.NDArray[np.int_]:
    """Return the part of a picture where the box of a cell is."""
    height, width = pixels.shape[:2]
    x, y = (column + 0.5) / 8 * width, (row + 0.5) / 8 * height
    return pixels[int(y - 0.13 * height) : int(y + 0.13 * height), int(x - 0.13 * width) : int(x + 0.13 * width)]


def test_what_was_said_is_drawn_in_the_colour_of_its_label(agent: Any, image: Task, label_set: LabelSet) -> None:
    shown = view(agent, path_of(image, label_set))

    assert shown.shape == (320, 640, 3)
    assert num_like(around(shown, 5, 5), GREEN) > 300
    assert num_like(shown, BLUE) == 0


def test_what_a_model_finds_is_drawn_in_the_colour_that_somebody_chose(
    agent: Any, image: Task, run: TrainingRun
) -> None:
    shown = view(agent, path_of(image, run=run))

    assert num_like(around(shown, 2, 1), BLUE) > 300
    assert num_like(around(shown, 5, 5), GREEN) == 0


def test_both_are_drawn_at_once(agent: Any, image: Task, label_set: LabelSet, run: TrainingRun) -> None:
    shown = view(agent, path_of(image, label_set, run))

    assert num_like(around(shown, 5, 5), GREEN) > 300
    assert num_like(around(shown, 2, 1), BLUE) > 300


def test_what_a_model_is_not_sure_enough_of_is_not_drawn(agent: Any, image: Task, run: TrainingRun) -> None:
    plain = view(agent, path_of(image, run=run, threshold=1))

    assert (view(agent, path_of(image, run=run, threshold=0.25)) != plain).any()
    assert (view(agent, path_of(image, run=run)) != plain).any()
    assert agent.error("GET", path_of(image, run=run, threshold=2))[:2] == (400, "VALIDATION_ERROR")


def test_a_label_that_is_said_of_the_whole_image_is_written_at_the_top(
    agent: Any, services: Services, label_set: LabelSet
) -> None:
    project = services.projects.get(label_set.project_id).project
    kinds = make_label_set(services, project, Objective.CLASSIFICATION, ["night", "day"], name="kinds")
    image = upload(services, label_set, paint({}, size=SIZE), size=SIZE)
    body = {"annotations": [{"label": "night"}]}
    agent.ok("PUT", f"/label-sets/{kinds.id}/images/{id_of(image)}/annotations", json=body)

    shown = view(agent, path_of(image, kinds))

    assert num_like(shown[:20, :50], (230, 25, 75)) > 300
    assert shown[40:].max() < 30


def test_an_image_about_which_nothing_is_said_is_shown_as_it_is(
    agent: Any, services: Services, label_set: LabelSet
) -> None:
    image = upload(services, label_set, paint({}, size=SIZE), size=SIZE)

    assert view(agent, path_of(image, label_set)).max() == 0


def test_drawing_comes_after_scaling(agent: Any, image: Task, label_set: LabelSet) -> None:
    small = view(agent, path_of(image, label_set, maxSize=300))

    assert small.shape == (150, 300, 3)
    assert num_like(around(small, 5, 5), GREEN) > 50


def test_a_picture_is_never_kept_and_shows_what_is_said_now(agent: Any, image: Task, label_set: LabelSet) -> None:
    path = path_of(image, label_set)
    before = agent.ask("GET", path, buffered=True)
    agent.ok("PUT", f"/label-sets/{label_set.id}/images/{id_of(image)}/annotations", json={"annotations": []})
    after = agent.ask("GET", path, buffered=True, headers={"If-None-Match": before.headers.get("ETag", "*")})

    assert before.headers["Cache-Control"] == "no-store"
    assert "ETag" not in before.headers
    assert after.status_code == 200
    assert after.data != before.data


def test_a_signature_shows_the_plain_image_only(
    agent: Any, image: Task, label_set: LabelSet, run: TrainingRun, services: Services
) -> None:
    signed = services.images.signed_url_path(image)

    for drawn in (f"labelSetId=lbs_{label_set.id}", f"trainingId=trn_{run.id}"):
        assert agent.error("GET", f"{signed}&{drawn}")[:2] == (400, "VALIDATION_ERROR")


def test_label_sets_and_trainings_of_others_are_unknown(
    agent: Any, stranger: Any, services: Services, image: Task, label_set: LabelSet, run: TrainingRun, tmp_path: Any
) -> None:
    [mine], [theirs] = (services.accounts.local(each.user).workspace_ids for each in (agent, stranger))
    for workspace_id in (mine, theirs):  # another project, another workspace
        other = make_label_set(
            services, make_project(services, workspace_id), Objective.DETECTION, ["red", "green"], name=workspace_id
        )
        trained = add_training(services, other, build_detector(tmp_path / workspace_id, other.schema))
        assert agent.error("GET", path_of(image, other))[:2] == (404, "NOT_FOUND")
        assert agent.error("GET", path_of(image, run=trained))[:2] == (404, "NOT_FOUND")
        assert agent.error("GET", path_of(image, label_set, trained))[:2] == (404, "NOT_FOUND")
    assert stranger.error("GET", path_of(image, label_set, run))[:2] == (404, "NOT_FOUND")
    assert agent.error("GET", path_of(image, labelSetId="lbs_unknown"))[:2] == (404, "NOT_FOUND")
    assert agent.error("GET", path_of(image, trainingId="trn_unknown"))[:2] == (404, "NOT_FOUND")


def test_a_key_needs_the_scopes_of_what_is_drawn(
    make_agent: Any, agent: Any, image: Task, label_set: LabelSet, run: TrainingRun
) -> None:
    looking = make_agent(scopes=["projects:read"])
    reading = make_agent(scopes=["projects:read", "annotations:read"])

    assert looking.ask("GET", f"/images/{id_of(image)}/file", buffered=True).status_code == 200
    assert looking.error("GET", path_of(image, label_set)) == (
        403,
        "INSUFFICIENT_SCOPE",
        {"requiredScopes": ["annotations:read"]},
    )
    assert view(reading, path_of(image, label_set)).any()
    assert reading.error("GET", path_of(image, run=run)) == (
        403,
        "INSUFFICIENT_SCOPE",
        {"requiredScopes": ["inference:run"]},
    )


def test_a_training_without_a_model_draws_nothing(
    agent: Any, image: Task, run: TrainingRun, services: Services
) -> None:
    with services.database.transaction() as session:
        row = session.get_one(TrainingRun, run.id)
        row.state, row.version_id = RunState.RUNNING.value, None

    assert agent.error("GET", path_of(image, run=run))[:2] == (409, "MODEL_NOT_READY")


def test_an_image_whose_file_is_elsewhere_is_not_there_yet(
    agent: Any, services: Services, image: Task, label_set: LabelSet
) -> None:
    with services.database.transaction() as session:
        row = session.get_one(Task, image.id)
        row.content, row.media = None, {}

    assert agent.error("GET", path_of(image, label_set))[:2] == (404, "NOT_FOUND")
