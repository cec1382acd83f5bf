"""This server as the ML backend of a project: what it learns from, and what it suggests."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from agent_projects import add_images, make_label_set
from builders import annotation, task
from doubles import FakeLabelStudio, InlineQueue
from PIL import Image

from adapters.label_studio.backends.here import Here
from adapters.label_studio.backends.peers import Refused
from backend.connections.ml_backends import SELF, MLBackend
from backend.errors import Conflict, NotFound
from backend.projects.service import LabelSet, Mirror
from backend.services import Services
from backend.settings import Settings
from backend.versions.registry import ModelVersion
from models.labels import Objective

OUTLINES = """<View><Image name="photo" value="$image"/><PolygonLabels name="colour" toName="photo">
  <Label value="red"/></PolygonLabels></View>"""


def number_of(services: Services, label_set: LabelSet) -> int:
    return services.projects.get(label_set.project_id).project.number


def add(caller, services: Services, label_set: LabelSet, **fields: Any) -> str:
    """Register this server for the project; return the backend's path."""
    made = caller.ok("POST", "/api/ml", json={"project": number_of(services, label_set), "url": "self", **fields})
    return f"/api/ml/{made['id']}"


def test_a_project_that_was_made_here_has_its_own_number(caller, services: Services, label_set: LabelSet) -> None:
    path = add(caller, services, label_set)

    assert caller.ok("GET", path)["project"] == number_of(services, label_set)


def test_too_few_labels_are_an_error_that_stays(caller, services: Services, label_set: LabelSet) -> None:
    """N-010."""
    path = add(caller, services, label_set)

    refused = caller.ask("POST", f"{path}/train", json={})

    assert refused.status_code == 500
    assert isinstance(refused.get_json(), str)
    states = [caller.ok("GET", path) for _ in range(2)]
    assert [(each["state"], each["error_message"]) for each in states] == [("ER", refused.get_json())] * 2
    assert services.training.of_project(label_set.project_id) == []


def test_a_training_after_a_refused_one_is_no_error(caller, services: Services, label_set: LabelSet) -> None:
    """N-009."""
    path = add(caller, services, label_set)
    caller.ask("POST", f"{path}/train", json={})
    add_images(services, label_set, ["red", "green"] * 3, split="train")
    add_images(services, label_set, ["red", "green"], split="held_out")

    first, second = (caller.ok("POST", f"{path}/train", json={}) for _ in range(2))

    assert first == second
    assert first["training_id"] == f"trn_{services.training.of_project(label_set.project_id)[0].id}"
    assert caller.ok("GET", path)["state"] == "TR"


def test_labels_given_here_are_no_ground_truth(caller, services: Services, label_set: LabelSet) -> None:
    add_images(services, label_set, ["red", "green"] * 3)

    refused = caller.ask("POST", f"{add(caller, services, label_set)}/train", json={"use_ground_truth": True})

    assert (refused.status_code, "ground truth" in refused.get_json()) == (500, True)


