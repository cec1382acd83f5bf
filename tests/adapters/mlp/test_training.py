from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from agent_projects import add_images, id_of, make_label_set
from builders import build_checkpoint, image_bytes
from doubles import InlineQueue
from PIL import Image
from sqlalchemy import update
from werkzeug.test import TestResponse

from backend.accounts.service import Workspace
from backend.projects.service import LabelSet, Promotion
from backend.services import Services
from backend.settings import Settings
from backend.storage.columns import utc_now
from backend.training.execution import Execution
from backend.training.run import RunState, TrainingRun
from backend.training.service import MAX_LOSSES
from models import images
from models.examples import Example
from models.families.image_classification.predict import ImageClassifier
from models.family import FamilyError, FitSettings, Progress, Report
from models.labels import LabelSchema, Objective
from models.runtime import Session

QUICK = {"epochs": 1, "imageSize": 32, "pretrained": False}


class QuickFit:
    """Learns nothing, in no time; each fit makes another model."""

    def __init__(self) -> None:
        self.during: Callable[[Report], None] = lambda _: None
        self.examples: Sequence[Example] = ()
        self.settings = FitSettings()

    def __call__(
        self,
        examples: Sequence[Example],
        schema: LabelSchema,
        settings: FitSettings,
        *,
        device: str,
        report: Report,
        folder: Path,
        weights: Path | None,
    ) -> None:
        self.examples, self.settings = examples, settings
        report.progress(Progress("evaluating", 1, 2, 0.3, {"loss": 0.9, "val_loss": 0.5, "val_accuracy": 0.75}))
        self.during(report)
        build_checkpoint(folder, schema, sharpness=20.0 + settings.seed)
        torch.save(torch.nn.Linear(3, 2).state_dict(), folder / "weights.pth")


@pytest.fixture
def fit() -> QuickFit:
    return QuickFit()


@pytest.fixture
def workspace_id(services: Services, agent: Any) -> str:
    [workspace_id] = services.accounts.local(agent.user).workspace_ids
    return workspace_id


@pytest.fixture
def label_set(services: Services, workspace_id: str) -> LabelSet:
    return make_label_set(services, workspace_id)


@pytest.fixture
def labelled(services: Services, label_set: LabelSet) -> LabelSet:
    """A label set with ten red and ten green images."""
    add_images(services, label_set, ["red", "green"] * 10)
    return label_set


