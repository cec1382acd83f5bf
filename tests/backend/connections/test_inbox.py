from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from backend.connections.inbox import KEPT_FOR, Event
from backend.projects.service import Mirror
from backend.services import Services
from backend.storage.columns import utc_now
from backend.training.run import RunState


def put(services: Services, mirror: Mirror, number: int, *, is_trusted: bool = True) -> None:
    for annotation_id in range(number):
        services.inbox.put(mirror.project.id, "ANNOTATION_CREATED", [str(annotation_id)], is_trusted=is_trusted)


def runs(services: Services, mirror: Mirror) -> list[str]:
    return [run.id for run in services.training.of_project(mirror.project.id)]


def age(services: Services, seconds: float) -> None:
    with services.database.transaction() as session:
        session.execute(update(Event).values(received_at=utc_now() - timedelta(seconds=seconds)))


def test_too_few_changes_wait(services: Services, mirror: Mirror) -> None:
    put(services, mirror, 19)

    services.inbox.coalesce()

    assert runs(services, mirror) == []
    assert services.inbox.num_waiting(mirror.project.id) == 19


def test_enough_changes_make_one_run_that_takes_them_all_in(services: Services, mirror: Mirror) -> None:
    put(services, mirror, 25)

    services.inbox.coalesce()
    services.inbox.coalesce()

    assert len(runs(services, mirror)) == 1
    assert services.inbox.num_waiting() == 0


def test_changes_wait_until_it_is_quiet_but_not_for_ever(services: Services, mirror: Mirror) -> None:
    services.projects.change(mirror.project.id, train_quiet_s=30.0)
    put(services, mirror, 20)

    services.inbox.coalesce()
    before = runs(services, mirror)
    age(services, 31)
    services.inbox.coalesce()

    assert before == []
    assert len(runs(services, mirror)) == 1


def test_a_stream_that_is_never_quiet_is_trained_after_a_minute(services: Services, mirror: Mirror) -> None:
    services.projects.change(mirror.project.id, train_quiet_s=30.0)
    put(services, mirror, 20)
    age(services, 61)
    put(services, mirror, 1)

    services.inbox.coalesce()

    assert len(runs(services, mirror)) == 1


def test_events_join_a_run_that_is_pending_whatever_their_number(services: Services, mirror: Mirror) -> None:
    [run] = services.training.wish(mirror.project.id, reason="Start Training")
    put(services, mirror, 1)

    services.inbox.coalesce()

    assert runs(services, mirror) == [run.id]
    assert services.inbox.num_waiting() == 0


def test_a_thousand_events_during_a_run_are_followed_by_one_run(services: Services, mirror: Mirror) -> None:
    services.training.wish(mirror.project.id, reason="test")
    services.training.advance()

    for _ in range(10):
        put(services, mirror, 100)
        services.inbox.coalesce()
        services.training.advance()

    states = sorted(run.state for run in services.training.of_project(mirror.project.id))
    assert states == [RunState.PENDING, RunState.QUEUED]
    assert services.inbox.num_waiting() == 0


def test_a_manual_project_is_never_trained_by_events(services: Services, mirror: Mirror) -> None:
    services.projects.change(mirror.project.id, train_every=0)
    put(services, mirror, 100)
    age(services, 3600)

    services.inbox.coalesce()

    assert runs(services, mirror) == []


def test_events_of_unproven_senders_start_one_run_a_minute(services: Services, mirror: Mirror) -> None:
    put(services, mirror, 20, is_trusted=False)
    services.inbox.coalesce()
    services.training.cancel(runs(services, mirror)[0])
    put(services, mirror, 20, is_trusted=False)

    services.inbox.coalesce()

    assert len(runs(services, mirror)) == 1
    assert services.inbox.num_waiting() == 20


def test_an_event_about_several_annotations_counts_each(services: Services, mirror: Mirror) -> None:
    services.inbox.put(mirror.project.id, "ANNOTATIONS_CREATED", [str(n) for n in range(20)], is_trusted=True)

    services.inbox.coalesce()

    assert len(runs(services, mirror)) == 1


def test_handled_events_are_forgotten_after_a_month(services: Services, mirror: Mirror) -> None:
    put(services, mirror, 20)
    services.inbox.coalesce()
    with services.database.transaction() as session:
        session.execute(update(Event).values(handled_at=utc_now() - KEPT_FOR - timedelta(days=1)))

    services.inbox.prune()

    with services.database.reading() as session:
        assert session.query(Event).count() == 0


def test_events_that_arrive_together_are_all_stored(services: Services, mirror: Mirror) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: put(services, mirror, 10), range(16)))

    with services.database.reading() as session:
        assert session.query(Event).count() == 160


def test_an_event_that_could_not_be_stored_is_not_acknowledged(services: Services) -> None:
    with pytest.raises(IntegrityError):
        services.inbox.put("no such project", "ANNOTATION_CREATED", ["1"], is_trusted=True)
