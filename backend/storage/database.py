"""The database: transactions that join, and the base of every row class."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import JSON, Select, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, Session, mapped_column

from backend.errors import Unavailable
from backend.storage.columns import UtcDateTime
from backend.storage.prepared import Prepared

_PATIENCE_S = 15
"""How long a writer waits for SQLite's only write lock …"""
_RETRY_S = 0.001
"""… and how long until it asks another process for it again."""
_WAIT = f"PRAGMA busy_timeout = {_PATIENCE_S * 1000}"


class Record(MappedAsDataclass, DeclarativeBase, kw_only=True):
    """Base of every row class. Rows have no relationships, so what a service returns is plain data."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


class Counter(Record, kw_only=True):
    """The last number given out under a name."""

    __tablename__ = "counters"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


def next_number(session: Session, name: str) -> int:
    """Return the next number of a sequence, which begins with 1; transactions that ask for one take turns."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    first = dialect.insert(Counter).values(name=name, value=1)
    raised = first.on_conflict_do_update(index_elements=[Counter.name], set_={"value": Counter.value + 1})
    return int(session.execute(raised.returning(Counter.value)).scalar_one())


class Database:
    """A pool of connections, and transactions that join the one already open in the same thread."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = url
        self._is_sqlite = url.startswith("sqlite")
        if self._is_sqlite and (path := make_url(url).database):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=not self._is_sqlite,
            hide_parameters=True,  # errors are logged, and parameters may be secrets
        )
        self._writing = self.engine.execution_options(writes=True)
        self._open = threading.local()
        self._turn = threading.Lock()
        self._prepared: dict[Select[*tuple[Any, ...]], Prepared] = {}
        self._driver_error: type[Exception] = self.engine.dialect.loaded_dbapi.Error
        if self._is_sqlite:
            _prepare_sqlite(self.engine)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Open a transaction that may write, or join the one that is open: all of it is kept, or nothing.

        On SQLite the write lock is taken at once, so that a transaction that has read never fails to write, and the
        threads of a process queue for it.

        Raises:
            Unavailable: The database cannot be reached, or another process has locked it for too long.
        """
        with self._write_turn():
            yield from self._session(self._writing)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that only reads, or join the one that is open. It never waits for a writer."""
        yield from self._session(self.engine)

    def rows(self, query: Select[*tuple[Any, ...]], parameters: Mapping[str, Any]) -> Sequence[Any]:
        """Return what a query finds, for a tenth of what `reading` costs: for what requests ask again and again.

        It does not join the transaction that is open. Its records are such as a session that was closed left behind.

        Args:
            query: A constant of its module: it is compiled once, and kept. Selects columns, or whole records.
            parameters: Texts and numbers, by name.
        """
        prepared = self._prepared.get(query)
        if prepared is None:
            prepared = self._prepared[query] = Prepared(query, self.engine.dialect)
        try:
            with closing(self.engine.raw_connection()) as connection:
                return prepared.ask(connection, parameters)
        except self._driver_error:  # a session knows which connections are lost, and what errors mean
            with _answering(), Session(self.engine, expire_on_commit=False) as session:
                return session.execute(query, parameters).all()

    @contextmanager
    def _write_turn(self) -> Iterator[None]:
        """Let one thread at a time ask SQLite for its write lock; the others wait here, where nobody has to poll."""
        if not self._is_sqlite or getattr(self._open, "session", None) is not None:
            yield
            return
        if not self._turn.acquire(timeout=_PATIENCE_S):
            raise Unavailable("the database is busy; try again", code="database")
        try:
            yield
        finally:
            self._turn.release()

    def _session(self, engine: Engine) -> Iterator[Session]:
        joined: Session | None = getattr(self._open, "session", None)
        if joined is not None:
            yield joined
            return
        with _answering(), Session(engine, expire_on_commit=False) as session, session.begin():
            self._open.session = session
            try:
                yield session
            finally:
                self._open.session = None

    def insert_new(self, record: type[Record], rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, leaving out those that are already there by any unique key."""
        dialect = sqlite if self._is_sqlite else postgresql
        if rows:
            with self.transaction() as session:
                session.execute(dialect.insert(record).on_conflict_do_nothing(), list(rows))

    def ping(self) -> None:
        """Ask the database for a sign of life.

        Raises:
            Unavailable: There is none.
        """
        with self.reading() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated or "locked" in str(error.orig) or "connect" in str(error.orig):
            raise Unavailable(
                f"the database does not answer ({type(error.orig).__name__}); see DATABASE_URL", code="database"
            ) from error
        raise


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        cursor.execute(_WAIT)
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        if connection.get_execution_options().get("writes", False):
            _begin_writing(raw)
        else:
            raw.execute("BEGIN")


def _begin_writing(connection: sqlite3.Connection) -> None:
    """Begin a transaction with SQLite's write lock, soon after another process gives it back.

    SQLite's own waiting sleeps up to 100 ms between attempts; measured with 200 events a second in two processes, one
    event in a hundred took 100 ms. So we ask every millisecond; only one thread of a process does (`_write_turn`).
    """
    deadline = time.monotonic() + _PATIENCE_S
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while not _has_begun(connection):
            if time.monotonic() > deadline:
                raise Unavailable("another process has locked the database for too long; try again", code="database")
            time.sleep(_RETRY_S)
    finally:
        connection.execute(_WAIT)


def _has_begun(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
