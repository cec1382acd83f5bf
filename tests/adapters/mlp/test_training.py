from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from agent_projects import add_images, id_of, make_label_set
from builders import image_bytes
from described_trainings import QUICK, QuickFit, create, download, set_allowance, show, start
from doubles import InlineQueue
from PIL import Image

from backend.projects.service import LabelSet
from backend.services import Services
from models import images
from models.families.image_classification.predict import ImageClassifier
from models.family import FitSettings
from models.labels import Objective
from models.runtime import Session


def test_images_become_a_model_that_can_be_downloaded(
    agent: Any, services: Services, labelled: LabelSet, queue: InlineQueue, collect: Callable[[], None]
) -> None:
    """The whole life of a training, with a real fit (M-022, M-024); the file says what we say (M-025)."""
    training = create(agent, labelled, config=QUICK)
    start(agent, training)
    collect()
    queue.run_all()

    done = show(agent, training)
    assert (done["status"], done["progress"], done["formats"]) == ("completed", 100.0, ["onnx", "pth"])
    assert 0 <= done["metrics"]["accuracy"] <= 1
    content = download(agent, training).data
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert (facts["labels"], facts["taskType"]) == ('["red", "green"]', "classification")
    assert (facts["inputSize"], facts["modelVersion"]) == ("[32, 32]", done["modelVersion"])
    path = services.settings.home / "downloaded.onnx"
    path.write_bytes(content)
    session = Session(path, device="cpu")
    assert [(one.name, one.shape[1:], one.type) for one in session.inputs] == [("images", (3, 32, 32), "tensor(float)")]
    photo = Image.open(io.BytesIO(image_bytes("red"))).resize((32, 32), Image.Resampling.BILINEAR)
    pixels = np.asarray(photo, dtype=np.float32).transpose(2, 0, 1)[None] / 255
    (probabilities,) = session.run({"images": np.concatenate([pixels] * 3)})
    predictor = ImageClassifier(services.versions.checkpoint(services.versions.of_label_set(labelled.id)[0]), "cpu")
    [[choice]] = predictor.predict([images.read(image_bytes("red"))])
    assert (probabilities.shape, choice.label) == ((3, 2), ("red", "green")[probabilities[0].argmax()])
    assert probabilities[2].max() == pytest.approx(choice.score, abs=1e-3)
    path.write_bytes(download(agent, training, "?format=pth").data)
    weights = torch.load(path, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in weights["state_dict"].values())
    assert (weights["labels"], weights["inputSize"]) == (["red", "green"], [32, 32])
    assert weights["modelVersion"] == done["modelVersion"]


def test_what_is_created_is_pending_and_costs_nothing(
    agent: Any, services: Services, labelled: LabelSet, queue: InlineQueue
) -> None:
    """Created: described, resolved and estimated, no job, no token (M-017)."""
    training = create(agent, labelled, name="first", config={"epochs": 3, "maxMinutes": 90, "seed": 7})
    services.training.advance()

    assert (training["status"], training["name"], training["progress"], training["jobId"]) == (
        "pending",
        "first",
        0.0,
        None,
    )
    assert training["config"]["epochs"] == 3
    assert training["config"]["architecture"] == "auto"
    assert training["config"]["learningRate"] == "auto"
    assert training["estimate"] == {"tokens": 2, "minutes": 90.0}
    assert training["dataset"] == {"train": 16, "val": 2, "test": 2, "labels": 18}
    assert training["tokens"]["reserved"] == training["tokens"]["consumed"] == 0
    assert training["trigger"] == "api"
    assert queue.jobs == {}


def test_what_was_asked_for_is_what_is_fitted(
    agent: Any, labelled: LabelSet, train_all: Callable[[], None], fit: QuickFit
) -> None:
    asked = {
        "architecture": "resnet18",
        "epochs": 3,
        "imageSize": 64,
        "seed": 7,
        "maxMinutes": 2,
        "pretrained": False,
    }
    start(agent, create(agent, labelled, config=asked))
    train_all()

    assert fit.settings == FitSettings(7, 3, "resnet18", 64, 120.0, is_pretrained=False)


