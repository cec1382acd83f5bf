"""`tandem runs`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest
from click.testing import Result

from backend.projects.service import Mirror
from backend.services import Services
from backend.training.run import RunState, TrainingRun

Tandem = Callable[..., Result]


@pytest.fixture
def run(services: Services, project: Mirror) -> TrainingRun:
    """A run that a trainer works on, in its second epoch."""
    [wished] = services.training.wish(project.project.id, reason="20 changed annotations")
    change(services, wished.id, state=RunState.QUEUED.value, attempt=1)
    run = services.training.claim(wished.id, 1, state=RunState.RUNNING)
    history = [{"stage": "training", "epoch": 1, "loss": 0.75}, {"stage": "training", "epoch": 2, "loss": 0.25}]
    progress = {
        "stage": "training",
        "epoch": 2,
        "num_epochs": 4,
        "fraction": 0.5,
        "metrics": {"loss": 0.25},
        "eta_s": 9,
    }
    services.training.tell(run, progress, history)
    services.training.add_line(run, "learning from 24 labelled items")
    return run


def change(services: Services, run_id: str, **values: object) -> None:
    with services.database.transaction() as session:
        stored = session.get_one(TrainingRun, run_id)
        for name, value in values.items():
            setattr(stored, name, value)


def test_the_list_shows_how_far_runs_are(tandem: Tandem, run: TrainingRun) -> None:
    assert "running 50.0 %" in tandem("runs", "list").output
    assert json.loads(tandem("runs", "list", "--json").output)[0]["progress"]["fraction"] == 0.5


def test_a_run_is_shown_with_its_epochs_and_its_log(tandem: Tandem, run: TrainingRun) -> None:
    said = tandem("runs", "show", run.id).output

    assert "because of 20 changed annotations" in said
    assert "0.75" in said
    assert "learning from 24 labelled items" in said
    told = json.loads(tandem("runs", "show", run.id, "--json").output)
    assert [epoch["loss"] for epoch in told["history"]] == [0.75, 0.25]
    assert told["log"][0]["text"] == "learning from 24 labelled items"


def test_a_cancelled_run_is_cancelled(tandem: Tandem, services: Services, run: TrainingRun) -> None:
    assert tandem("runs", "cancel", run.id).output == f"run {run.id} is cancelled\n"
    assert services.training.get(run.id).state == "cancelled"

    again = tandem("runs", "cancel", run.id)

    assert again.exit_code == 5
    assert "is cancelled and cannot become cancelled" in again.output


def test_watching_tells_the_log_and_how_it_ended(tandem: Tandem, services: Services, run: TrainingRun) -> None:
    def go_on() -> None:
        time.sleep(0.8)
        services.training.add_line(run, "epoch 3 of 4")
        services.training.end(run, RunState.FAILED, error="too few labels: 3, at least 4 are needed")

    with_trainer = threading.Thread(target=go_on)
    with_trainer.start()
    said = tandem("runs", "watch")
    with_trainer.join()

    assert said.exit_code == 1
    lines = [line.partition("  ")[2] for line in said.output.splitlines()[:-1]]
    assert lines == ["learning from 24 labelled items", "epoch 3 of 4"]
    assert said.output.splitlines()[-1] == f"run {run.id} failed: too few labels: 3, at least 4 are needed"


def test_watching_a_completed_run_is_a_success(tandem: Tandem, services: Services, run: TrainingRun) -> None:
    services.training.end(run, RunState.COMPLETED)

    assert tandem("runs", "watch", run.id).exit_code == 0


def test_an_unknown_run_is_told(tandem: Tandem, project: Mirror) -> None:
    for command in ("show", "cancel", "watch"):
        said = tandem("runs", command, "01nope")
        assert said.exit_code == 4
        assert "there is no training run '01nope'" in said.output


def test_without_runs_there_is_nothing_to_watch(tandem: Tandem, project: Mirror) -> None:
    assert tandem("runs", "list").output == "no run yet\n"
    assert tandem("runs", "watch").output == "Error: there is no run yet\n"
