from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import Result

from backend.inference.job import PredictionJob
from backend.projects.service import Mirror
from backend.services import Services
from backend.versions.registry import ModelVersion

Tandem = Callable[..., Result]
AddVersion = Callable[[float], ModelVersion]


def test_a_job_is_asked_for_with_the_version_in_use(
    tandem: Tandem, services: Services, project: Mirror, add_version: AddVersion
) -> None:
    version = add_version(0.9)

    said = tandem("predict", "--unlabelled", "--view", "4", "--replace", "--json")

    [job] = services.prediction_jobs.of_project(project.project.id)
    assert json.loads(said.output)["id"] == job.id
    assert (job.version_name, job.selection, job.is_replacing) == (
        version.name,
        {"is_unlabelled": True, "view": 4},
        True,
    )


def test_a_project_without_a_version_is_told_to_train(tandem: Tandem, project: Mirror) -> None:
    said = tandem("predict")

    assert (said.exit_code, "train it first" in said.output) == (5, True)


def test_jobs_are_listed_and_cancelled(
    tandem: Tandem, services: Services, project: Mirror, add_version: AddVersion
) -> None:
    add_version(0.9)
    assert "no prediction job yet" in tandem("predictions", "list").output
    tandem("predict")
    [job] = services.prediction_jobs.of_project(project.project.id)

    cancelled = tandem("predictions", "cancel", job.id)
    listed = tandem("predictions", "list")

    assert "is cancelled" in cancelled.output
    assert "0 of ? predicted" in listed.output
    assert [one["state"] for one in json.loads(tandem("predictions", "list", "--json").output)] == ["cancelled"]


def test_watching_tells_how_it_ended_with_what_went_wrong(
    tandem: Tandem, services: Services, project: Mirror, add_version: AddVersion
) -> None:
    add_version(0.9)
    tandem("predict")
    [job] = services.prediction_jobs.of_project(project.project.id)
    with services.database.transaction() as session:
        stored = session.get_one(PredictionJob, job.id)
        stored.state, stored.num_tasks, stored.num_done, stored.num_failed = "completed", 3, 2, 1
        stored.faults = ["task 3: no image"]

    said = tandem("predictions", "watch", job.id)

    assert said.exit_code == 0
    assert said.output.splitlines() == ["completed: 2 of 3 predicted, 1 failed", "  task 3: no image"]