@pytest.fixture
def collect(
    services: Services, queue: InlineQueue, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Let the clock tick and the background work, until runs wait for a trainer."""
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")

    def do() -> None:
        services.training.advance()
        for job_id, (job, args) in list(queue.jobs.items()):
            if job.endswith(".collect"):
                del queue.jobs[job_id]
                resolve_name(job)(*args)
        services.training.advance()

    return do


@pytest.fixture
def work(
    services: Services, queue: InlineQueue, settings: Settings, collect: Callable[[], None], fit: QuickFit
) -> Callable[[], None]:
    """Let all workers work, the trainer with `fit`."""
    parts = (services.database, services.training, services.versions, services.projects, services.blobs, settings)
    execution = Execution(*parts, fitter=lambda _: fit)

    def do() -> None:
        collect()
        while queue.jobs:
            _, args = queue.jobs.pop(next(iter(queue.jobs)))
            execution.execute(*args)

    return do


def create(agent: Any, label_set: LabelSet, **body: Any) -> Any:
    return agent.ok("POST", f"/label-sets/{id_of(label_set)}/training", json=body)


def start(agent: Any, training: Any) -> Any:
    return agent.ok("POST", f"/training/{training['id']}/start")


def show(agent: Any, training: Any, **query: Any) -> Any:
    return agent.ok("GET", f"/training/{training['id']}", query_string=query)


def download(agent: Any, training: Any, query: str = "", **options: Any) -> TestResponse:
    """Download a model, and close the file."""
    return agent.ask("GET", f"/training/{training['id']}/download{query}", buffered=True, **options)


def bare(training: Any) -> str:
    return str(training["id"]).removeprefix("trn_")


def set_allowance(services: Services, workspace_id: str, allowance: int | None) -> None:
    with services.database.transaction() as session:
        session.get_one(Workspace, workspace_id).allowance = allowance


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
    agent: Any, labelled: LabelSet, work: Callable[[], None], fit: QuickFit
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
    work()

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
    agent: Any, label_set: LabelSet, body: Any, field: str
) -> None:
    status, code, details = agent.error("POST", f"/label-sets/{id_of(label_set)}/training", json=body)

    assert (status, code) == (400, "VALIDATION_ERROR")
    assert field in details["fields"]


def test_what_no_model_learns_cannot_be_trained(agent: Any, services: Services, workspace_id: str) -> None:
    label_set = make_label_set(services, workspace_id, objective=Objective.SPANS)

    answer = agent.error("POST", f"/label-sets/{id_of(label_set)}/training", json={})

    assert answer[:2] == (422, "TASK_TYPE_NOT_TRAINABLE")


def test_without_labels_it_does_not_start(agent: Any, services: Services, label_set: LabelSet) -> None:
    """Nothing is labelled: 422, and it is still pending (M-018)."""
    add_images(services, label_set, [None, None, "red"])
    training = create(agent, label_set)

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
    work: Callable[[], None],
) -> None:
    """A member starts it; the workspace's usage grows, the member's own does not (M-021)."""
    member = make_agent("bob@example.com")
    [own] = services.accounts.local(member.user).workspace_ids
    services.workspaces.add_member(services.accounts.local(agent.user), workspace_id, "bob@example.com")

    training = create(member, labelled)
    start(member, training)
    reserved = show(member, training)["tokens"]
    work()

    assert reserved == {"reserved": 1, "consumed": 0, "billedTo": f"ws_{workspace_id}"}
    assert show(member, training)["tokens"] == {"reserved": 0, "consumed": 1, "billedTo": f"ws_{workspace_id}"}
    assert services.allowances.usage(workspace_id).used == 1
    assert services.allowances.usage(own).used == 0


def test_while_it_runs_it_tells_how_it_is_going(
    agent: Any, labelled: LabelSet, work: Callable[[], None], fit: QuickFit
) -> None:
    """Progress grows, the log has lines, the best epoch so far is shown (M-022)."""
    training = create(agent, labelled)
    start(agent, training)
    seen: list[Any] = []
    fit.during = lambda _: seen.append(show(agent, training, include="history"))

    work()

    [running], done = seen, show(agent, training)
    assert running["status"] == "running"
    assert 0 < running["progress"] <= done["progress"] == 100
    assert "learning from" in running["log"]
    assert running["metrics"]["accuracy"] == 0.75
    assert running["history"] == [{"stage": "evaluating", "epoch": 1, "loss": 0.9, "valLoss": 0.5, "valAccuracy": 0.75}]
    assert (running["epoch"], running["epochs"], running["pollAfterSeconds"]) == (1, 2, 30)
    assert done["metrics"]["accuracy"] == 1.0
    assert done["history"] == []


def test_progress_never_goes_back_when_a_process_is_lost(
    agent: Any, services: Services, labelled: LabelSet, collect: Callable[[], None], work: Callable[[], None]
) -> None:
    training = create(agent, labelled)
    start(agent, training)
    collect()
    lose(services, bare(training), fraction=0.6)
    before = show(agent, training)["progress"]

    work()

    assert before == 60.0
    assert show(agent, training)["status"] == "completed"


def test_a_worker_that_is_lost_again_and_again_fails_it_for_free(
    agent: Any, services: Services, labelled: LabelSet, queue: InlineQueue, collect: Callable[[], None]
) -> None:
    """It is taken up again; when that does not help it fails with WORKER_LOST, and costs nothing (M-023)."""
    training = create(agent, labelled)
    start(agent, training)
    collect()

    for _ in range(MAX_LOSSES):
        lose(services, bare(training), fraction=0.2)
        queue.jobs.clear()
        services.training.advance()

    failed = show(agent, training)
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "WORKER_LOST"
    assert failed["error"]["hint"]
    assert (failed["tokens"]["reserved"], failed["tokens"]["consumed"]) == (0, 0)


def lose(services: Services, run_id: str, *, fraction: float) -> None:
    """Let a run's process take it up, get so far, and be silent ever since."""
    attempt = services.training.get(run_id).attempt
    run = services.training.claim(run_id, attempt, state=RunState.RUNNING)
    services.training.tell(run, {**run.progress, "fraction": fraction}, [])
    with services.database.transaction() as session:
        past = utc_now() - timedelta(minutes=1)
        session.execute(update(TrainingRun).where(TrainingRun.id == run_id).values(heartbeat_at=past))


def test_what_cannot_be_learnt_fails_with_a_reason_and_is_paid(
    agent: Any, labelled: LabelSet, work: Callable[[], None], fit: QuickFit
) -> None:
    def refuse(_: Report) -> None:
        raise FamilyError("At least two different labels are needed.")

    fit.during = refuse
    training = create(agent, labelled)
    start(agent, training)
    work()

    failed = show(agent, training)
    assert failed["error"]["code"] == "NOT_LEARNABLE"
    assert failed["error"]["message"] == "At least two different labels are needed."
    assert failed["tokens"]["consumed"] == 1


def test_what_crashes_is_free(agent: Any, labelled: LabelSet, work: Callable[[], None], fit: QuickFit) -> None:
    def crash(_: Report) -> None:
        raise ZeroDivisionError

    fit.during = crash
    training = create(agent, labelled)
    start(agent, training)
    work()

    failed = show(agent, training)
    assert (failed["error"]["code"], failed["tokens"]["consumed"]) == ("INTERNAL", 0)


@pytest.fixture
def completed(agent: Any, labelled: LabelSet, work: Callable[[], None]) -> Any:
    training = create(agent, labelled)
    start(agent, training)
    work()
    return show(agent, training)


def test_a_download_before_the_end_is_refused(agent: Any, labelled: LabelSet) -> None:
    """409 MODEL_NOT_READY, with the status (M-024)."""
    training = create(agent, labelled)

    answer = agent.error("GET", f"/training/{training['id']}/download")

    assert answer == (409, "MODEL_NOT_READY", {"status": "pending"})


def test_a_download_says_what_it_is(agent: Any, completed: Any) -> None:
    """ONNX by default; another format than onnx and pth is 400 (M-024)."""
    path = f"/training/{completed['id']}/download"
    response = download(agent, completed)

    digest = hashlib.sha256(response.data)
    assert response.content_type == "application/octet-stream"
    assert response.headers["Content-Disposition"] == f"attachment; filename={completed['modelVersion']}.onnx"
    assert int(response.headers["Content-Length"]) == len(response.data)
    assert response.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert response.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    onnx.checker.check_model(onnx.load_from_string(response.data))
    assert agent.error("GET", f"{path}?format=zip")[:2] == (400, "VALIDATION_ERROR")


def test_a_part_of_a_download_can_be_had(agent: Any, completed: Any) -> None:
    whole = download(agent, completed, "?format=pth")

    part = download(agent, completed, "?format=pth", headers={"Range": "bytes=10-19"})
    unchanged = download(agent, completed, "?format=pth", headers={"If-None-Match": whole.headers["ETag"]})

    assert (part.status_code, part.data) == (206, whole.data[10:20])
    assert part.headers["Repr-Digest"] == whole.headers["Repr-Digest"]
    assert unchanged.status_code == 304


def test_what_sees_no_images_has_no_files_to_take_away(agent: Any, services: Services, completed: Any) -> None:
    from backend.versions.registry import ModelVersion

    version = services.versions.named(completed["projectId"].removeprefix("prj_"), completed["modelVersion"])
    with services.database.transaction() as session:
        session.get_one(ModelVersion, version.id).family = "text_classification"

    answer = agent.error("GET", f"/training/{completed['id']}/download")

    assert answer == (409, "FORMAT_UNAVAILABLE", {"available": []})
    assert show(agent, completed)["formats"] == []


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
    agent: Any, services: Services, label_set: LabelSet, workspace_id: str, queue: InlineQueue
) -> None:
    training = create(agent, label_set)
    path = f"/training/{training['id']}/validation"
    set_allowance(services, workspace_id, 0)
    queue.is_down = True

    problems = [each["code"] for each in agent.ok("GET", path)["problems"]]
    set_allowance(services, workspace_id, None)
    queue.is_down = False
    add_images(services, label_set, ["red", "green"] * 5)

    assert problems == ["LABELS_INSUFFICIENT", "TOKENS_EXHAUSTED", "QUEUE_UNAVAILABLE"]
    good = agent.ok("GET", path)
    assert (good["startable"], good["problems"], good["estimate"]["tokens"]) == (True, [], 1)


