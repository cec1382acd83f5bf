"""What models of the first generation (label-studio-ml 1.0.9) have learnt: `<MODEL_DIR>/<job>/job_result.json`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..cache import SqliteCache
from .results import plain

RESULT = "job_result.json"
_OWNER = "_tandem_job"


class TrainOutputs:
    """The outputs of trainings, by project. A job is a whole number, the unix time at its start; it is the version."""

    def __init__(self, cache: SqliteCache) -> None:
        self._cache = cache
        self._folder = Path(cache.path)

    def start(self, project_id: str, job: str) -> Path:
        """Make a folder for a new job."""
        number = max(int(time.time()), *(1 + int(name) for name in self._jobs()), 0)
        folder = self._folder / str(number)
        folder.mkdir(parents=True)
        self._cache[project_id, f"{_OWNER}:{number}"] = job
        return folder

    def finish(self, folder: Path, output: Any) -> None:
        """Keep what a job returned; only a dict becomes the output of a training."""
        if isinstance(output, dict):
            unfinished = folder / f"{RESULT}.part"
            unfinished.write_text(json.dumps(plain(output)))
            unfinished.replace(folder / RESULT)

    def last(self, project_id: str) -> str:
        """Return the last job of a project that gave an output; empty where there is none.

        Jobs of an earlier installation, which did not tell projects apart, count for every project.
        """
        for name in self._with_output():
            owners = self._cache.values_of(f"{_OWNER}:{name}")
            if not owners or project_id in owners:
                return name
        return ""

    def latest(self) -> str:
        """Return the last job of any project that gave an output; empty where there is none."""
        return next(self._with_output(), "")

    def read(self, project_id: str) -> dict[str, Any]:
        """Return the last output of a project, with its `job_id`; empty where there is none."""
        job = self.last(project_id)
        if not job:
            return {}
        output = json.loads((self._folder / job / RESULT).read_text())
        if {"status", "train_output"} <= output.keys():  # written before release 1.0.9
            output = output["train_output"] or {}
        return {**output, "job_id": job}

    def _with_output(self) -> Iterator[str]:
        return (
            name for name in sorted(self._jobs(), key=int, reverse=True) if (self._folder / name / RESULT).is_file()
        )

    def _jobs(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return [path.name for path in self._folder.iterdir() if path.name.isdigit()]
