"""What is asked without a session is what a session would find."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, func, inspect, select

from backend.accounts.service import User, Workspace
from backend.services import Services
from backend.storage.columns import utc_now
from backend.storage.database import Database
from backend.storage.prepared import Prepared
from backend.training.run import TrainingRun
from backend.versions.registry import ModelVersion

_USER_AND_WORKSPACE = (
    select(User, func.length(Workspace.name).label("length"), Workspace)
    .join(Workspace, (Workspace.owner_id == User.id) & (Workspace.name == bindparam("name")), isouter=True)
    .order_by(User.id)
)


@pytest.fixture
def database(services: Services) -> Database:
    """One with a user, who has a workspace that is called as they are."""
    services.accounts.create_user("ada@example.com", "Ada")
    return services.database


def ask(database: Database, **parameters: Any) -> list[Any]:
    connection = database.engine.raw_connection()
    try:
        return Prepared(_USER_AND_WORKSPACE, database.engine.dialect).ask(connection, parameters)
    finally:
        connection.close()


def fields(record: object) -> dict[str, Any]:
    return {column.key: getattr(record, column.key) for column in inspect(type(record)).column_attrs}


def test_fields_are_called_as_what_is_selected(database: Database) -> None:
    [row] = ask(database, name="Ada")

    assert row._fields == ("User", "length", "Workspace")
    assert (row.User.email, row.length, row.Workspace.name) == ("ada@example.com", 3, "Ada")


def test_what_was_not_joined_is_none(database: Database) -> None:
    [row] = ask(database, name="nobody's")

    assert row.User.email == "ada@example.com"
    assert (row.length, row.Workspace) == (None, None)


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("record", [TrainingRun, ModelVersion])
def test_records_are_those_that_a_session_finds(services: Services, record: type[Any]) -> None:
    with services.database.reading() as session:
        found = session.scalars(select(record)).one()
    connection = services.database.engine.raw_connection()

    [row] = Prepared(select(record), services.database.engine.dialect).ask(connection, {})

    connection.close()
    assert fields(row[0]) == fields(found)


def test_a_record_can_be_changed_in_a_session_like_any_other_that_outlived_its_own(database: Database) -> None:
    [row] = ask(database, name="Ada")
    assert inspect(row.User).detached

    with database.transaction() as session:
        session.add(row.User)
        row.User.name, row.User.created_at = "Ada L.", utc_now()

    assert ask(database, name="Ada")[0].User.name == "Ada L."


@pytest.fixture
def trained(label: Any, train: Any) -> None:
    """There is a run that made a version."""
    label(["cat"] * 5 + ["dog"] * 5)
    train()
