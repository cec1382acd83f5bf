"""Real databases: PostgreSQL and Redis."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from e2e.servers import needs
from processes import free_port, wait_for


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server; its URL lacks the name of a database."""

    url: str

    def make(self, name: str) -> str:
        """Make an empty database; return its URL."""
        with psycopg.connect(self.url + "postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        return self.url + name

    def is_up(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url + "postgres"):
            return True
        return False


@contextlib.contextmanager
def run_postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL server, as somebody else where we are root, as which it refuses to run."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("initdb") or "/none").parent]
    if not (programs[-1] / "initdb").exists():
        pytest.skip("PostgreSQL's initdb is not installed")
    user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": ()} if os.getuid() == 0 else {}
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tandem-postgres-") as folder, contextlib.ExitStack() as stack:
        if user:
            shutil.chown(folder, "postgres", "postgres")
        data, log = Path(folder) / "data", stack.enter_context((Path(folder) / "log").open("wb"))
        make = [programs[-1] / "initdb", "-D", data, "-U", "tandem", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(make, check=True, stdout=log, stderr=log, cwd=folder, **user)
        serve = [programs[-1] / "postgres", "-D", data, "-p", str(port), "-k", folder]
        settings = [word for each in ("listen_addresses=127.0.0.1", "fsync=off") for word in ("-c", each)]
        process = subprocess.Popen([*serve, *settings], stdout=log, stderr=log, cwd=folder, **user)
        server = Postgres(f"postgresql://tandem@127.0.0.1:{port}/")
        try:
            wait_for(server.is_up, "PostgreSQL answers", while_alive=process)
            yield server
        finally:
            process.terminate()
            process.wait(60)


@contextlib.contextmanager
def run_redis(folder: Path) -> Iterator[str]:
    """Run a Redis server; lend its URL."""
    needs("redis-server")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder) as process:
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()