def disc() -> bytes:
    """Return a picture of a light disc on dark, slightly noisy ground."""
    y, x = np.mgrid[:240, :320]
    pixels = np.full((240, 320, 3), 40.0)
    pixels[np.hypot(x - 120, y - 100) < 50] = (210, 190, 60)
    pixels += np.random.default_rng(0).normal(0, 6, pixels.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def outlines(caller, services: Services) -> LabelSet:
    """Of a project where regions are outlined, with one picture of a disc."""
    [workspace_id] = services.accounts.authenticate(caller.key).workspace_ids
    made = make_label_set(services, workspace_id, objective=Objective.INSTANCE_SEGMENTATION, labels=["red"])
    [task] = add_images(services, made, [None])
    digest = services.blobs.put(disc())
    with services.database.transaction() as session:
        task.media = {"image": {"source": "upload", "sha256": digest}}
        task.mime_type = "image/png"
        made.document = OUTLINES
        session.merge(task)
        session.merge(made)
    return made


def click(x: float, y: float) -> dict[str, Any]:
    return {
        "id": "k",
        "from_name": "colour",
        "to_name": "photo",
        "type": "keypointlabels",
        "value": {"x": x, "y": y, "width": 0.3, "keypointlabels": ["red"]},
    }


def test_what_is_pointed_at_is_suggested(caller, services: Services, outlines: LabelSet) -> None:
    """N-012."""
    path = add(caller, services, outlines, is_interactive=True)
    body = {"task": 1, "context": {"result": [click(37.5, 41.6)]}}
    found = caller.ok("POST", f"{path}/interactive-annotating", json=body)

    [region] = found["data"]["result"]
    assert (region["type"], region["value"]["polygonlabels"]) == ("polygonlabels", ["red"])
    assert found["data"]["model_version"] == "untrained"
    assert found["data"]["score"] > 0


def test_nothing_is_suggested_without_a_place(caller, services: Services, outlines: LabelSet) -> None:
    path = add(caller, services, outlines, is_interactive=True)

    assert caller.ok("POST", f"{path}/interactive-annotating", json={"task": 1})["data"]["result"] == []


def test_a_backend_that_is_not_interactive_says_so(caller, services: Services, outlines: LabelSet) -> None:
    """N-012."""
    path = add(caller, services, outlines)

    assert list(caller.ok("POST", f"{path}/interactive-annotating", json={"task": 1})) == ["errors"]


def test_a_task_of_another_project_is_not_found(caller, services: Services, label_set: LabelSet, outlines) -> None:
    """N-012."""
    [theirs] = add_images(services, label_set, ["red"])
    path = f"{add(caller, services, outlines, is_interactive=True)}/interactive-annotating"

    assert caller.ask("POST", path, json={"task": theirs.number}).status_code == 404
    assert list(caller.wrong("POST", path, json={"context": None})) == ["task"]


# Projects whose tasks are in a Label Studio that we can ask.


@pytest.fixture
def here(
    settings: Settings, mirror: Mirror, caller, services: Services, fake_label_studio: FakeLabelStudio
) -> Iterator[Here]:
    """This server as the backend of `mirror`, with a token for its Label Studio."""
    fake_label_studio.tasks[7] = [task(number) for number in range(1, 5)]
    principal = services.accounts.authenticate(caller.key)
    backend = services.ml_backends.create(principal, MLBackend(project_id=mirror.project.id, url=SELF))
    access = {"label_studio_url": fake_label_studio.url, "label_studio_api_key": fake_label_studio.legacy_token}
    with closing(Services.build(Settings(home=settings.home, device="cpu", **access), queue=InlineQueue())) as built:
        yield Here(built, principal, backend)


def annotate(fake: FakeLabelStudio, number: int, *, is_ground_truth: bool = False) -> None:
    said = {**annotation(number, number), "ground_truth": is_ground_truth}
    fake.tasks[7][number - 1]["annotations"].append(said)


def test_what_label_studio_has_is_counted_before_anything_starts(
    here: Here, fake_label_studio: FakeLabelStudio, services: Services, mirror: Mirror
) -> None:
    """N-010."""
    annotate(fake_label_studio, 1)

    with pytest.raises(Refused, match="too few"):
        here.train(use_ground_truth=False)
    assert services.training.of_project(mirror.project.id) == []

    annotate(fake_label_studio, 2)
    assert len(here.train(use_ground_truth=False)) == 1


def test_only_ground_truth_is_learnt_from_where_that_is_wanted(
    here: Here, fake_label_studio: FakeLabelStudio, services: Services
) -> None:
    for number in (1, 2, 3):
        annotate(fake_label_studio, number)
        annotate(fake_label_studio, number, is_ground_truth=number > 1)

    [run_id] = here.train(use_ground_truth=True)

    supplied = services.training.get(run_id).supplied
    assert supplied is not None
    learnt = json.loads(services.blobs.path(supplied).read_bytes())
    assert [each["id"] for each in learnt] == [2, 3]
    assert [[said["ground_truth"] for said in each["annotations"]] for each in learnt] == [[True], [True]]


def test_a_test_request_shows_what_was_asked_and_answered(version: ModelVersion, here: Here) -> None:
    tried = here.try_out()

    [answer] = tried.response
    assert (tried.url, tried.request["tasks"]) == (SELF, [tried.task])
    assert (answer["model_version"], len(answer["result"])) == (version.name, 1)


def test_a_test_request_needs_a_model(here: Here) -> None:
    with pytest.raises(Conflict, match="train it first"):
        here.try_out()


def test_a_task_of_label_studio_is_looked_up_there(here: Here) -> None:
    """N-012."""
    assert here.suggest(3, {"result": []})["result"] == []
    with pytest.raises(NotFound):
        here.suggest(9, {"result": []})
