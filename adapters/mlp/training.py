"""Trainings: describe one, start it, watch it, and take its model away."""

from __future__ import annotations

from base64 import b64encode

from flask import Response, send_file

from adapters.identifiers import spell
from adapters.mlp.api import api
from adapters.mlp.task_types import task_type
from adapters.mlp.training_wire import (
    DownloadLinkOut,
    DownloadQuery,
    FormatQuery,
    LogQuery,
    TrainingIn,
    TrainingOut,
    TrainingPatch,
    TrainingQuery,
    TrainingsQuery,
    ValidationOut,
    describe_counts,
    describe_estimate,
    describe_history,
    describe_problem,
    describe_training,
)
from adapters.mlp.wire import Page
from adapters.operations import Call, Effect
from backend.accounts.service import Principal
from backend.runs.service import Account
from backend.versions.downloads import Download, Format
from backend.versions.registry import ModelVersion

_USUAL_LINES = 200


@api.operation(
    "POST",
    "/label-sets/<label_set_id>/training",
    effect=Effect.CREATE,
    tag="training",
    scope="training:write",
    status=201,
    tool="create-training",
    command="training create",
    errors=("NOT_FOUND", "TASK_TYPE_NOT_TRAINABLE"),
    example={"name": "first try", "config": {"epochs": 20}, "splits": {"train": 0.8, "val": 0.1, "test": 0.1}},
)
def create_training(call: Call, label_set_id: str, body: TrainingIn) -> TrainingOut:
    """Describe a training. It costs nothing and starts nothing: it is `pending` until you start it.

    What `config` leaves out, the model decides. `splits` share out the images without a split, for this training only.
    """
    run = call.services.runs.describe(
        call.principal,
        label_set_id,
        title=body.name,
        changes=body.config.changes,
        ratios=body.splits.model_dump() if body.splits else None,
        options=body.config.model_dump(by_alias=True, exclude_unset=True),
        ignored=body.config.ignored,
    )
    return _training(call, run.id)


@api.operation(
    "POST",
    "/training/<training_id>/start",
    effect=Effect.UPDATE,
    tag="training",
    scope="training:write",
    tool="start-training",
    command="training start",
    errors=("NOT_FOUND", "INVALID_STATE", "LABELS_INSUFFICIENT", "TOKENS_EXHAUSTED", "QUEUE_UNAVAILABLE"),
)
def start_training(call: Call, training_id: str) -> TrainingOut:
    """Start a training. It spends at least 1 token of the workspace.

    Starting one that is queued or running already changes nothing, so trying again is safe.
    """
    call.services.runs.start(call.principal, training_id)
    return _training(call, training_id)


@api.operation(
    "GET",
    "/training/<training_id>",
    effect=Effect.READ,
    tag="training",
    scope="training:read",
    tool="get-training",
    command="training show",
    errors=("NOT_FOUND",),
)
def get_training(call: Call, training_id: str, query: TrainingQuery) -> TrainingOut:
    """Tell how a training is going: status, progress, metrics, log.

    Poll every 30 seconds until `status` is `completed`, `failed` or `cancelled`, no faster.
    """
    return _training(call, training_id, num_lines=query.log_tail, has_history="history" in query.include.split(","))


@api.operation(
    "GET",
    "/label-sets/<label_set_id>/training",
    effect=Effect.READ,
    tag="training",
    scope="training:read",
    tool="list-trainings",
    command="training list",
    errors=("NOT_FOUND",),
)
def list_trainings(call: Call, label_set_id: str, query: TrainingsQuery) -> Page[TrainingOut]:
    """List the trainings of a label set, newest first; those that were started from Label Studio too."""
    return _page(
        call, *call.services.runs.of_label_set(call.principal, label_set_id, limit=query.limit, cursor=query.cursor)
    )


@api.operation(
    "GET",
    "/projects/<project_id>/training",
    effect=Effect.READ,
    tag="training",
    scope="training:read",
    tool="list-project-trainings",
    command="projects trainings",
    errors=("NOT_FOUND",),
)
def list_project_trainings(call: Call, project_id: str, query: TrainingsQuery) -> Page[TrainingOut]:
    """List the trainings of all label sets of a project, newest first."""
    return _page(
        call, *call.services.runs.of_project(call.principal, project_id, limit=query.limit, cursor=query.cursor)
    )


@api.operation(
    "PATCH",
    "/training/<training_id>",
    effect=Effect.UPDATE,
    tag="training",
    scope="training:write",
    tool="update-training",
    command="training update",
    errors=("NOT_FOUND",),
    example={"name": "with more cats"},
)
def update_training(call: Call, training_id: str, body: TrainingPatch) -> TrainingOut:
    """Give a training another name."""
    call.services.runs.rename(call.principal, training_id, body.name)
    return _training(call, training_id)


@api.operation(
    "POST",
    "/training/<training_id>/cancel",
    effect=Effect.DELETE,
    tag="training",
    scope="training:write",
    tool="cancel-training",
    command="training cancel",
    errors=("NOT_FOUND", "INVALID_STATE"),
)
def cancel_training(call: Call, training_id: str) -> TrainingOut:
    """End a training for good. It is free before its first epoch has ended."""
    call.services.runs.cancel(call.principal, training_id)
    return _training(call, training_id)


