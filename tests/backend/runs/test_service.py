"""What is told of runs, and how little has to be asked for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import event

from backend.accounts.service import Principal
from backend.projects.service import Mirror
from backend.services import Services

LabelTasks = Callable[[Sequence[str]], None]
Train = Callable[[], str]


def num_asked(services: Services, call: Callable[[], object]) -> int:
    """Return how often a connection to the database is taken."""
    asked: list[object] = []
    event.listen(services.database.engine, "checkout", lambda *given: asked.append(given))
    call()
    return len(asked)


def someone(services: Services) -> Principal:
    return services.accounts.local(services.accounts.create_user("ada@example.com"))


def test_one_question_tells_all_about_a_run(services: Services, label: LabelTasks, train: Train) -> None:
    label(["cat"] * 5 + ["dog"] * 5)
    run_id, ada = train(), someone(services)
    told = services.runs.get(ada, run_id)

    assert told.version
    assert told.version.run_id == told.run.id == run_id
    assert told.workspace_id == ada.workspace_ids[0]
    assert num_asked(services, lambda: services.runs.get(ada, run_id)) == 1


def test_one_question_tells_all_about_a_page_of_runs(
    services: Services, mirror: Mirror, label: LabelTasks, train: Train
) -> None:
    label(["cat"] * 5 + ["dog"] * 5)
    run_ids, ada = [train() for _ in range(3)], someone(services)
    told, _ = services.runs.of_project(ada, mirror.project.id)
    of_access = num_asked(services, lambda: services.access.project(ada, mirror.project.id))

    assert [account.run.id for account in told] == run_ids[::-1]
    assert num_asked(services, lambda: services.runs.of_project(ada, mirror.project.id)) == of_access + 1
