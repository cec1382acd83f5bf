"""Requests that are repeated (S-011, as far as it is about the backend)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from backend.errors import Conflict, Invalid, TandemError
from backend.idempotency import Idempotency, KeptAnswer
from backend.services import Services
from backend.storage.columns import utc_now

REQUEST = ("ada", "POST", "/projects", "key")


@pytest.fixture
def idempotency(services: Services) -> Idempotency:
    return services.idempotency


def age(services: Services, by: timedelta) -> None:
    with services.database.transaction() as session:
        session.execute(update(KeptAnswer).values(created_at=utc_now() - by))


def test_the_first_answer_is_given_again(idempotency: Idempotency) -> None:
    """S-011."""
    assert idempotency.begin(*REQUEST, "body") is None
    idempotency.finish(*REQUEST, status=201, body='{"ok": true}')

    kept = idempotency.begin(*REQUEST, "body")

    assert kept is not None
    assert (kept.status, kept.body) == (201, '{"ok": true}')


@pytest.mark.parametrize("place", range(4))
def test_a_key_means_a_request_of_one_user_to_one_place(idempotency: Idempotency, place: int) -> None:
    other = [*REQUEST]
    other[place] += "'"
    idempotency.begin(*REQUEST, "body")

    user_id, method, path, key = other

    assert idempotency.begin(user_id, method, path, key, "body") is None


@pytest.mark.parametrize("is_finished", [False, True])
def test_a_key_is_good_for_one_body(idempotency: Idempotency, is_finished: bool) -> None:
    """S-011."""
    idempotency.begin(*REQUEST, "body")
    if is_finished:
        idempotency.finish(*REQUEST, status=200, body="{}")

    with pytest.raises(Invalid) as failure:
        idempotency.begin(*REQUEST, "other body")

    assert failure.value.code == "idempotency_key_reused"


def test_of_requests_at_the_same_time_one_is_answered(idempotency: Idempotency) -> None:
    """S-011."""

    def begin(_: int) -> str:
        try:
            return "first" if idempotency.begin(*REQUEST, "body") is None else "kept"
        except TandemError as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(begin, range(16)))

    assert sorted(answers) == ["first", *["idempotency_in_progress"] * 15]


def test_what_was_forgotten_may_be_asked_again(idempotency: Idempotency) -> None:
    """S-011: answers of 500 and above, and 429, are not kept."""
    idempotency.begin(*REQUEST, "body")

    idempotency.forget(*REQUEST)

    assert idempotency.begin(*REQUEST, "body") is None


def test_an_answer_with_a_secret_is_neither_kept_nor_made_again(services: Services, idempotency: Idempotency) -> None:
    """S-011."""
    idempotency.begin(*REQUEST, "body")
    idempotency.finish(*REQUEST, status=201, body=None)

    with pytest.raises(Conflict) as failure:
        idempotency.begin(*REQUEST, "body")

    assert failure.value.code == "conflict"
    with services.database.reading() as session:
        assert session.scalars(select(KeptAnswer.body)).all() == [""]


def test_after_a_day_a_key_is_new(services: Services, idempotency: Idempotency) -> None:
    """S-011."""
    idempotency.begin(*REQUEST, "body")
    idempotency.finish(*REQUEST, status=200, body="{}")
    age(services, timedelta(hours=23, minutes=59))
    kept = idempotency.begin(*REQUEST, "body")

    age(services, timedelta(hours=24, seconds=1))

    assert kept is not None
    assert idempotency.begin(*REQUEST, "other body") is None


def test_a_request_whose_process_was_lost_may_be_made_again(services: Services, idempotency: Idempotency) -> None:
    idempotency.begin(*REQUEST, "body")

    age(services, timedelta(minutes=16))

    assert idempotency.begin(*REQUEST, "body") is None


def test_old_answers_are_pruned(services: Services, idempotency: Idempotency) -> None:
    idempotency.begin(*REQUEST, "body")
    idempotency.finish(*REQUEST, status=200, body="{}")
    age(services, timedelta(days=2))
    idempotency.begin("bob", *REQUEST[1:], "body")

    idempotency.prune()

    with services.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(KeptAnswer)) == 1
