"""What a host remembers beside the model's own store: projects that were set up, and training jobs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from backend.ids import new_id

FILE = "tandem-host.sqlite3"
_KEPT_JOBS = 1000
_TABLES = """
CREATE TABLE IF NOT EXISTS projects (uid TEXT PRIMARY KEY, document TEXT NOT NULL, is_trusted INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, event TEXT NOT NULL, state TEXT NOT NULL, error TEXT, result TEXT,
    created_at TEXT NOT NULL, started_at TEXT, ended_at TEXT
);
"""


class JobState(StrEnum):
    """How far a job is, by the names of Label Studio's first ML backend."""

    QUEUED = "queued"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True)
class Job:
    """A training: one event for one project. Moments are ISO 8601, UTC.

    Attributes:
        project: The uid.
        error: One sentence; None unless it failed.
        result: What `fit` returned.
    """

    id: str
    project: str
    event: str
    state: JobState
    created_at: str
    error: str | None = None
    result: Any = None
    started_at: str | None = None
    ended_at: str | None = None


class Journal:
    """A small database in the model's folder. What events are about is never written: it may hold secrets."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE
        with self._connected() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_TABLES)

    def note_project(self, uid: str, document: str, *, is_trusted: bool) -> None:
        """Remember a project's label config, and whether whoever set it up knew our password."""
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO projects VALUES (?, ?, ?) ON CONFLICT (uid) DO UPDATE SET document = excluded.document, "
                "is_trusted = max(is_trusted, excluded.is_trusted)",
                (uid, document, is_trusted),
            )

    def document(self, uid: str) -> str | None:
        """Return the label config of a project, or None."""
        with self._connected() as connection:
            row = connection.execute("SELECT document FROM projects WHERE uid = ?", (uid,)).fetchone()
        return None if row is None else str(row[0])

    def is_trusted(self, uid: str) -> bool:
        """Say whether a project was set up by somebody who knew our password."""
        with self._connected() as connection:
            row = connection.execute("SELECT is_trusted FROM projects WHERE uid = ?", (uid,)).fetchone()
        return bool(row and row[0])

    def add_job(self, project: str, event: str) -> Job:
        """Write a new job down, and forget the oldest."""
        job = Job(new_id(), project, event, JobState.QUEUED, created_at=_now())
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO jobs (id, project, event, state, created_at) VALUES (?, ?, ?, ?, ?)",
                (job.id, project, event, job.state, job.created_at),
            )
            connection.execute(
                "DELETE FROM jobs WHERE id NOT IN (SELECT id FROM jobs ORDER BY id DESC LIMIT ?)", (_KEPT_JOBS,)
            )
        return job

    def start_job(self, job_id: str) -> None:
        """Note that a job is worked on."""
        with self._connected() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, started_at = ? WHERE id = ?", (JobState.STARTED, _now(), job_id)
            )

    def end_job(self, job_id: str, *, error: str | None = None, result: Any = None) -> None:
        """Note how a job ended; it failed where there is an error."""
        state = JobState.FINISHED if error is None else JobState.FAILED
        with self._connected() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, error = ?, result = ?, ended_at = ? WHERE id = ?",
                (state, error, json.dumps(result), _now(), job_id),
            )

    def fail_unfinished(self, error: str) -> None:
        """End the jobs that an earlier process of ours left behind."""
        with self._connected() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, error = ?, ended_at = ? WHERE state IN (?, ?)",
                (JobState.FAILED, error, _now(), JobState.QUEUED, JobState.STARTED),
            )

    def job(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        found = self._jobs("id = ?", job_id)
        return found[0] if found else None

    def unfinished(self, project: str) -> list[Job]:
        """Return the queued and started jobs of a project, the oldest first."""
        return self._jobs("project = ? AND ended_at IS NULL", project)

    def last_failure(self) -> Job | None:
        """Return the latest job if it failed, else None."""
        found = self._jobs("ended_at = (SELECT max(ended_at) FROM jobs)")
        return found[-1] if found and found[-1].state is JobState.FAILED else None

    def _jobs(self, condition: str, *values: str) -> list[Job]:
        query = f"SELECT * FROM jobs WHERE {condition} ORDER BY id"  # noqa: S608 - the conditions are above
        with self._connected() as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(query, values).fetchall()
        return [
            Job(**{**dict(row), "state": JobState(row["state"]), "result": json.loads(row["result"] or "null")})
            for row in rows
        ]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            yield connection


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
