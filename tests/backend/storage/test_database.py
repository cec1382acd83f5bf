from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import bindparam, create_engine, func, select

import backend.services  # noqa: F401 - knows every row class
from backend.errors import Unavailable
from backend.projects.service import Project
from backend.storage import migrations
from backend.storage.database import Database, Record, next_number


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Database:
    return Database(f"sqlite:///{shutil.copyfile(migrated, tmp_path / 'tandem.sqlite3')}")


def count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(Project)) or 0


def test_an_inner_transaction_is_undone_with_the_outer_one(database: Database) -> None:
    before = count(database)

    def fail_half_way() -> None:
        with database.transaction() as outer:
            outer.add(Project(number=1, title="outer"))
            with database.transaction() as inner:
                assert inner is outer
                inner.add(Project(number=2, title="inner"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()

    assert count(database) == before


def test_threads_have_transactions_of_their_own(database: Database) -> None:
    seen: list[object] = []

    def look() -> None:
        with database.reading() as session:
            seen.append(session)

    with database.transaction() as session:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    assert seen
    assert seen[0] is not session


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    counted: list[int] = []
    with database.transaction() as session:
        session.add(Project(number=3, title="not yet"))
        session.flush()
        thread = threading.Thread(target=lambda: counted.append(count(database)))
        thread.start()
        thread.join(timeout=5)
        session.rollback()

    assert counted == [0]


def test_a_query_of_its_own_finds_what_is_committed(database: Database) -> None:
    query = select(Project.title).where(Project.number == bindparam("number"))
    with database.transaction() as session:
        session.add(Project(number=1, title="made"))
        session.flush()
        during = database.rows(query, {"number": 1})

    assert during == []
    assert [row.title for row in database.rows(query, {"number": 1})] == ["made"]


def test_threads_that_write_take_turns(database: Database) -> None:
    before = count(database)

    def write() -> None:
        with database.transaction() as inner:
            inner.add(Project(number=2, title="second"))

    thread = threading.Thread(target=write)
    with database.transaction() as session:
        session.add(Project(number=1, title="first"))
        session.flush()
        thread.start()
        thread.join(timeout=0.1)
        waited = thread.is_alive()
    thread.join(timeout=5)

    assert waited
    assert count(database) == before + 2


def test_numbers_begin_with_one_and_are_given_once(database: Database) -> None:
    given: list[int] = []

    def take() -> None:
        for _ in range(20):
            with database.transaction() as session:
                given.append(next_number(session, "anything"))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(given) == list(range(1, 81))


def test_projects_and_tasks_of_the_first_release_get_numbers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.sqlite3'}"
    migrations.upgrade(url, "0001")
    with create_engine(url).begin() as connection:
        for name in ("b", "a"):
            connection.exec_driver_sql(
                "INSERT INTO projects (id, title, promotion, created_at) VALUES (?, 't', 'always', '2026-11-01')",
                (name,),
            )

    migrations.upgrade(url)

    database = Database(url)
    with database.transaction() as session:
        numbers = {row.id: row.number for row in session.scalars(select(Project))}
        assert numbers == {"a": 1, "b": 2}
        assert next_number(session, "project") == 3


def test_a_database_that_cannot_be_reached_is_unavailable() -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing?connect_timeout=1")

    with pytest.raises(Unavailable, match="DATABASE_URL"):
        database.ping()
    with pytest.raises(Unavailable, match="DATABASE_URL"):
        database.rows(select(Project.title), {})


def test_a_database_that_cannot_be_reached_is_not_migrated() -> None:
    with pytest.raises(Unavailable, match="DATABASE_URL"):
        migrations.upgrade("postgresql+psycopg://nobody@127.0.0.1:1/nothing?connect_timeout=1")


def test_the_migrations_make_the_tables_that_the_rows_need(migrated: Path) -> None:
    with create_engine(f"sqlite:///{migrated}").connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Record.metadata) == []


def test_a_database_at_head_is_left_alone(migrated: Path) -> None:
    url = f"sqlite:///{migrated}"
    before = migrated.stat().st_mtime_ns

    migrations.upgrade(url)

    assert migrations.revision(url) == migrations.head()
    assert migrated.stat().st_mtime_ns == before


def test_a_migrated_database_lets_readers_and_a_writer_work_side_by_side(migrated: Path) -> None:
    with create_engine(f"sqlite:///{migrated}").connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_new_database_has_no_revision(tmp_path: Path) -> None:
    assert migrations.revision(f"sqlite:///{tmp_path / 'new.sqlite3'}") is None
