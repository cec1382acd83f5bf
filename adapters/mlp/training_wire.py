"""The bodies of trainings (mlp.md §3)."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from adapters.catalogue import code_of
from adapters.identifiers import spell
from adapters.mlp.metrics import best_so_far, describe_metrics
from adapters.mlp.wire import Body, Moment, PageQuery
from backend.errors import TandemError
from backend.projects.tasks import LabelCounts
from backend.runs.service import Account, Estimate
from backend.training.run import RunFault, RunState, TrainingRun

POLL_AFTER_S = 30
_HINTS = {
    RunFault.NOT_LEARNABLE: "Change what the message names, then create another training.",
    RunFault.LABELS_INSUFFICIENT: "Label more images, then create another training.",
    RunFault.WORKER_LOST: "Nothing was charged. Create another training; if that fails too, try a smaller imageSize.",
    RunFault.INTERNAL: "Nothing was charged. Create another training; if that fails too, tell whoever runs the server.",
}


class TrainConfigIn(Body):
    """How to train; what is left out, the model decides."""

    architecture: str = Field("auto", description="A backbone of GET /capabilities, or auto.")
    epochs: int | None = Field(None, ge=1, le=10_000)
    image_size: int | None = Field(None, ge=32, le=2048, description="Side in pixels of what the network sees.")
    pretrained: bool = Field(True, description="Whether to begin with pretrained weights, where there are any.")
    seed: int = Field(0, ge=0, le=2**31 - 1)
    max_minutes: int | None = Field(None, ge=1, le=7 * 24 * 60, description="The training is planned to take so long.")
    batch_size: int | None = Field(None, ge=1, description="Ignored.")
    learning_rate: float | Literal["auto"] | None = Field(None, description="Ignored.")
    augment: bool | None = Field(None, description="Ignored.")
    patience: int | None = Field(None, ge=0, description="Ignored.")
    base_training_id: str | None = Field(None, description="Ignored.")

    @property
    def changes(self) -> dict[str, Any]:
        """What was asked for, as fields of `models.family.FitSettings`."""
        asked = {
            "seed": self.seed,
            "backbone": self.architecture,
            "max_epochs": self.epochs,
            "image_px": self.image_size,
            "is_pretrained": self.pretrained,
            "time_limit_s": None if self.max_minutes is None else self.max_minutes * 60.0,
        }
        return {name: value for name, value in asked.items() if value is not None}

    @property
    def ignored(self) -> list[str]:
        """Which of the options that were asked for have no effect."""
        options = ("batch_size", "learning_rate", "augment", "patience", "base_training_id")
        return [_camel(name) for name in options if getattr(self, name) not in (None, "auto")]


class SplitRatios(Body):
    """How images without a split are shared out, for this training only."""

    train: float = Field(0.0, ge=0, le=1)
    val: float = Field(0.0, ge=0, le=1)
    test: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if abs(self.train + self.val + self.test - 1) > 0.001:
            raise ValueError("train, val and test must sum to 1")
        return self


class TrainingIn(Body):
    """A training to be described."""

    name: str = Field("", max_length=200)
    config: TrainConfigIn = Field(default_factory=lambda: TrainConfigIn())
    splits: SplitRatios | None = None


class TrainingPatch(Body):
    """What may be changed."""

    name: str = Field(min_length=1, max_length=200)


class TrainingQuery(Body):
    """How much to tell."""

    log_tail: int = Field(200, ge=0, le=5000, description="How many lines of the log.")
    include: str = Field("", description="`history`: the metrics of every epoch.")


class LogQuery(Body):
    """From where on."""

    offset: int = Field(0, ge=0, description="How many bytes you have already.")


class FormatQuery(Body):
    """As what."""

    format: Literal["onnx", "pth"] = Field("onnx", description="For ONNX Runtime, or weights for torch.")


class DownloadQuery(FormatQuery):
    """As what, and who says so."""

    sig: str | None = Field(None, description="In place of a key; part of an address that this server handed out.")


class TrainingsQuery(PageQuery):
    """Which part of the list."""


class TrainConfig(Body):
    """How it is trained; `null` and `auto`: as the model decides."""

    architecture: str
    epochs: int | None
    batch_size: int | None = None
    image_size: int | None
    learning_rate: float | Literal["auto"] = "auto"
    pretrained: bool
    augment: bool | None = None
    patience: int | None = None
    seed: int
    base_training_id: str | None = None
    max_minutes: int | None


class TokensOut(Body):
    """What it takes from whose allowance."""

    reserved: int
    consumed: int
    billed_to: str | None


class DatasetOut(Body):
    """How many labelled images it has, by split, and how many annotations it learns from or is measured on."""

    train: int
    val: int
    test: int
    labels: int


class EstimateOut(Body):
    """What it will take; minutes are `null` where the model decides how long it learns."""

    tokens: int
    minutes: float | None


class FailureOut(Body):
    """Why it failed, and what to do."""

    code: str
    message: str
    hint: str


class ProblemOut(Body):
    """Why a training cannot be started."""

    code: str
    message: str
    details: dict[str, Any]


class ValidationOut(Body):
    """Whether a training could be started now; `problems` is empty where it could."""

    startable: bool
    problems: list[ProblemOut]
    dataset: DatasetOut
    estimate: EstimateOut


class TrainingOut(Body):
    """A training. In lists `log` and `history` are empty."""

    id: str
    label_set_id: str
    project_id: str
    name: str
    status: str
    trigger: str
    config: TrainConfig
    progress: float
    epoch: int
    epochs: int | None
    eta_seconds: int | None
    poll_after_seconds: int = POLL_AFTER_S
    metrics: dict[str, Any] | None
    history: list[dict[str, Any]] = Field(default_factory=list)
    log: str = ""
    log_truncated: bool = True
    model_version: str | None
    formats: list[str]
    tokens: TokensOut
    dataset: DatasetOut
    estimate: EstimateOut | None
    error: FailureOut | None
    job_id: str | None
    created_by: str | None
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None


class DownloadLinkOut(Body):
    """Where a model's file is, until when, and how to tell that it has come whole; the address needs no key."""

    url: str
    format: Literal["onnx", "pth"]
    bytes: int
    sha256: str
    expires_at: Moment
    filename: str


