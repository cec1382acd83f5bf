"""Training runs for those who describe, start and watch them, as far as they may."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, select

from backend.access import Access, unknown
from backend.accounts.allowances import Allowances, TokenEntry
from backend.accounts.service import Principal
from backend.errors import Conflict, Invalid, Unavailable
from backend.logs import request_id
from backend.paging import page
from backend.projects.service import LabelSet, Origin, Project
from backend.projects.tasks import LabelCounts, Tasks
from backend.queue import Queue
from backend.runs.removal import Removal
from backend.storage.database import Database
from backend.training.run import IllegalTransition, RunLine, RunState, TrainingRun, Trigger
from backend.training.service import Training
from backend.versions.downloads import Downloads, Format
from backend.versions.registry import ModelVersion, Versions
from models.catalog import find_family
from models.family import ARCHITECTURES

USUAL_RATIOS = {"train": 0.8, "val": 0.1, "test": 0.1}
"""Shares of the splits among the tasks without one, where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Account:
    """What there is to say about a run.

    Attributes:
        version: What it made.
        tokens: What it took; None where it took none.
        workspace_id: Whose tokens those are.
        counts: How much it learns from.
        formats: In which its model can be had.
    """

    run: TrainingRun
    version: ModelVersion | None
    tokens: TokenEntry | None
    workspace_id: str | None
    counts: LabelCounts
    formats: Sequence[Format]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take: tokens, and minutes where those are known."""

    num_tokens: int
    minutes: float | None


class Runs:
    """What may be done with training runs by whoever may see them."""

    def __init__(
        self,
        database: Database,
        queue: Queue,
        access: Access,
        allowances: Allowances,
        training: Training,
        tasks: Tasks,
        versions: Versions,
        downloads: Downloads,
        removal: Removal,
    ) -> None:
        self._database = database
        self._queue = queue
        self._access = access
        self._allowances = allowances
        self._training = training
        self._tasks = tasks
        self._versions = versions
        self._downloads = downloads
        self._removal = removal

    def describe(
        self,
        principal: Principal,
        label_set_id: str,
        *,
        title: str = "",
        changes: Mapping[str, Any] | None = None,
        ratios: Mapping[str, float] | None = None,
        options: Mapping[str, Any] | None = None,
        ignored: Sequence[str] = (),
    ) -> TrainingRun:
        """Describe a run, which costs nothing and starts nothing.

        Args:
            principal: Who asks.
            label_set_id: What it shall learn.
            title: What people call it; by default what they call the label set.
            changes: Fields of `models.family.FitSettings` that shall not be as usual.
            ratios: Shares of "train", "val" and "test" among the tasks without a split; None: `USUAL_RATIOS`, or where
                the labels are in Label Studio the splits that all its runs share.
            options: What was asked for, in the words of whoever asked.
            ignored: Names of options that have no effect; the run's log says so.

        Raises:
            NotFound: There is no such label set.
            Invalid: Nothing can learn it ("task_type_not_trainable"), or the settings make no sense.
        """
        label_set = self._access.label_set(principal, label_set_id)
        family = find_family(label_set.schema)
        if family is None:
            what = label_set.schema.objective.value
            raise Invalid(
                f"No model here learns {what}; GET /capabilities lists what can be trained.",
                code="task_type_not_trainable",
                details={"taskType": what},
            )
        settings = replace(self._training.fit_settings(family), **(changes or {}))
        if settings.backbone not in ("auto", *ARCHITECTURES):
            known = f"it is one of auto, {', '.join(ARCHITECTURES)}"
            fields = {"config.architecture": known}
            raise Invalid(f"config.architecture: {known}", code="validation_error", details={"fields": fields})
        with self._database.transaction() as session:
            if ratios is None:
                ratios = {} if self._is_elsewhere(label_set.project_id) else USUAL_RATIOS
            run = TrainingRun(
                project_id=label_set.project_id,
                label_set_id=label_set.id,
                reason=f"asked for by {principal.name or principal.email}",
                family=family.name,
                settings=asdict(settings),
                state=RunState.DRAFT.value,
                trigger=Trigger.API.value,
                title=title or label_set.title or label_set.name,
                ratios=dict(ratios),
                options=dict(options or {}),
                created_by=principal.user_id,
                request_id=request_id(),
            )
            session.add(run)
            session.flush()
            if ignored:
                self._training.add_line(run, f"{', '.join(ignored)}: ignored, because the model decides that itself")
            return run

    def estimate(self, run: TrainingRun) -> Estimate:
        """Say what a run will take."""
        seconds = run.settings.get("time_limit_s")
        minutes = None if seconds is None else seconds / 60
        return Estimate(self._allowances.price(minutes or 0.0), minutes)

    def get(self, principal: Principal, run_id: str) -> Account:
        """Return a run and what there is to say about it.

        Raises:
            NotFound: There is no such run.
        """
        found = self._database.rows(_ACCOUNT, {"run_id": run_id})
        if not found or not self._access.sees(principal, found[0].Project):
            raise unknown("training")
        return self._account(*found[0])

    def of_label_set(
        self, principal: Principal, label_set_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Account], str | None]:
        """Return a page of a label set's runs, newest first, and the cursor of the next one.

        Raises:
            NotFound: There is no such label set.
            Invalid: The cursor is none of ours.
        """
        label_set = self._access.label_set(principal, label_set_id)
        return self._page(select(TrainingRun).filter_by(label_set_id=label_set.id), limit, cursor)

    def of_project(
        self, principal: Principal, project_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Account], str | None]:
        """Return a page of a project's runs, newest first, and the cursor of the next one; see `of_label_set`."""
        project = self._access.project(principal, project_id)
        return self._page(select(TrainingRun).filter_by(project_id=project.id), limit, cursor)

    def check(self, principal: Principal, run_id: str) -> list[Conflict | Invalid | Unavailable]:
        """Return why a run could not be started now; nothing is changed.

        Raises:
            NotFound: There is no such run.
        """
        run = self._access.run(principal, run_id)
        found: list[Conflict | Invalid | Unavailable] = []
        if run.state != RunState.DRAFT:
            found.append(_is_already(run))
        try:
            self._require_labels(run)
        except Invalid as error:
            found.append(error)
        workspace_id = self._workspace_id(run)
        if workspace_id is not None:
            remaining, required = self._allowances.usage(workspace_id).remaining, self.estimate(run).num_tokens
            if remaining is not None and remaining < required:
                details = {"remaining": remaining, "required": required}
                found.append(Conflict("The workspace has too few tokens.", code="tokens_exhausted", details=details))
        if (silence := self._silence()) is not None:
            found.append(silence)
        return found

    def start(self, principal: Principal, run_id: str) -> TrainingRun:
        """Let a described run take its turn; one that waits or is worked on already is returned as it is.

        Raises:
            NotFound: There is no such run.
            Conflict: It has ended ("invalid_state"), or there are too few tokens ("tokens_exhausted").
            Invalid: There are too few labels ("labels_insufficient").
            Unavailable: The queue does not answer; nothing has changed.
        """
        run = self._access.run(principal, run_id)
        counts = self._require_labels(run) if run.state == RunState.DRAFT else None
        workspace_id, silence = self._workspace_id(run), self._silence()
        with self._database.transaction() as session:
            run = session.get_one(TrainingRun, run.id, with_for_update=True, populate_existing=True)
            if RunState(run.state).is_final:
                raise _is_already(run)
            if RunState(run.state).is_open:
                return run
            if workspace_id is not None:
                self._allowances.reserve(run.id, workspace_id, principal.user_id, self.estimate(run).num_tokens)
            if silence is not None:
                raise silence
            run.move(RunState.PENDING)
            run.progress = {**run.progress, **({"dataset": asdict(counts)} if counts else {})}
            self._training.add_line(run, "started: it waits for its turn")
            return run

    def rename(self, principal: Principal, run_id: str, title: str) -> None:
        """Change what people call a run.

        Raises:
            NotFound: There is no such run.
        """
        run = self._access.run(principal, run_id)
        with self._database.transaction() as session:
            session.get_one(TrainingRun, run.id).title = title

    def cancel(self, principal: Principal, run_id: str) -> None:
        """End a run for good; nothing happens where it was cancelled already.

        Raises:
            NotFound: There is no such run.
            Conflict: It has ended in another way ("invalid_state").
        """
        run = self._access.run(principal, run_id)
        try:
            self._training.cancel(run.id)
        except IllegalTransition:
            run = self._training.get(run.id)
            if run.state != RunState.CANCELLED:
                raise _is_already(run) from None

    def delete(self, principal: Principal, run_id: str) -> None:
        """Forget a run, and its model and files as far as nothing else needs them.

        Raises:
            NotFound: There is no such run.
            Conflict: It has not ended, or its model is in use ("invalid_state").
        """
        self._removal.remove(self._access.run(principal, run_id))

    def version(self, principal: Principal, run_id: str) -> ModelVersion:
        """Return the version that a run made.

        Raises:
            NotFound: There is no such run.
            Conflict: It has made none ("model_not_ready").
        """
        run = self._access.run(principal, run_id)
        if run.state != RunState.COMPLETED or run.version_id is None:
            status = RunState(run.state).told
            raise Conflict(
                f"There is no model: the training is {status}. Poll GET /training/{{id}} until it is completed.",
                code="model_not_ready",
                details={"status": status},
            )
        return self._versions.get(run.version_id)

    def log_tail(self, run: TrainingRun, num_lines: int) -> tuple[str, bool]:
        """Return the newest lines of a run's log, oldest first, and whether there are more."""
        newest = self._database.rows(_NEWEST_LINES, {"run_id": run.id, "num_lines": num_lines + 1})
        return _text(newest[:num_lines][::-1]), len(newest) > num_lines

    def log(self, principal: Principal, run_id: str) -> str:
        """Return a run's whole log.

        Raises:
            NotFound: There is no such run.
        """
        return _text(self._training.log_lines(self._access.run(principal, run_id).id))

    def _account(
        self, run: TrainingRun, project: Project, version: ModelVersion | None, tokens: TokenEntry | None
    ) -> Account:
        return Account(
            run=run,
            version=version,
            tokens=tokens,
            workspace_id=tokens.workspace_id if tokens else self._access.workspace_id(project),
            counts=self._counts(run),
            formats=self._downloads.formats(version) if version else (),
        )

    def _counts(self, run: TrainingRun) -> LabelCounts:
        """Return how much a run has to learn from; as of now, as long as it has not been started."""
        if "dataset" in run.progress:
            return LabelCounts(**run.progress["dataset"])
        if RunState(run.state).is_final:
            return LabelCounts(0, 0, 0, 0)
        with self._database.reading() as session:
            label_set = session.get_one(LabelSet, run.label_set_id)
        return self._tasks.count_labelled(label_set, ratios=run.ratios, seed=int(run.settings["seed"]))

    def _page(self, query: Select[TrainingRun], limit: int, cursor: str | None) -> tuple[list[Account], str | None]:
        with self._database.reading() as session:
            runs, following = page(session, query, TrainingRun.id, limit=limit, cursor=cursor)
            by_id = _ACCOUNT_PARTS.where(TrainingRun.id.in_([run.id for run in runs])).order_by(TrainingRun.id.desc())
            return [self._account(*parts) for parts in session.execute(by_id)], following

    def _require_labels(self, run: TrainingRun) -> LabelCounts | None:
        if self._is_elsewhere(run.project_id):  # the labels are counted once they have been collected
            return None
        counts = self._counts(run)
        counts.require_enough()
        return counts

    def _is_elsewhere(self, project_id: str) -> bool:
        with self._database.reading() as session:
            return session.get_one(Origin, project_id).kind == "label_studio"

    def _workspace_id(self, run: TrainingRun) -> str | None:
        with self._database.reading() as session:
            return self._access.workspace_id(session.get_one(Project, run.project_id))

    def _silence(self) -> Unavailable | None:
        """Return what the queue's silence is called, if it is silent."""
        try:
            self._queue.ping()
        except Unavailable as error:
            return error
        return None


_ACCOUNT_PARTS = (
    select(TrainingRun, Project, ModelVersion, TokenEntry)
    .join(Project, Project.id == TrainingRun.project_id)
    .join(ModelVersion, ModelVersion.id == TrainingRun.version_id, isouter=True)
    .join(TokenEntry, TokenEntry.run_id == TrainingRun.id, isouter=True)
)
_ACCOUNT = _ACCOUNT_PARTS.where(TrainingRun.id == bindparam("run_id"))
_NEWEST_LINES = (
    select(RunLine.at, RunLine.text)
    .where(RunLine.run_id == bindparam("run_id"))
    .order_by(RunLine.number.desc())
    .limit(bindparam("num_lines"))
)


def _is_already(run: TrainingRun) -> Conflict:
    status = RunState(run.state).told
    return Conflict(
        f"The training is {status} already; create another one.", code="invalid_state", details={"status": status}
    )


def _text(lines: Iterable[RunLine | Row[tuple[datetime, str]]]) -> str:
    return "".join(f"{line.at:%Y-%m-%dT%H:%M:%SZ} {line.text}\n" for line in lines)
