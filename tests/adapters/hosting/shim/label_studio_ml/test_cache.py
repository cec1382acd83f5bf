"""The store of hosted models; contract E.3 #11."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from adapters.hosting.shim.label_studio_ml.cache import SqliteCache, create_cache


def test_what_one_store_writes_another_sees_at_once(tmp_path: Path) -> None:
    """C-130: nothing is kept in memory."""
    one, other = SqliteCache(tmp_path), SqliteCache(tmp_path)
    assert other["7", "word"] is None

    one["7", "word"] = "first"
    seen = other["7", "word"]
    one["7", "word"] = "second"

    assert (seen, other["7", "word"]) == ("first", "second")
    assert ("7", "word") in other
    assert ("8", "word") not in other
    del one["7", "word"]
    assert other["7", "word"] is None


def test_a_cache_of_label_studios_own_backend_is_taken_over(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "cache.db")) as connection, connection:
        connection.execute(
            "CREATE TABLE cache (project_id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, "
            "PRIMARY KEY (project_id, key))"
        )
        connection.execute("INSERT INTO cache VALUES ('7', 'model_version', 'old')")

    assert SqliteCache(tmp_path).values_of("model_version") == {"7": "old"}


def test_only_texts_are_stored(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Value must be a string"):
        SqliteCache(tmp_path)["7", "number"] = 5  # type: ignore[assignment]


def test_nothing_is_made_before_it_is_used(tmp_path: Path) -> None:
    create_cache("sqlite", str(tmp_path / "later"))

    assert not (tmp_path / "later").exists()
    with pytest.raises(ValueError, match="redis"):
        create_cache("redis", str(tmp_path))


def test_processes_that_begin_at_the_same_moment_all_get_a_store(tmp_path: Path) -> None:
    """C-130: a new file is prepared by whoever comes first, and nobody is refused meanwhile."""
    for number in range(40):
        barrier = Barrier(6)

        def begin(key: int, folder: Path = tmp_path / str(number), barrier: Barrier = barrier) -> None:
            store = SqliteCache(folder)
            barrier.wait()
            store["1", str(key)] = "x"

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(begin, range(6)))
        assert len(SqliteCache(tmp_path / str(number)).values_of("0")) == 1