def describe_training(account: Account, estimate: Estimate, **more: Any) -> TrainingOut:
    """Word a training; `more` are further fields of `TrainingOut`."""
    run, version = account.run, account.version
    progress = run.progress
    eta_s = progress.get("eta_s")
    num_epochs = version.metrics.get("num_epochs") if version else None
    return TrainingOut(
        id=spell("training_id", run.id),
        label_set_id=spell("label_set_id", run.label_set_id),
        project_id=spell("project_id", run.project_id),
        name=run.title or run.reason,
        status=RunState(run.state).told,
        trigger=run.trigger,
        config=_config(run),
        progress=round(100 * float(progress.get("fraction", 0.0)), 1),
        epoch=num_epochs or int(progress.get("epoch", 0)),
        epochs=num_epochs or progress.get("num_epochs") or run.settings.get("max_epochs"),
        eta_seconds=None if eta_s is None else round(eta_s),
        metrics=(
            describe_metrics(version.metrics, split="val", num_images=version.metrics.get("num_held_out"))
            if version
            else best_so_far(run.history)
        ),
        model_version=version.name if version else None,
        formats=[form.value for form in account.formats],
        tokens=TokensOut(
            reserved=account.tokens.num_reserved if account.tokens else 0,
            consumed=account.tokens.num_consumed if account.tokens else 0,
            billed_to=spell("workspace_id", account.workspace_id) if account.workspace_id else None,
        ),
        dataset=describe_counts(account.counts),
        estimate=describe_estimate(estimate) if run.state == RunState.DRAFT else None,
        error=_failure(run),
        job_id=run.job_id,
        created_by=spell("user_id", run.created_by) if run.created_by else None,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        **more,
    )


def describe_history(run: TrainingRun) -> list[dict[str, Any]]:
    """Word the metrics of every epoch."""
    return [{_camel(name): value for name, value in row.items()} for row in run.history]


def describe_counts(counts: LabelCounts) -> DatasetOut:
    """Word how much there is to learn from."""
    return DatasetOut(train=counts.num_train, val=counts.num_held_out, test=counts.num_test, labels=counts.num_regions)


def describe_estimate(estimate: Estimate) -> EstimateOut:
    """Word what a training will take."""
    return EstimateOut(tokens=estimate.num_tokens, minutes=estimate.minutes)


def describe_problem(error: TandemError) -> ProblemOut:
    """Word why a training cannot be started."""
    return ProblemOut(code=code_of(error), message=error.message, details=error.details)


def _config(run: TrainingRun) -> TrainConfig:
    settings = run.settings
    limit_s = settings.get("time_limit_s")
    return TrainConfig(
        architecture=settings["backbone"],
        epochs=settings["max_epochs"],
        image_size=settings["image_px"],
        pretrained=settings.get("is_pretrained", True),
        seed=settings["seed"],
        max_minutes=None if limit_s is None else max(1, round(limit_s / 60)),
    )


def _failure(run: TrainingRun) -> FailureOut | None:
    if run.state != RunState.FAILED:
        return None
    code = run.error_code or RunFault.INTERNAL.value
    hint = _HINTS.get(RunFault(code)) if code in list(RunFault) else "See the log; then create another training."
    return FailureOut(code=code.upper(), message=run.error or "", hint=hint or "")


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
