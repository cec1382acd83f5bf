"""Empty databases for tests: SQLite files, or databases of the PostgreSQL server that TANDEM_TEST_POSTGRES names."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psycopg

from backend.settings import Settings
from backend.storage import migrations

POSTGRES = os.environ.get("TANDEM_TEST_POSTGRES", "")
"""URL of a server, to which the name of a database can be added: postgresql://user@host:port/"""


class Databases(Protocol):
    """Copies one migrated database for every test."""

    @contextmanager
    def make(self, home: Path) -> Iterator[str]:
        """Lend a database; its URL is empty where it is the one that lies in a home."""


class Files:
    """SQLite."""

    def __init__(self, folder: Path) -> None:
        self._migrated = folder / "tandem.sqlite3"
        migrations.upgrade(f"sqlite:///{self._migrated}")

    @contextmanager
    def make(self, home: Path) -> Iterator[str]:
        """See `Databases.make`."""
        shutil.copyfile(self._migrated, home / self._migrated.name)
        yield ""


class Postgres:
    """Databases named for this process, so that several may share a server."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._template = f"tandem_{os.getpid()}"
        self._numbers = itertools.count()
        self._say(f"CREATE DATABASE {self._template}")
        migrations.upgrade(Settings(database_url=server + self._template).database)

    @contextmanager
    def make(self, home: Path) -> Iterator[str]:
        """See `Databases.make`."""
        name = f"{self._template}_{next(self._numbers)}"
        self._say(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        yield self._server + name
        self._say(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Leave the server as it was."""
        self._say(f"DROP DATABASE {self._template} WITH (FORCE)")

    def _say(self, statement: str) -> None:
        with psycopg.connect(self._server + "postgres", autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]  # made of our own names
