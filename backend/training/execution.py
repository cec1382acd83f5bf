"""What the trainer does with a run, step by step."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.projects.service import Projects, Promotion
from backend.settings import Settings
from backend.storage.blobs import BlobStore
from backend.storage.database import Database
from backend.training import snapshot
from backend.training.custody import custody
from backend.training.run import RunState, TrainingRun
from backend.training.service import RunLost, Training
from backend.versions.registry import ModelVersion, Versions
from models.catalog import fitter
from models.checkpoint import read_manifest
from models.examples import Example
from models.family import Fit, FitSettings, Progress
from models.labels import LabelSchema
from models.metrics import evaluate

log = logging.getLogger(__name__)

_KEPT = ("losses", "fraction_at_loss", "dataset")
"""What a run's progress holds besides what a fit tells."""


class Execution:
    """Executes training runs in the process that calls it."""

    def __init__(
        self,
        database: Database,
        training: Training,
        versions: Versions,
        projects: Projects,
        blobs: BlobStore,
        settings: Settings,
        *,
        fitter: Callable[[str], Fit] = fitter,
    ) -> None:
        self._database = database
        self._training = training
        self._versions = versions
        self._projects = projects
        self._blobs = blobs
        self._settings = settings
        self._fitter = fitter

    def execute(self, run_id: str, attempt: int) -> None:
        """Take a queued run up and bring it to its end; harmless where it is no longer waiting for this attempt.

        Version, promotion and end are one transaction: a run that was cancelled or lost meanwhile leaves nothing.
        """
        try:
            run = self._training.claim(run_id, attempt, state=RunState.RUNNING)
        except RunLost:
            return
        with custody(self._training, run, every_s=self._settings.heartbeat_s):
            files = self._learn(run)
            with self._database.transaction():
                version = self._versions.register(run.label_set_id, files, run_id=run.id, snapshot=run.snapshot or "")
                self._promote(run, version)
                self._training.end(run, RunState.COMPLETED, version_id=version.id)
        if RunState(self._training.get(run_id).state).is_final:
            shutil.rmtree(self._folder(run), ignore_errors=True)

    def _learn(self, run: TrainingRun) -> dict[str, str]:
        """Return the files of a checkpoint learnt from the run's labels."""
        assert run.snapshot is not None
        if (twin := self._training.twin(run)) is not None and twin.version_id is not None:
            version = self._versions.get(twin.version_id)
            self._training.add_line(run, f"nothing changed since {version.name}: same labels, same settings")
            return version.files
        schema, examples = snapshot.load(self._blobs, run.snapshot)
        folder = self._folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        self._training.add_line(run, f"attempt {run.attempt}: learning from {len(examples)} labelled items")
        self._fit(run, schema, examples, folder)
        return self._versions.keep(folder)

    def _fit(self, run: TrainingRun, schema: LabelSchema, examples: list[Example], folder: Path) -> None:
        fit = self._fitter(run.family)
        fit(
            examples,
            schema,
            FitSettings(**run.settings),
            device=self._settings.device_name,
            report=_Report(self._training, run),
            folder=folder,
            weights=self._settings.weights_folder if self._settings.weights_folder.is_dir() else None,
        )

    def _promote(self, run: TrainingRun, version: ModelVersion) -> None:
        label_set = self._projects.get_label_set(run.label_set_id)
        policy = Promotion(self._projects.get(run.project_id).project.promotion)
        if label_set.is_pinned:
            return self._training.add_line(run, f"{version.name} is registered; another version is pinned")
        if not version.metrics.get("is_better_than_classical", True):
            why = "clicks are answered as well without it"
            return self._training.add_line(run, f"{version.name} is registered but not promoted: {why}")
        if label_set.version_id is None or policy is Promotion.ALWAYS:
            reason = "the first version" if label_set.version_id is None else "policy: always"
        elif policy is Promotion.MANUAL:
            return self._training.add_line(run, f"{version.name} is registered; a person promotes it")
        else:
            is_better, reason = self._compare(run, version, self._versions.get(label_set.version_id))
            if not is_better:
                return self._training.add_line(run, f"{version.name} is registered but not promoted: {reason}")
        self._versions.promote(version, reason=reason)
        return self._training.add_line(run, f"{version.name} answers from now on ({reason})")

    def _compare(self, run: TrainingRun, new: ModelVersion, current: ModelVersion) -> tuple[bool, str]:
        """Compare two versions on the items that were held out from both."""
        assert run.snapshot is not None
        schema, examples = snapshot.load(self._blobs, run.snapshot)
        said_by_new = read_manifest(self._versions.checkpoint(new)).held_out
        said_by_current = read_manifest(self._versions.checkpoint(current)).held_out
        truths = {e.key: e.regions for e in examples if e.key in said_by_new and e.key in said_by_current}
        if not truths:
            return True, f"no item was held out from both it and {current.name}"
        of_new = evaluate(schema, truths, {key: said_by_new[key] for key in truths}).primary
        of_current = evaluate(schema, truths, {key: said_by_current[key] for key in truths}).primary
        words = f"{of_new:.3f} against {of_current:.3f} of {current.name} on {len(truths)} items held out from both"
        return of_new > of_current, words

    def _folder(self, run: TrainingRun) -> Path:
        return self._settings.home / "runs" / run.id


class _Report:
    """Writes what a fit tells into the run's row, at most once a second."""

    def __init__(self, training: Training, run: TrainingRun) -> None:
        self._training = training
        self._run = run
        self._started = time.monotonic()
        self._first_fraction: float | None = None
        self._reached = float(run.progress.get("fraction", 0.0))
        self._written = 0.0
        self._history: list[dict[str, Any]] = list(run.history)

    def progress(self, progress: Progress) -> None:
        """See `models.family.Report`."""
        metrics = {name: float(value) for name, value in progress.metrics.items()}
        epoch = {"stage": progress.stage, "epoch": progress.epoch, **metrics}
        is_new_epoch = not any(
            (row["stage"], row["epoch"]) == (progress.stage, progress.epoch) for row in self._history[-1:]
        )
        if metrics and is_new_epoch:
            self._history.append(epoch)
        if time.monotonic() - self._written < 1.0 and progress.fraction < 1.0:
            return
        self._written = time.monotonic()
        self._reached = max(self._reached, progress.fraction)  # an attempt after a lost one begins with less
        told: dict[str, Any] = {
            **{name: value for name, value in self._run.progress.items() if name in _KEPT},
            "stage": progress.stage,
            "epoch": progress.epoch,
            "num_epochs": progress.num_epochs,
            "fraction": self._reached,
            "metrics": metrics,
            "eta_s": self._eta_s(progress.fraction),
        }
        self._training.tell(self._run, told, self._history)

    def log(self, line: str) -> None:
        """See `models.family.Report`."""
        log.info("run told", extra={"line": line})
        self._training.add_line(self._run, line)

    def _eta_s(self, fraction: float) -> float | None:
        if self._first_fraction is None:
            self._first_fraction = fraction
        done = fraction - self._first_fraction
        if done <= 0:
            return None
        return round((time.monotonic() - self._started) * (1 - fraction) / done, 1)