def test_a_name_can_be_changed(agent: Any, labelled: LabelSet) -> None:
    training = create(agent, labelled)

    renamed = agent.ok("PATCH", f"/training/{training['id']}", json={"name": "better"})

    assert training["name"] == "colours"
    assert renamed["name"] == "better"


def test_cancelling_twice_is_cancelling_once_and_free(agent: Any, labelled: LabelSet) -> None:
    training = create(agent, labelled)
    start(agent, training)

    answers = [agent.ok("POST", f"/training/{training['id']}/cancel") for _ in range(2)]

    assert [each["status"] for each in answers] == ["cancelled"] * 2
    assert (answers[1]["tokens"]["reserved"], answers[1]["tokens"]["consumed"]) == (0, 0)
    answer = agent.error("POST", f"/training/{training['id']}/start")
    assert answer == (409, "INVALID_STATE", {"status": "cancelled"})


def test_cancelling_after_an_epoch_is_paid(
    agent: Any, labelled: LabelSet, work: Callable[[], None], fit: QuickFit
) -> None:
    training = create(agent, labelled)
    start(agent, training)
    fit.during = lambda _: agent.ok("POST", f"/training/{training['id']}/cancel")

    work()

    cancelled = show(agent, training)
    assert (cancelled["status"], cancelled["tokens"]["consumed"]) == ("cancelled", 1)


