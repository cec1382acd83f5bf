"""What a model says about many images, asked at a terminal; networks are made by hand, and workers work here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doubles import InlineQueue
from labelled_projects import make_label_set, make_project
from terminals import Terminal
from trained_projects import BOX_SIDE, add_training, build_detector, paint, upload

from adapters.identifiers import spell
from models.labels import Objective
from models.regions import Box


@pytest.fixture
def training(terminal: Terminal, tmp_path: Path) -> str:
    """A detector of red and green cells that has completed, and three images: two labelled, one not."""
    services = terminal.services
    [user] = services.accounts.users()
    [workspace_id] = services.accounts.local(user).workspace_ids
    label_set = make_label_set(services, make_project(services, workspace_id), Objective.DETECTION, ["red", "green"])
    for number in range(2):
        box = Box("red", 0.5625, 0.5625, BOX_SIDE, BOX_SIDE)
        upload(services, label_set, paint({(4, 4): 0, (number, 0): 1}), split="test", said=[box])
    upload(services, label_set, paint({(1, 1): 1}), split="train")
    run = add_training(services, label_set, build_detector(tmp_path / "detector", label_set.schema))
    return spell("training_id", run.id)


@pytest.fixture
def working(terminal: Terminal, queue: InlineQueue, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let clock and workers work whenever a command pauses."""

    def work(_: float = 0) -> None:
        terminal.services.prediction_jobs.advance()
        queue.run_all()

    monkeypatch.setattr(time, "sleep", work)
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")
    return work


def test_a_batch_is_begun_and_its_results_are_read_later(
    terminal: Terminal, training: str, working: Callable[[], None]
) -> None:
    begun = terminal.data("infer-all", training, "--split", "test")["run"]
    again = terminal.ok("infer-all", training, "--split", "test")
    working()
    results = terminal.ok("infer-all", "results", training)

    assert begun["status"] == "queued"
    assert begun["id"] in again
    assert f"tandem infer-all results {training}" in again
    assert "is completed: 2 images" in results
    assert results.count("red, green") + results.count("green, red") == 2


def test_a_batch_is_waited_for(terminal: Terminal, training: str, working: Callable[[], None]) -> None:
    result = terminal.tandem("infer-all", training, "--wait")

    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1].split() == ["completed", "100", "%", "3", "of", "3", "images"]
    assert "is completed: 3 images" in result.stdout


def test_all_pages_are_one(terminal: Terminal, training: str, working: Callable[[], None]) -> None:
    terminal.ok("infer-all", training, "--wait")

    page = terminal.data("infer-all", "results", training, "--limit", "2")
    whole = terminal.data("infer-all", "results", training, "--limit", "2", "--all")

    assert (len(page["predictions"]), page["hasMore"]) == (2, True)
    assert (len(whole["predictions"]), whole["hasMore"], whole["nextCursor"]) == (3, False, None)
    assert "There is more: --all" in terminal.ok("infer-all", "results", training, "--limit", "2")


def test_a_batch_that_takes_too_long_goes_on(terminal: Terminal, training: str) -> None:
    result = terminal.tandem("infer-all", training, "--wait", "--timeout", "0.1", "--json")

    assert (result.exit_code, json.loads(result.stdout)["run"]["status"]) == (8, "queued")


def test_an_evaluation_is_waited_for_and_shown(terminal: Terminal, training: str, working: Callable[[], None]) -> None:
    result = terminal.tandem("evaluate", training, "--split", "test", "--wait")

    assert result.exit_code == 0
    assert "Measured on 2 images of test:" in result.stdout
    assert "map50_95" in result.stdout
    assert [line.split()[0] for line in result.stdout.splitlines() if line.strip()[:3] in ("red", "gre")] == [
        "red",
        "green",
    ]
    assert result.stdout.endswith(terminal.ok("evaluate", "results", training))


def test_what_was_measured_is_the_same_as_over_http(
    terminal: Terminal, training: str, working: Callable[[], None]
) -> None:
    waited: Any = terminal.data("evaluate", training, "--split", "test", "--wait")

    assert waited == terminal.data("evaluate", "results", training)
    assert waited["metrics"]["evaluatedImages"] == 2


def test_without_a_run_there_are_no_results(terminal: Terminal, training: str) -> None:
    assert terminal.tandem("evaluate", "results", training).exit_code == 4
    assert terminal.tandem("infer-all", "results", training).exit_code == 4
