from __future__ import annotations

from collections.abc import Callable
from typing import Any

from described_trainings import QuickFit, bare, create, lose, show, start
from doubles import InlineQueue

from backend.projects.service import LabelSet
from backend.services import Services
from backend.training.service import MAX_LOSSES
from models.family import FamilyError, Report


def test_while_it_runs_it_tells_how_it_is_going(
    agent: Any, labelled: LabelSet, train_all: Callable[[], None], fit: QuickFit
) -> None:
    """Progress grows, the log has lines, the best epoch so far is shown (M-022)."""
    training = create(agent, labelled)
    start(agent, training)
    seen: list[Any] = []
    fit.during = lambda _: seen.append(show(agent, training, include="history"))

    train_all()

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
    agent: Any, services: Services, labelled: LabelSet, collect: Callable[[], None], train_all: Callable[[], None]
) -> None:
    training = create(agent, labelled)
    start(agent, training)
    collect()
    lose(services, bare(training), fraction=0.6)
    before = show(agent, training)["progress"]

    train_all()

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


def test_what_cannot_be_learnt_fails_with_a_reason_and_is_paid(
    agent: Any, labelled: LabelSet, train_all: Callable[[], None], fit: QuickFit
) -> None:
    def refuse(_: Report) -> None:
        raise FamilyError("At least two different labels are needed.")

    fit.during = refuse
    training = create(agent, labelled)
    start(agent, training)
    train_all()

    failed = show(agent, training)
    assert failed["error"]["code"] == "NOT_LEARNABLE"
    assert failed["error"]["message"] == "At least two different labels are needed."
    assert failed["tokens"]["consumed"] == 1


def test_what_crashes_is_free(agent: Any, labelled: LabelSet, train_all: Callable[[], None], fit: QuickFit) -> None:
    def crash(_: Report) -> None:
        raise ZeroDivisionError

    fit.during = crash
    training = create(agent, labelled)
    start(agent, training)
    train_all()

    failed = show(agent, training)
    assert (failed["error"]["code"], failed["tokens"]["consumed"]) == ("INTERNAL", 0)


def test_cancelling_twice_is_cancelling_once_and_free(agent: Any, labelled: LabelSet) -> None:
    training = create(agent, labelled)
    start(agent, training)

    answers = [agent.ok("POST", f"/training/{training['id']}/cancel") for _ in range(2)]

    assert [each["status"] for each in answers] == ["cancelled"] * 2
    assert (answers[1]["tokens"]["reserved"], answers[1]["tokens"]["consumed"]) == (0, 0)
    answer = agent.error("POST", f"/training/{training['id']}/start")
    assert answer == (409, "INVALID_STATE", {"status": "cancelled"})


def test_cancelling_after_an_epoch_is_paid(
    agent: Any, labelled: LabelSet, train_all: Callable[[], None], fit: QuickFit
) -> None:
    training = create(agent, labelled)
    start(agent, training)
    fit.during = lambda _: agent.ok("POST", f"/training/{training['id']}/cancel")

    train_all()

    cancelled = show(agent, training)
    assert (cancelled["status"], cancelled["tokens"]["consumed"]) == ("cancelled", 1)


def test_a_completed_training_cannot_be_cancelled(agent: Any, completed: Any) -> None:
    answer = agent.error("POST", f"/training/{completed['id']}/cancel")

    assert answer == (409, "INVALID_STATE", {"status": "completed"})
