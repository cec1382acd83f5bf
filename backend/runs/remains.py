"""The files of runs and versions whose rows are gone."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from backend.storage.blobs import BlobStore
from backend.storage.database import Database
from backend.training.run import TrainingRun
from backend.versions.downloads import Downloads
from backend.versions.registry import ModelVersion, Versions


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What rows that are gone leave behind: versions, ids of runs, digests of what runs learnt from."""

    versions: Sequence[ModelVersion]
    run_ids: Sequence[str]
    snapshots: Collection[str]


class Remains:
    """Lets go of files; after the rows, so that a row never names one that is gone."""

    def __init__(
        self, database: Database, versions: Versions, downloads: Downloads, blobs: BlobStore, home: Path
    ) -> None:
        self._database = database
        self._versions = versions
        self._downloads = downloads
        self._blobs = blobs
        self._home = home

    def discard(self, left: Leftovers) -> None:
        """Let go of what was left behind, but for what another run or version learnt from."""
        for version in left.versions:
            self._versions.discard_files(version)
            self._downloads.discard(version)
        for run_id in left.run_ids:
            shutil.rmtree(self._home / "runs" / run_id, ignore_errors=True)
        with self._database.reading() as session:
            kept = {
                digest
                for row in (TrainingRun, ModelVersion)
                for digest in session.scalars(select(row.snapshot).where(row.snapshot.in_(left.snapshots)))
            }
        for digest in set(left.snapshots) - kept:
            self._blobs.remove(digest)
