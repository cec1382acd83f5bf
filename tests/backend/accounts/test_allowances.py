"""What training takes from a workspace's allowance (mlp.md section 7)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from backend.accounts.allowances import Allowances, Outcome, TokenEntry, Usage
from backend.accounts.service import User
from backend.errors import Conflict, Invalid, Unavailable
from backend.services import Services
from backend.storage.columns import utc_now


@pytest.fixture
def ada(services: Services) -> User:
    return services.accounts.create_user("ada@example.com")


@pytest.fixture
def workspace_id(services: Services, ada: User) -> str:
    return services.accounts.local(ada).workspace_ids[0]


@pytest.fixture
def allowances(services: Services) -> Allowances:
    return services.allowances


@pytest.fixture
def grant(services: Services, ada: User, workspace_id: str) -> Callable[[int | None, int], None]:
    """Give the workspace tokens a month, and a bundle."""

    def set_allowance(allowance: int | None, bundle: int = 0) -> None:
        services.workspaces.set_allowance(
            services.accounts.local(ada), workspace_id, allowance=allowance, bundle=bundle
        )

    return set_allowance


Grant = Callable[..., None]


def left(usage: Usage) -> tuple[int, int, int | None, int]:
    return usage.used, usage.reserved, usage.remaining, usage.bundle


@pytest.mark.parametrize(("minutes", "tokens"), [(0, 1), (0.5, 1), (60, 1), (60.1, 2), (120, 2), (121, 3)])
def test_begun_hours_count(allowances: Allowances, minutes: float, tokens: int) -> None:
    assert allowances.price(minutes) == tokens


def test_by_default_as_many_as_wanted_are_there_and_counted(allowances: Allowances, workspace_id: str) -> None:
    allowances.reserve("run", workspace_id, "ada", 1000)
    allowances.settle("run", 90, outcome=Outcome.COMPLETED)

    usage = allowances.usage(workspace_id)

    assert usage == Usage(f"{utc_now():%Y-%m}", allowance=None, used=2, reserved=0, remaining=None, bundle=0)


def test_with_nothing_left_no_run_starts(allowances: Allowances, workspace_id: str, grant: Grant) -> None:
    """M-020, as far as it is about the backend."""
    grant(0)

    with pytest.raises(Conflict) as failure:
        allowances.reserve("run", workspace_id, "ada", 1)

    assert failure.value.code == "tokens_exhausted"
    assert failure.value.details == {"remaining": 0, "required": 1}
    assert allowances.entries(workspace_id) == []


def test_the_workspace_pays_whoever_starts(services: Services, allowances: Allowances, workspace_id: str) -> None:
    """M-021, as far as it is about the backend."""
    bob = services.accounts.create_user("bob@example.com")
    [his] = services.accounts.local(bob).workspace_ids

    allowances.reserve("run", workspace_id, bob.id, 1)
    allowances.settle("run", 1, outcome=Outcome.COMPLETED)

    assert allowances.usage(workspace_id).used == 1
    assert allowances.usage(his).used == 0
    assert [entry.user_id for entry in allowances.entries(workspace_id)] == [bob.id]


def test_what_is_held_back_cannot_be_spent_twice(allowances: Allowances, workspace_id: str, grant: Grant) -> None:
    grant(3)
    allowances.reserve("a", workspace_id, "ada", 2)

    with pytest.raises(Conflict) as failure:
        allowances.reserve("b", workspace_id, "ada", 2)

    assert failure.value.details == {"remaining": 1, "required": 2}
    assert left(allowances.usage(workspace_id)) == (0, 2, 1, 0)


def test_runs_that_start_at_the_same_time_do_not_overspend(
    allowances: Allowances, workspace_id: str, grant: Grant
) -> None:
    grant(4, 3)

    def start(number: int) -> bool:
        try:
            allowances.reserve(str(number), workspace_id, "ada", 1)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(start, range(20)))

    assert sum(started) == 7
    assert left(allowances.usage(workspace_id)) == (0, 7, 0, 0)


def test_a_run_reserves_once(allowances: Allowances, workspace_id: str) -> None:
    for _ in range(2):
        allowances.reserve("run", workspace_id, "ada", 2)

    assert allowances.usage(workspace_id).reserved == 2


def test_a_reservation_is_undone_with_the_start_that_it_belongs_to(
    services: Services, allowances: Allowances, workspace_id: str
) -> None:
    def start() -> None:
        with services.database.transaction():
            allowances.reserve("run", workspace_id, "ada", 2)
            raise Unavailable("the queue refused")

    with pytest.raises(Unavailable):
        start()

    assert allowances.find_entry("run") is None


@pytest.mark.parametrize(
    ("outcome", "minutes", "tokens"),
    [
        (Outcome.COMPLETED, 0.1, 1),
        (Outcome.COMPLETED, 61, 2),
        (Outcome.COMPLETED, 600, 10),
        (Outcome.FAILED, 0.0, 1),
        (Outcome.FAILED, 61, 2),
        (Outcome.CANCELLED, 1, 1),
        (Outcome.CANCELLED, 130, 3),
        (Outcome.CANCELLED_EARLY, 0, 0),
        (Outcome.CANCELLED_EARLY, 90, 0),
        (Outcome.LOST, 500, 0),
    ],
)
def test_a_run_pays_for_how_it_ended(
    allowances: Allowances, workspace_id: str, grant: Grant, outcome: Outcome, minutes: float, tokens: int
) -> None:
    """M-023: nothing where the worker was lost."""
    grant(20)
    allowances.reserve("run", workspace_id, "ada", 4)

    allowances.settle("run", minutes, outcome=outcome)

    assert left(allowances.usage(workspace_id)) == (tokens, 0, 20 - tokens, 0)


def test_a_run_pays_once(allowances: Allowances, workspace_id: str) -> None:
    allowances.reserve("run", workspace_id, "ada", 1)

    for minutes in (1, 300):
        allowances.settle("run", minutes, outcome=Outcome.COMPLETED)
    allowances.settle("never reserved", 60, outcome=Outcome.COMPLETED)

    assert allowances.usage(workspace_id).used == 1


def test_the_month_pays_before_the_bundle(allowances: Allowances, workspace_id: str, grant: Grant) -> None:
    grant(3, 5)

    allowances.reserve("run", workspace_id, "ada", 4)
    during = left(allowances.usage(workspace_id))
    allowances.settle("run", 4 * 60, outcome=Outcome.COMPLETED)

    assert during == (0, 4, 4, 4)
    assert left(allowances.usage(workspace_id)) == (4, 0, 4, 4)


def test_what_was_not_needed_returns_to_the_bundle(allowances: Allowances, workspace_id: str, grant: Grant) -> None:
    grant(3, 5)
    allowances.reserve("run", workspace_id, "ada", 6)

    allowances.settle("run", 60, outcome=Outcome.COMPLETED)

    assert left(allowances.usage(workspace_id)) == (1, 0, 7, 5)


def test_a_run_that_took_longer_pays_what_is_there(allowances: Allowances, workspace_id: str, grant: Grant) -> None:
    grant(1, 2)
    allowances.reserve("run", workspace_id, "ada", 1)

    allowances.settle("run", 5 * 60, outcome=Outcome.COMPLETED)

    assert left(allowances.usage(workspace_id)) == (5, 0, 0, 0)


def test_a_new_month_has_an_allowance_of_its_own(
    services: Services, allowances: Allowances, workspace_id: str, grant: Grant
) -> None:
    grant(1)
    allowances.reserve("old", workspace_id, "ada", 1)
    with services.database.transaction() as session:
        session.execute(update(TokenEntry).values(period="2026-01"))

    allowances.reserve("new", workspace_id, "ada", 1)
    allowances.settle("old", 1, outcome=Outcome.COMPLETED)

    assert left(allowances.usage(workspace_id)) == (0, 1, 0, 0)
    assert left(allowances.usage(workspace_id, "2026-01")) == (1, 0, 0, 0)
    assert [entry.run_id for entry in allowances.entries(workspace_id, "2026-01")] == ["old"]


@pytest.mark.parametrize("period", ["", "2026", "2026-13", "2026-1", "november"])
def test_a_period_is_a_month(allowances: Allowances, workspace_id: str, period: str) -> None:
    with pytest.raises(Invalid):
        allowances.usage(workspace_id, period)
