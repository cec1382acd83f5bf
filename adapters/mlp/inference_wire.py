"""The bodies of predictions, of batch runs and of what they measure (mlp.md §3)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from adapters.formats.geometry import Size
from adapters.formats.native import write_annotation
from adapters.identifiers import read_id, spell
from adapters.mlp.metrics import describe_metrics
from adapters.mlp.task_types import task_type
from adapters.mlp.wire import Body, Moment, PageQuery
from backend.inference.job import JobKind, JobState, PredictionJob
from backend.predictions.answers import MAX_REGIONS, Answer
from backend.predictions.service import USUAL_IOU, Asked

_DIGITS = 5
"""Of a pixel: what is measured on the answers is the same as here."""

Split = Literal["train", "val", "test", "unassigned", "all"]


class InferIn(Body):
    """How to answer."""

    threshold: float = Field(0.25, ge=0, le=1, description="Smaller scores are left out.")
    max_detections: int = Field(MAX_REGIONS, ge=1, le=10_000, description="The best ones are kept.")
    include_label_studio: bool = Field(False, description="Whether to add the prediction as Label Studio stores it.")


class InferAllIn(Body):
    """Which images, and how to answer."""

    split: Split = Field("all", description="Which images.")
    threshold: float = Field(0.25, ge=0, le=1, description="Smaller scores are left out.")
    save_as_predictions: bool = Field(
        True,
        description="Whether a project that lives in Label Studio gets predictions there, too, for tasks of the split "
        "that have none of this model.",
    )


class EvaluateIn(Body):
    """Which labelled images, and what counts."""

    split: Split | None = Field(None, description="By default `test`, or where nothing is labelled there `val`.")
    threshold: float = Field(0.0, ge=0, le=1, description="Smaller scores are left out before anything is measured.")
    iou: float = Field(
        USUAL_IOU,
        gt=0,
        le=1,
        description="What must overlap to count as found: for `precision`, `recall`, `f1` and `mapAtIou`. Only where "
        "boxes or polygons are found.",
    )


class ResultsQuery(PageQuery):
    """Of which batch run, and which part."""

    run_id: str | None = Field(None, description="By default the newest.")

    @property
    def job_id(self) -> str | None:
        """The bare id."""
        return None if self.run_id is None else read_id("run_id", self.run_id)


class EvaluationQuery(Body):
    """Of which batch run."""

    run_id: str | None = Field(None, description="By default the newest that has measured something.")

    @property
    def job_id(self) -> str | None:
        """The bare id."""
        return None if self.run_id is None else read_id("run_id", self.run_id)


class LabelStudioPrediction(Body):
    """A prediction as Label Studio stores it: in percent."""

    model_version: str = Field(alias="model_version")
    score: float
    result: list[dict[str, Any]]


class PredictionOut(Body):
    """What a model found in an image, best first, in pixels of the upright image."""

    image_id: str
    training_id: str
    model_version: str
    label_set_id: str
    task_type: str
    width: int
    height: int
    inference_ms: float = Field(description="How long the answer took; in a batch on average, reading it again.")
    predictions: list[dict[str, Any]] = Field(description="`label`, `score` and a shape as in annotations.")
    label_studio: LabelStudioPrediction | None = None

    @model_serializer(mode="wrap")
    def _without_what_nobody_asked_for(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = serialize(self)
        return {name: value for name, value in written.items() if value is not None}


class BatchRunOut(Body):
    """Many images in the background."""

    id: str
    kind: Literal["infer-all", "evaluate"]
    training_id: str
    split: str
    status: str
    progress: float
    total: int
    done: int
    failed: int
    threshold: float
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    error: str | None


class BatchOut(Body):
    """A batch run that was asked for."""

    run: BatchRunOut


class FailedImage(Body):
    """An image that nothing could be said about."""

    image_id: str
    code: str
    message: str


class ResultsOut(Body):
    """A page of what was found: as long as the run goes on empty."""

    run: BatchRunOut
    predictions: list[PredictionOut]
    errors: list[FailedImage] = Field(description="Of the images on this page.")
    next_cursor: str | None
    has_more: bool


class Confusion(Body):
    """How often what was called what: rows are what people said, columns what the model said."""

    labels: list[str]
    matrix: list[list[int]]


class EvaluationOut(Body):
    """What was measured; `metrics` is null as long as the run goes on."""

    run: BatchRunOut
    metrics: dict[str, Any] | None
    confusion: Confusion | None
    threshold: float
    iou: float
    split: str


def describe_prediction(
    asked: Asked, answer: Answer, label_studio: LabelStudioPrediction | None = None
) -> PredictionOut:
    """Word what was found in an image."""
    size = Size(answer.width_px, answer.height_px) if answer.width_px else None
    return PredictionOut(
        image_id=spell("image_id", answer.task.id),
        training_id=spell("training_id", asked.run.id),
        model_version=asked.version.name,
        label_set_id=spell("label_set_id", asked.label_set.id),
        task_type=task_type(asked.label_set.schema.objective),
        width=answer.width_px,
        height=answer.height_px,
        inference_ms=round(answer.seconds * 1000, 3),
        predictions=[
            {**write_annotation(region, size, digits=_DIGITS), "score": 1.0 if region.score is None else region.score}
            for region in answer.regions
        ],
        label_studio=label_studio,
    )


def describe_batch(job: PredictionJob) -> BatchRunOut:
    """Word a batch run."""
    total, seen = job.num_tasks or 0, job.num_done + job.num_failed
    is_complete = job.state == JobState.COMPLETED
    return BatchRunOut(
        id=spell("run_id", job.id),
        kind="evaluate" if job.kind == JobKind.EVALUATE else "infer-all",
        training_id=spell("training_id", job.run_id or ""),
        split=job.split,
        status=job.state,
        progress=100.0 if is_complete else round(100 * seen / max(1, total), 1),
        total=total,
        done=job.num_done,
        failed=job.num_failed,
        threshold=job.threshold,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        error=job.error,
    )


def describe_evaluation(job: PredictionJob) -> EvaluationOut:
    """Word what was measured."""
    measured = job.evaluation.get("metrics", {})
    confusion = measured.get("confusion")
    return EvaluationOut(
        run=describe_batch(job),
        metrics=describe_metrics(measured, split=job.split, num_images=job.evaluation.get("num_images")),
        confusion=confusion and Confusion(labels=confusion["labels"], matrix=confusion["counts"]),
        threshold=job.threshold,
        iou=job.iou,
        split=job.split,
    )
