"""What models say: about one image at once, about many in the background, and how good that is."""

from __future__ import annotations

from adapters.catalogue import code_of
from adapters.identifiers import spell
from adapters.label_studio.label_config import parse
from adapters.label_studio.results import Found, encode
from adapters.mlp.api import api
from adapters.mlp.inference_wire import (
    BatchOut,
    EvaluateIn,
    EvaluationOut,
    EvaluationQuery,
    FailedImage,
    InferAllIn,
    InferIn,
    LabelStudioPrediction,
    PredictionOut,
    ResultsOut,
    ResultsQuery,
    describe_batch,
    describe_evaluation,
    describe_prediction,
)
from adapters.operations import Call, Effect
from backend.errors import Invalid, TandemError
from backend.predictions.answers import Answer
from backend.predictions.service import Asked


@api.operation(
    "POST",
    "/training/<training_id>/infer/<image_id>",
    effect=Effect.UPDATE,
    tag="inference",
    scope="inference:run",
    tool="infer-image",
    command="infer",
    errors=("NOT_FOUND", "MODEL_NOT_READY", "IMAGE_INVALID", "INFERENCE_TIMEOUT"),
    example={"threshold": 0.5},
)
def infer_image(call: Call, training_id: str, image_id: str, body: InferIn) -> PredictionOut:
    """Return what a model finds in an image, and wait for it.

    The image's file with `trainingId` (the tool `view-image`) shows it drawn on the image.
    """
    asked, answer = call.services.predictions.infer(
        call.principal, training_id, image_id, threshold=body.threshold, max_regions=body.max_detections
    )
    is_wanted = body.include_label_studio
    return describe_prediction(asked, answer, _for_label_studio(call, asked, answer) if is_wanted else None)


@api.operation(
    "POST",
    "/training/<training_id>/infer-all",
    effect=Effect.CREATE,
    tag="inference",
    scope="inference:run",
    status=202,
    tool="infer-all",
    command="infer-all",
    errors=("NOT_FOUND", "MODEL_NOT_READY"),
    example={"split": "unassigned"},
)
def infer_all(call: Call, training_id: str, body: InferAllIn) -> BatchOut:
    """Let a model look at all images of a split, in the background; poll `infer-all/results`.

    Asked again while it goes on, with the same split and threshold, it is the same run that is returned.
    """
    job = call.services.predictions.infer_all(
        call.principal,
        training_id,
        split=body.split,
        threshold=body.threshold,
        is_written_back=body.save_as_predictions,
    )
    return BatchOut(run=describe_batch(job))


@api.operation(
    "GET",
    "/training/<training_id>/infer-all/results",
    effect=Effect.READ,
    tag="inference",
    scope="inference:run",
    tool="get-batch-results",
    command="infer-all results",
    errors=("NOT_FOUND", "RESULTS_NOT_FOUND"),
)
def get_batch_results(call: Call, training_id: str, query: ResultsQuery) -> ResultsOut:
    """Return what a model found in the images of a split, oldest image first; nothing before the run has completed."""
    results = call.services.predictions.results(
        call.principal, training_id, job_id=query.job_id, limit=query.limit, cursor=_number(query.cursor)
    )
    return ResultsOut(
        run=describe_batch(results.job),
        predictions=[
            describe_prediction(results.asked, each) for _, each in results.outcomes if isinstance(each, Answer)
        ],
        errors=[
            FailedImage(image_id=spell("image_id", task.id), code=code_of(each), message=each.message)
            for task, each in results.outcomes
            if isinstance(each, TandemError)
        ],
        next_cursor=None if results.cursor is None else str(results.cursor),
        has_more=results.cursor is not None,
    )


@api.operation(
    "POST",
    "/training/<training_id>/evaluate",
    effect=Effect.CREATE,
    tag="inference",
    scope="inference:run",
    status=202,
    tool="evaluate-model",
    command="evaluate",
    errors=("NOT_FOUND", "MODEL_NOT_READY"),
    example={"split": "test"},
)
def evaluate_model(call: Call, training_id: str, body: EvaluateIn) -> BatchOut:
    """Measure a model on the labelled images of a split, in the background; poll `evaluate/results` with its `runId`.

    Images that you assigned to no split are in the one that the training drew for them; those that it has not seen are
    for tests.
    """
    job = call.services.predictions.evaluate(
        call.principal, training_id, split=body.split, threshold=body.threshold, iou=body.iou
    )
    return BatchOut(run=describe_batch(job))


@api.operation(
    "GET",
    "/training/<training_id>/evaluate/results",
    effect=Effect.READ,
    tag="inference",
    scope="inference:run",
    tool="get-evaluation",
    command="evaluate results",
    errors=("NOT_FOUND", "RESULTS_NOT_FOUND", "LABELS_INSUFFICIENT"),
)
def get_evaluation(call: Call, training_id: str, query: EvaluationQuery) -> EvaluationOut:
    """Return what the newest batch run that saw labelled images measured, of either kind.

    Give the `runId` of a run to await that one. Only what is at or above the run's threshold is measured.
    """
    return describe_evaluation(call.services.predictions.evaluation(call.principal, training_id, job_id=query.job_id))


def _number(cursor: str | None) -> int:
    """Return the number of the last image on the page before.

    Raises:
        Invalid: It was no page of ours.
    """
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        message = "it is no `nextCursor` of a page before"
        raise Invalid(f"cursor: {message}", code="validation_error", details={"fields": {"cursor": message}})
    return int(cursor)


def _for_label_studio(call: Call, asked: Asked, answer: Answer) -> LabelStudioPrediction | None:
    """Return a prediction as Label Studio stores it; None where no labelling configuration is known."""
    document = asked.label_set.document or call.services.projects.get(asked.run.project_id).origin.document
    if not document:
        return None
    config = parse(document)
    named = [binding for binding in config.bindings if binding.control_name == asked.label_set.name]
    if not named:
        return None
    found = Found(named[0], answer.regions, answer.width_px, answer.height_px)
    written = encode([found], config=config, task_id=answer.task.external_id)
    return LabelStudioPrediction.model_validate(written.to_json(asked.version.name))