@api.operation(
    "DELETE",
    "/training/<training_id>",
    effect=Effect.DELETE,
    tag="training",
    scope="models:write",
    status=204,
    tool="delete-training",
    command="training delete",
    errors=("NOT_FOUND", "INVALID_STATE"),
)
def delete_training(call: Call, training_id: str) -> None:
    """Forget a training and its model. Not while it runs, and not while its model answers."""
    call.services.runs.delete(call.principal, training_id)


@api.operation(
    "GET",
    "/training/<training_id>/log",
    effect=Effect.READ,
    tag="training",
    scope="training:read",
    command="training logs",
    toolless="get-training tells the end of the log",
    media_type="text/plain",
    errors=("NOT_FOUND",),
)
def get_training_log(call: Call, training_id: str, query: LogQuery) -> Response:
    """Return the log as plain text, newest line last, from a byte on."""
    text = call.services.runs.log(call.principal, training_id)
    return Response(text.encode()[query.offset :], mimetype="text/plain")


@api.operation(
    "GET",
    "/training/<training_id>/validation",
    effect=Effect.READ,
    tag="training",
    scope="training:read",
    tool="validate-training",
    command="training check",
    errors=("NOT_FOUND",),
)
def validate_training(call: Call, training_id: str) -> ValidationOut:
    """Say whether a training could be started now, and if not, everything that is in its way."""
    problems = call.services.runs.check(call.principal, training_id)
    account = call.services.runs.get(call.principal, training_id)
    return ValidationOut(
        startable=not problems,
        problems=[describe_problem(error) for error in problems],
        dataset=describe_counts(account.counts),
        estimate=describe_estimate(call.services.runs.estimate(account.run)),
    )


@api.operation(
    "GET",
    "/training/<training_id>/download-link",
    effect=Effect.READ,
    tag="training",
    scope="models:read",
    tool="get-model-download",
    command="models link",
    errors=("NOT_FOUND", "MODEL_NOT_READY", "FORMAT_UNAVAILABLE"),
    example={"format": "onnx"},
)
def get_model_download(call: Call, training_id: str, query: FormatQuery) -> DownloadLinkOut:
    """Tell where the model of a completed training can be downloaded for an hour without a key, its size and SHA-256.

    Whoever has the address can download the file, so hand it on with care. It opens nothing any more once the training
    is deleted, or the key that asked for it is revoked.
    """
    version, found = _file(call, call.principal, training_id, query)
    link = call.services.download_links.make(call.principal, training_id, Format(query.format))
    path = f"/training/{spell('training_id', training_id)}/download"
    return DownloadLinkOut(
        url=f"{call.base_url}{path}?format={query.format}&sig={link.signature}",
        format=query.format,
        bytes=found.path.stat().st_size,
        sha256=found.sha256,
        expires_at=link.expires_at,
        filename=_filename(version, query),
    )


@api.operation(
    "GET",
    "/training/<training_id>/download",
    effect=Effect.READ,
    tag="training",
    scope="models:read",
    command="models download",
    toolless="bytes do not belong into a tool's result; get-model-download tells an address",
    media_type="application/octet-stream",
    errors=("NOT_FOUND", "MODEL_NOT_READY", "FORMAT_UNAVAILABLE"),
    takes_signature=True,
)
def download_model(call: Call, training_id: str, query: DownloadQuery) -> Response:
    """Download the model of a completed training, as ONNX or as weights for torch.

    ONNX: one float32 input, N×3×H×W; its metadata say what goes in and what comes out. pth: a dictionary with
    `state_dict` and the same facts, for `torch.load(..., weights_only=True)`. Ranges and conditions are understood.
    """
    principal = call.principal
    if query.sig is not None:
        principal = call.services.download_links.lender(training_id, Format(query.format), query.sig)
    version, found = _file(call, principal, training_id, query)
    response = send_file(
        found.path,
        mimetype="application/octet-stream",
        as_attachment=True,
        download_name=_filename(version, query),
        etag=found.sha256,
        last_modified=int(version.created_at.timestamp()),
        conditional=True,
    )
    response.headers["Repr-Digest"] = f"sha-256=:{b64encode(bytes.fromhex(found.sha256)).decode()}:"
    return response


def _file(call: Call, principal: Principal, training_id: str, query: FormatQuery) -> tuple[ModelVersion, Download]:
    version = call.services.runs.version(principal, training_id)
    form, does = Format(query.format), task_type(version.schema.objective)
    return version, call.services.downloads.get(version, form, task_type=does)


def _filename(version: ModelVersion, query: FormatQuery) -> str:
    return f"{version.name}.{query.format}"


def _training(call: Call, training_id: str, *, num_lines: int = _USUAL_LINES, has_history: bool = False) -> TrainingOut:
    runs = call.services.runs
    account = runs.get(call.principal, training_id)
    log, is_truncated = runs.log_tail(account.run, num_lines)
    return describe_training(
        account,
        runs.estimate(account.run),
        log=log,
        log_truncated=is_truncated,
        history=describe_history(account.run) if has_history else [],
    )


def _page(call: Call, accounts: list[Account], cursor: str | None) -> Page[TrainingOut]:
    items = [describe_training(account, call.services.runs.estimate(account.run)) for account in accounts]
    return Page(items=items, next_cursor=cursor, has_more=cursor is not None)