def test_an_option_that_has_no_effect_is_a_line_of_the_log(agent: Any, labelled: LabelSet) -> None:
    training = create(agent, labelled, config={"batchSize": 8, "learningRate": 0.1, "augment": False})

    assert training["config"]["batchSize"] is None
    assert "batchSize, learningRate, augment: ignored" in training["log"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"config": {"epochs": 0}}, "config.epochs"),
        ({"config": {"architecture": "alexandria"}}, "config.architecture"),
        ({"splits": {"train": 0.8, "val": 0.1}}, "splits"),
        ({"config": {"maxMinutes": "soon"}}, "config.maxMinutes"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_created(
    agent: Any, colours: LabelSet, body: Any, field: str
) -> None:
    status, code, details = agent.error("POST", f"/label-sets/{id_of(colours)}/training", json=body)

    assert (status, code) == (400, "VALIDATION_ERROR")
    assert field in details["fields"]


def test_what_no_model_learns_cannot_be_trained(agent: Any, services: Services, workspace_id: str) -> None:
    colours = make_label_set(services, workspace_id, objective=Objective.SPANS)

    answer = agent.error("POST", f"/label-sets/{id_of(colours)}/training", json={})

    assert answer[:2] == (422, "TASK_TYPE_NOT_TRAINABLE")


def test_without_labels_it_does_not_start(agent: Any, services: Services, colours: LabelSet) -> None:
    """Nothing is labelled: 422, and it is still pending (M-018)."""
    add_images(services, colours, [None, None, "red"])
    training = create(agent, colours)

    status, code, details = agent.error("POST", f"/training/{training['id']}/start")

    assert (status, code) == (422, "LABELS_INSUFFICIENT")
    assert details["needed"] == {"train": 1, "val": 1, "annotations": 1}
    assert details["found"] == {"train": 1, "val": 0, "annotations": 1}
    assert show(agent, training)["status"] == "pending"


def test_two_starts_at_once_are_one_job(agent: Any, services: Services, labelled: LabelSet, queue: InlineQueue) -> None:
    """Both are answered with 200, and there is one job (M-019)."""
    training = create(agent, labelled)
    barrier = threading.Barrier(4)
    statuses: list[int] = []

    def ask() -> None:
        client = agent.client.application.test_client()
        barrier.wait()
        headers = {"Authorization": f"Bearer {agent.key}"}
        statuses.append(client.post(f"/training/{training['id']}/start", headers=headers).status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    services.training.advance()
    start(agent, training)
    services.training.advance()

    assert statuses == [200] * 4
    assert len(queue.jobs) == 1
    assert len(services.allowances.entries(show(agent, training)["tokens"]["billedTo"].removeprefix("ws_"))) == 1


def test_without_tokens_it_does_not_start(
    agent: Any, services: Services, labelled: LabelSet, workspace_id: str, queue: InlineQueue
) -> None:
    """402, and no job (M-020)."""
    set_allowance(services, workspace_id, 0)
    training = create(agent, labelled)

    status, code, details = agent.error("POST", f"/training/{training['id']}/start")
    services.training.advance()

    assert (status, code, details) == (402, "TOKENS_EXHAUSTED", {"remaining": 0, "required": 1})
    assert show(agent, training)["status"] == "pending"
    assert queue.jobs == {}


def test_the_owner_of_the_workspace_pays(
    agent: Any,
    make_agent: Any,
    services: Services,
    labelled: LabelSet,
    workspace_id: str,
    train_all: Callable[[], None],
) -> None:
    """A member starts it; the workspace's usage grows, the member's own does not (M-021)."""
    member = make_agent("bob@example.com")
    [own] = services.accounts.local(member.user).workspace_ids
    services.workspaces.add_member(services.accounts.local(agent.user), workspace_id, "bob@example.com")

    training = create(member, labelled)
    start(member, training)
    reserved = show(member, training)["tokens"]
    train_all()

    assert reserved == {"reserved": 1, "consumed": 0, "billedTo": f"ws_{workspace_id}"}
    assert show(member, training)["tokens"] == {"reserved": 0, "consumed": 1, "billedTo": f"ws_{workspace_id}"}
    assert services.allowances.usage(workspace_id).used == 1
    assert services.allowances.usage(own).used == 0


def test_lists_are_paged_newest_first(agent: Any, labelled: LabelSet) -> None:
    names = [create(agent, labelled, name=str(number))["name"] for number in range(3)]

    path = f"/label-sets/{id_of(labelled)}/training"
    first = agent.ok("GET", path, query_string={"limit": 2})
    second = agent.ok("GET", path, query_string={"limit": 2, "cursor": first["nextCursor"]})

    assert [each["name"] for each in (*first["items"], *second["items"])] == names[::-1]
    assert (first["hasMore"], second["hasMore"], second["nextCursor"]) == (True, False, None)
    assert agent.error("GET", path, query_string={"cursor": "x"})[:2] == (400, "VALIDATION_ERROR")


def test_a_training_started_from_label_studio_is_listed(agent: Any, services: Services, labelled: LabelSet) -> None:
    """With its trigger, per label set and per project (M-032)."""
    services.training.wish(labelled.project_id, reason="Start Training")

    [of_label_set] = agent.ok("GET", f"/label-sets/{id_of(labelled)}/training")["items"]
    [of_project] = agent.ok("GET", f"/projects/prj_{labelled.project_id}/training")["items"]

    assert of_label_set == of_project
    assert (of_label_set["trigger"], of_label_set["name"]) == ("label_studio", "Start Training")
    assert of_label_set["status"] == "queued"


def test_with_the_queue_down_nothing_starts_and_everything_can_be_read(
    agent: Any, services: Services, labelled: LabelSet, workspace_id: str, queue: InlineQueue
) -> None:
    """503, still pending, no token held back (M-033)."""
    training = create(agent, labelled)
    queue.is_down = True

    answer = agent.error("POST", f"/training/{training['id']}/start")

    assert answer[:2] == (503, "QUEUE_UNAVAILABLE")
    assert show(agent, training)["status"] == "pending"
    assert services.allowances.usage(workspace_id).reserved == 0


def test_a_check_names_everything_that_is_in_the_way(
    agent: Any, services: Services, colours: LabelSet, workspace_id: str, queue: InlineQueue
) -> None:
    training = create(agent, colours)
    path = f"/training/{training['id']}/validation"
    set_allowance(services, workspace_id, 0)
    queue.is_down = True

    problems = [each["code"] for each in agent.ok("GET", path)["problems"]]
    set_allowance(services, workspace_id, None)
    queue.is_down = False
    add_images(services, colours, ["red", "green"] * 5)

    assert problems == ["LABELS_INSUFFICIENT", "TOKENS_EXHAUSTED", "QUEUE_UNAVAILABLE"]
    good = agent.ok("GET", path)
    assert (good["startable"], good["problems"], good["estimate"]["tokens"]) == (True, [], 1)


def test_a_name_can_be_changed(agent: Any, labelled: LabelSet) -> None:
    training = create(agent, labelled)

    renamed = agent.ok("PATCH", f"/training/{training['id']}", json={"name": "better"})

    assert training["name"] == "colours"
    assert renamed["name"] == "better"


def test_splits_that_are_given_are_kept_and_those_for_tests_are_left_out(
    agent: Any, services: Services, colours: LabelSet, train_all: Callable[[], None], fit: QuickFit
) -> None:
    add_images(services, colours, ["red", "green"] * 2, split="train")
    val = add_images(services, colours, ["red", "green"], split="held_out")
    add_images(services, colours, ["red"] * 3, split="test")

    training = create(agent, colours)
    start(agent, training)
    train_all()

    assert show(agent, training)["dataset"] == {"train": 4, "val": 2, "test": 3, "labels": 6}
    assert {each.key for each in fit.examples if each.split == "held_out"} == {task.external_id for task in val}
    assert len(fit.examples) == 6


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", "/start"),
        ("POST", "/cancel"),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/log"),
        ("GET", "/validation"),
        ("GET", "/download"),
    ],
)
def test_a_training_of_somebody_else_is_unknown(
    agent: Any, stranger: Any, labelled: LabelSet, method: str, path: str
) -> None:
    """404, as for an id that never was (M-029)."""
    training = create(agent, labelled)
    body = {"json": {"name": "mine"}} if method == "PATCH" else {}

    foreign = stranger.ask(method, f"/training/{training['id']}{path}", **body).get_json()["error"]
    unknown = stranger.ask(method, f"/training/trn_{'0' * 26}{path}", **body).get_json()["error"]

    assert foreign == unknown
    assert foreign["code"] == "NOT_FOUND"


def test_a_label_set_that_names_another_field_learns_from_uploads_too(
    agent: Any, services: Services, labelled: LabelSet
) -> None:
    with services.database.transaction() as session:
        session.get_one(LabelSet, labelled.id).field = "photo"

    told = agent.ok("GET", f"/training/{create(agent, labelled)['id']}/validation")

    assert (told["startable"], told["problems"]) == (True, [])
