from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from doubles import InlineQueue
from sqlalchemy import update

from backend.errors import NotFound, Unavailable
from backend.projects.service import Mirror
from backend.services import Services
from backend.settings import Settings
from backend.storage.columns import utc_now
from backend.training.run import IllegalTransition, RunState, TrainingRun
from backend.training.service import MAX_LOSSES, RunLost, Training


def silence(services: Services, run_id: str, seconds: float) -> None:
    with services.database.transaction() as session:
        past = utc_now() - timedelta(seconds=seconds)
        session.execute(update(TrainingRun).where(TrainingRun.id == run_id).values(heartbeat_at=past))


def wish(services: Services, mirror: Mirror) -> TrainingRun:
    [run] = services.training.wish(mirror.project.id, reason="test")
    return run


def test_ten_wishes_at_once_make_one_pending_run(services: Services, mirror: Mirror) -> None:  # C-064
    barrier = threading.Barrier(10)
    runs: list[str] = []

    def ask() -> None:
        barrier.wait()
        runs.append(wish(services, mirror).id)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(runs) == 10
    assert len(set(runs)) == 1


def test_a_wish_during_a_run_makes_exactly_one_more(services: Services, mirror: Mirror) -> None:  # C-064
    first = wish(services, mirror)
    services.training.advance()

    second, third = wish(services, mirror), wish(services, mirror)
    services.training.advance()

    assert second.id == third.id != first.id
    assert services.training.get(second.id).state == RunState.PENDING


def test_a_pending_run_starts_when_the_active_one_has_ended(services: Services, mirror: Mirror) -> None:
    first = wish(services, mirror)
    services.training.advance()
    second = wish(services, mirror)

    services.training.cancel(first.id)
    services.training.advance()

    assert services.training.get(second.id).state == RunState.QUEUED


def test_a_wish_needs_no_queue(services: Services, mirror: Mirror, queue: InlineQueue) -> None:
    queue.is_down = True

    run = wish(services, mirror)
    with pytest.raises(Unavailable):
        services.training.advance()
    queue.is_down = False
    services.training.advance()

    assert [args for _, args in queue.jobs.values()] == [(run.id, services.training.get(run.id).attempt)]


def test_a_job_that_the_queue_forgot_is_submitted_again(services: Services, mirror: Mirror, queue: InlineQueue) -> None:
    run = wish(services, mirror)
    services.training.advance()
    queue.jobs.clear()

    services.training.advance()

    assert list(queue.jobs) == [f"{run.id}-collect-2"]


def test_a_job_that_the_queue_expects_is_left_alone(services: Services, mirror: Mirror, queue: InlineQueue) -> None:
    wish(services, mirror)
    services.training.advance()

    services.training.advance()

    assert len(queue.jobs) == 1


def test_a_silent_run_is_taken_up_by_a_new_attempt(services: Services, mirror: Mirror, queue: InlineQueue) -> None:
    run = wish(services, mirror)
    services.training.advance()
    first = services.training.claim(run.id, 1, state=RunState.QUEUED)
    services.training.collected(first, "0" * 64)
    services.training.advance()
    running = services.training.claim(run.id, 2, state=RunState.RUNNING)
    silence(services, run.id, 5)

    services.training.advance()

    assert list(queue.jobs)[-1] == f"{run.id}-train-3"
    with pytest.raises(RunLost):
        services.training.beat(running)
    with pytest.raises(RunLost):
        services.training.end(running, RunState.COMPLETED)


def test_a_beating_run_is_left_alone(services: Services, mirror: Mirror, queue: InlineQueue) -> None:
    run = wish(services, mirror)
    services.training.advance()
    claimed = services.training.claim(run.id, 1, state=RunState.QUEUED)
    silence(services, run.id, 5)

    services.training.beat(claimed)
    services.training.advance()

    assert len(queue.jobs) == 1


def test_a_run_that_is_killed_again_and_again_without_progress_fails(services: Services, mirror: Mirror) -> None:
    run = wish(services, mirror)
    services.training.advance()
    for attempt in range(1, MAX_LOSSES + 1):
        services.training.claim(run.id, attempt, state=RunState.QUEUED)
        silence(services, run.id, 5)
        services.training.advance()

    ended = services.training.get(run.id)
    assert ended.state == RunState.FAILED
    assert ended.error is not None
    assert "short of memory" in ended.error


def test_a_run_that_gets_further_each_time_survives_many_kills(services: Services, mirror: Mirror) -> None:
    run = wish(services, mirror)
    services.training.advance()
    for attempt in range(1, 10):
        claimed = services.training.claim(run.id, attempt, state=RunState.QUEUED)
        services.training.tell(claimed, {**claimed.progress, "fraction": attempt / 10}, [])
        silence(services, run.id, 5)
        services.training.advance()

    assert services.training.get(run.id).state == RunState.QUEUED


def test_a_job_delivered_twice_is_claimed_once(services: Services, mirror: Mirror) -> None:
    run = wish(services, mirror)
    services.training.advance()
    services.training.claim(run.id, 1, state=RunState.QUEUED)

    with pytest.raises(RunLost):
        services.training.claim(run.id, 1, state=RunState.QUEUED)


def test_a_cancelled_run_cannot_be_claimed_ended_or_cancelled_again(
    services: Services, mirror: Mirror, queue: InlineQueue
) -> None:
    run = wish(services, mirror)
    services.training.advance()
    claimed = services.training.claim(run.id, 1, state=RunState.QUEUED)

    services.training.cancel(run.id)

    assert queue.cancelled == [f"{run.id}-collect-1"]
    with pytest.raises(RunLost):
        services.training.end(claimed, RunState.COMPLETED)
    with pytest.raises(IllegalTransition):
        services.training.cancel(run.id)
    assert services.training.get(run.id).state == RunState.CANCELLED


def test_cancelling_works_while_the_queue_is_down(services: Services, mirror: Mirror, queue: InlineQueue) -> None:
    run = wish(services, mirror)
    services.training.advance()
    queue.is_down = True

    assert services.training.cancel(run.id).state == RunState.CANCELLED


def test_a_wish_for_a_project_without_label_sets_makes_no_run(services: Services) -> None:
    mirror = services.projects.mirror("label_studio", "8.1", document="<View/>", schemas={})

    assert services.training.wish(mirror.project.id, reason="test") == []


def test_an_unknown_run_is_not_found(services: Services) -> None:
    with pytest.raises(NotFound):
        services.training.get("nothing")


def test_how_long_a_run_should_take_is_part_of_its_settings(
    services: Services, mirror: Mirror, settings: Settings, queue: InlineQueue
) -> None:
    hasty = settings.model_copy(update={"train_within_s": 30.0})
    training = Training(services.database, queue, services.projects, services.allowances, hasty)

    [run] = training.wish(mirror.project.id, reason="test")

    assert run.settings["time_limit_s"] == 30.0
