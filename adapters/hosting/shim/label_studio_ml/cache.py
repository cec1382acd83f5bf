"""The store behind `get`, `set` and `has`: texts by project and key, the same in every process that shares it.

The file and its table are those of Label Studio's ML backend, so an existing `cache.db` is simply taken over. Unlike
there, nothing is kept in memory: what another process has written is seen at once.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock

_BUSY_S = 10.0


class SqliteCache:
    """Reads and writes texts by (project id, key), as a dict does; a missing one reads as None."""

    def __init__(self, path: str | Path, db_name: str = "cache.db") -> None:
        self.path = str(path)
        self.db_name = str(Path(path) / db_name)
        self._lock = Lock()
        self._is_prepared = False

    def __getitem__(self, project_id_key: tuple[str, str]) -> str | None:
        with self._connected() as connection:
            row = connection.execute(
                "SELECT value FROM cache WHERE project_id = ? AND key = ?", project_id_key
            ).fetchone()
        return None if row is None else str(row[0])

    def __setitem__(self, project_id_key: tuple[str, str], value: str) -> None:
        if not isinstance(value, str):
            raise ValueError(f"Value must be a string, and {type(value).__name__} is none; json.dumps may help")
        with self._connected() as connection:
            connection.execute("REPLACE INTO cache (project_id, key, value) VALUES (?, ?, ?)", (*project_id_key, value))

    def __delitem__(self, project_id_key: tuple[str, str]) -> None:
        with self._connected() as connection:
            connection.execute("DELETE FROM cache WHERE project_id = ? AND key = ?", project_id_key)

    def __contains__(self, project_id_key: tuple[str, str]) -> bool:
        return self[project_id_key] is not None

    def values_of(self, key: str) -> dict[str, str]:
        """Return what all projects have under a key, by project id."""
        with self._connected() as connection:
            rows = connection.execute("SELECT project_id, value FROM cache WHERE key = ?", (key,)).fetchall()
        return {str(project_id): str(value) for project_id, value in rows}

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if not self._is_prepared:
                self._prepare()
        with closing(sqlite3.connect(self.db_name, timeout=_BUSY_S)) as connection, connection:
            yield connection

    def _prepare(self) -> None:
        Path(self.path).mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.db_name, timeout=_BUSY_S)) as connection, connection:
            _use_wal(connection)
            connection.execute(
                "CREATE TABLE IF NOT EXISTS cache (project_id TEXT NOT NULL, key TEXT NOT NULL, "
                "value TEXT NOT NULL, PRIMARY KEY (project_id, key))"
            )
        self._is_prepared = True


def _use_wal(connection: sqlite3.Connection) -> None:
    """Let readers never wait for a writer.

    NOTE: Of several processes that do this to a new file at once, SQLite refuses some without waiting.
    """
    until = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def create_cache(cache_type: str, path: str, **kwargs: str) -> SqliteCache:
    """Return the store of a kind; there is one kind, "sqlite".

    Raises:
        ValueError: Another kind is asked for.
    """
    if cache_type != "sqlite":
        raise ValueError(f"Unsupported cache type: {cache_type}; CACHE_TYPE may only be sqlite")
    return SqliteCache(path, **kwargs)