def test_a_completed_training_cannot_be_cancelled(agent: Any, completed: Any) -> None:
    answer = agent.error("POST", f"/training/{completed['id']}/cancel")

    assert answer == (409, "INVALID_STATE", {"status": "completed"})


def test_a_model_that_answers_cannot_be_deleted_and_an_older_one_takes_its_files_along(
    agent: Any, services: Services, settings: Settings, labelled: LabelSet, completed: Any, work: Callable[[], None]
) -> None:
    download(agent, completed)
    version = services.versions.named(labelled.project_id, completed["modelVersion"])
    in_use = agent.error("DELETE", f"/training/{completed['id']}")
    second = create(agent, labelled, config={"seed": 1})
    start(agent, second)
    work()

    agent.ok("DELETE", f"/training/{completed['id']}")

    assert in_use == (409, "INVALID_STATE", {"status": "completed"})
    assert agent.error("GET", f"/training/{completed['id']}")[:2] == (404, "NOT_FOUND")
    assert not services.blobs.has(version.files["model.onnx"])
    assert not (settings.home / "downloads" / version.id).exists()
    assert not (settings.home / "checkpoints" / version.id).exists()
    assert show(agent, second)["status"] == "completed"
    assert [row.name for row in services.versions.of_project(labelled.project_id)] == [
        show(agent, second)["modelVersion"]
    ]


def test_an_open_training_cannot_be_deleted(agent: Any, labelled: LabelSet) -> None:
    training = create(agent, labelled)
    start(agent, training)

    assert agent.error("DELETE", f"/training/{training['id']}") == (409, "INVALID_STATE", {"status": "queued"})


def test_a_draft_can_be_deleted(agent: Any, labelled: LabelSet) -> None:
    training = create(agent, labelled, config={"batchSize": 4})

    agent.ok("DELETE", f"/training/{training['id']}")

    assert agent.error("GET", f"/training/{training['id']}")[0] == 404


def test_the_log_is_text_that_can_be_read_on(agent: Any, completed: Any) -> None:
    path = f"/training/{completed['id']}/log"
    whole = agent.ask("GET", path)

    rest = agent.ask("GET", f"{path}?offset={len(whole.data) - 5}")

    assert whole.content_type == "text/plain; charset=utf-8"
    assert "collected 18 labelled items" in whole.get_data(as_text=True)
    assert rest.data == whole.data[-5:]
    tail = show(agent, completed, logTail=1)
    assert (len(tail["log"].splitlines()), tail["logTruncated"]) == (1, True)


def test_splits_that_are_given_are_kept_and_those_for_tests_are_left_out(
    agent: Any, services: Services, label_set: LabelSet, work: Callable[[], None], fit: QuickFit
) -> None:
    add_images(services, label_set, ["red", "green"] * 2, split="train")
    val = add_images(services, label_set, ["red", "green"], split="held_out")
    add_images(services, label_set, ["red"] * 3, split="test")

    training = create(agent, label_set)
    start(agent, training)
    work()

    assert show(agent, training)["dataset"] == {"train": 4, "val": 2, "test": 3, "labels": 6}
    assert {each.key for each in fit.examples if each.split == "held_out"} == {task.external_id for task in val}
    assert len(fit.examples) == 6


def test_a_pinned_model_stays_when_another_one_is_trained(
    agent: Any, services: Services, labelled: LabelSet, completed: Any, work: Callable[[], None]
) -> None:
    services.projects.change(labelled.project_id, promotion=Promotion.ALWAYS)
    version = services.versions.named(labelled.project_id, completed["modelVersion"])
    services.versions.pin(version)

    second = create(agent, labelled, config={"seed": 1})
    start(agent, second)
    work()

    assert show(agent, second)["status"] == "completed"
    assert services.projects.get_label_set(labelled.id).version_id == version.id


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
