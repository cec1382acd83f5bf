"""Trainings followed from a terminal: over HTTP, with runs whose states the tests set."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from agent_projects import add_images, make_label_set
from terminals import Fault, Terminal

from adapters.identifiers import spell
from backend.projects.service import LabelSet
from backend.storage.columns import utc_now
from backend.training.run import RunState, TrainingRun

HALFWAY = {"epoch": 1, "num_epochs": 2, "fraction": 0.5, "eta_s": 30}
HISTORY = [{"epoch": 1, "loss": 0.9, "val_loss": 0.5, "val_accuracy": 0.75}]


@pytest.fixture
def label_set(terminal: Terminal) -> LabelSet:
    """Twenty labelled images."""
    services = terminal.services
    [user] = services.accounts.users()
    [workspace_id] = services.accounts.local(user).workspace_ids
    made = make_label_set(services, workspace_id)
    add_images(services, made, ["red", "green"] * 10)
    return made


@pytest.fixture
def training(terminal: Terminal, label_set: LabelSet) -> str:
    """A training that waits to be started."""
    return str(terminal.data("training", "create", spell("label_set_id", label_set.id), "--name", "first")["id"])


def change(terminal: Terminal, training: str, **fields: Any) -> None:
    with terminal.services.database.transaction() as session:
        run = session.get_one(TrainingRun, training.removeprefix("trn_"))
        for name, value in fields.items():
            setattr(run, name, value)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """Let things happen, one whenever a command pauses; return how long it wanted to pause."""

    def let(*steps: Callable[[], object]) -> list[float]:
        waiting: Iterator[Callable[[], object]] = iter(steps)
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            next(waiting)()

        monkeypatch.setattr(time, "sleep", sleep)
        return pauses

    return let


def test_a_training_is_started(terminal: Terminal, training: str) -> None:
    said = terminal.ok("training", "start", training)

    assert said.startswith(f"{training} is queued; it takes 1 token, which is reserved\n")
    assert terminal.data("training", "start", training, "--idempotency-key", "k")["status"] == "queued"


def test_one_line_is_printed_for_each_change(
    terminal: Terminal, training: str, meanwhile: Callable[..., list[float]]
) -> None:
    pauses = meanwhile(
        lambda: None,
        lambda: change(terminal, training, state=RunState.RUNNING, progress=HALFWAY, history=HISTORY),
        lambda: change(terminal, training, state=RunState.COMPLETED, progress={"fraction": 1.0}, finished_at=utc_now()),
    )

    result = terminal.tandem("training", "start", training, "--wait")

    assert result.exit_code == 0
    assert [" ".join(line.split()) for line in result.stderr.splitlines()] == [
        "queued 0 %",
        "running 50 % epoch 1/2 loss 0.9 val loss 0.5 val accuracy 0.75 about 30 s left",
        "completed 100 % loss 0.5 accuracy 0.75",
    ]
    assert f"{training} (first) has completed" in result.stdout
    assert pauses == [30, 30, 30]


def test_with_json_there_is_nothing_but_the_training(
    terminal: Terminal, training: str, meanwhile: Callable[..., list[float]]
) -> None:
    terminal.ok("training", "start", training)
    meanwhile(lambda: change(terminal, training, state=RunState.COMPLETED))

    result = terminal.tandem("training", "wait", training, "--json")

    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == terminal.data("training", "show", training)


def test_a_failed_training_says_what_to_do(terminal: Terminal, training: str) -> None:
    terminal.ok("training", "start", training)
    change(
        terminal, training, state=RunState.FAILED, error="There is one label only.", error_code="labels_insufficient"
    )

    result = terminal.tandem("training", "wait", training)

    assert result.exit_code == 1
    assert "There is one label only. (LABELS_INSUFFICIENT)" in result.stdout
    assert "Label more images, then create another training." in result.stdout


def test_a_cancelled_training_is_no_success(terminal: Terminal, training: str) -> None:
    terminal.ok("training", "cancel", training)

    result = terminal.tandem("training", "wait", training, "--json")

    assert (result.exit_code, json.loads(result.stdout)["status"]) == (1, "cancelled")


def test_waiting_ends_in_time(terminal: Terminal, training: str) -> None:
    terminal.ok("training", "start", training)

    result = terminal.tandem("training", "wait", training, "--timeout", "0.1")

    assert result.exit_code == 8
    assert f"tandem training wait {training}" in result.stderr
    assert terminal.data("training", "show", training)["status"] == "queued"


def test_ctrl_c_ends_the_waiting_only(terminal: Terminal, training: str, meanwhile: Callable[..., list[float]]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    meanwhile(interrupt)

    result = terminal.tandem("training", "start", training, "--wait")

    assert result.exit_code == 130
    assert f"{training} goes on. To wait again: tandem training wait {training}" in result.stderr
    assert terminal.data("training", "show", training)["status"] == "queued"


def test_a_server_that_restarts_is_waited_for(
    terminal: Terminal, training: str, meanwhile: Callable[..., list[float]]
) -> None:
    terminal.ok("training", "start", training)
    terminal.faults += [Fault(training, status=503), Fault(training, cut_at=3)]
    meanwhile(lambda: None, lambda: None, lambda: change(terminal, training, state=RunState.COMPLETED))

    assert terminal.data("training", "wait", training, "--poll-seconds", "5")["status"] == "completed"


def test_a_server_that_stays_away_is_given_up(
    terminal: Terminal, training: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.cli.waiting._MAX_SILENCE_S", 0)
    terminal.faults.append(Fault(training, status=503))

    result = terminal.tandem("training", "wait", training, "--json")

    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (1, "QUEUE_UNAVAILABLE")


def test_nobody_asks_too_often(terminal: Terminal, training: str) -> None:
    assert terminal.tandem("training", "wait", training, "--poll-seconds", "1").exit_code == 2


def test_what_is_not_there_is_not_waited_for(terminal: Terminal) -> None:
    assert terminal.tandem("training", "wait", spell("training_id", "0" * 26)).exit_code == 4


def test_a_training_is_shown_with_the_end_of_its_log(terminal: Terminal, training: str) -> None:
    change(terminal, training, state=RunState.RUNNING, progress=HALFWAY, history=HISTORY)
    run = terminal.services.training.get(training.removeprefix("trn_"))
    for number in range(30):
        terminal.services.training.add_line(run, f"line {number}")

    said = terminal.ok("training", "show", training, "--history")

    assert "is running: 50 %, about 30 s left" in said
    assert "Val accuracy" in said
    assert "line 29" in said
    assert "line 9\n" not in said
    assert "line 3\n" in terminal.ok("training", "show", training, "--log-tail", "30")


def test_logs_are_followed_to_their_end(
    terminal: Terminal, training: str, meanwhile: Callable[..., list[float]]
) -> None:
    terminal.ok("training", "start", training)
    run = terminal.services.training.get(training.removeprefix("trn_"))

    def end() -> None:
        terminal.services.training.add_line(run, "the last line")
        change(terminal, training, state=RunState.COMPLETED)

    meanwhile(lambda: terminal.services.training.add_line(run, "a new line"), end)

    followed = terminal.ok("training", "logs", training, "--follow")

    assert followed.count("a new line\n") == followed.count("the last line\n") == 1
    assert followed == terminal.ok("training", "logs", training)
