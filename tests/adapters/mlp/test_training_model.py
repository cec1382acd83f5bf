from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import onnx
from described_trainings import create, download, show, start

from backend.projects.service import LabelSet, Promotion
from backend.services import Services
from backend.settings import Settings


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


def test_a_model_that_answers_cannot_be_deleted_and_an_older_one_takes_its_files_along(
    agent: Any,
    services: Services,
    settings: Settings,
    labelled: LabelSet,
    completed: Any,
    train_all: Callable[[], None],
) -> None:
    download(agent, completed)
    version = services.versions.named(labelled.project_id, completed["modelVersion"])
    in_use = agent.error("DELETE", f"/training/{completed['id']}")
    second = create(agent, labelled, config={"seed": 1})
    start(agent, second)
    train_all()

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


def test_a_pinned_model_stays_when_another_one_is_trained(
    agent: Any, services: Services, labelled: LabelSet, completed: Any, train_all: Callable[[], None]
) -> None:
    services.projects.change(labelled.project_id, promotion=Promotion.ALWAYS)
    version = services.versions.named(labelled.project_id, completed["modelVersion"])
    services.versions.pin(version)

    second = create(agent, labelled, config={"seed": 1})
    start(agent, second)
    train_all()

    assert show(agent, second)["status"] == "completed"
    assert services.projects.get_label_set(labelled.id).version_id == version.id
