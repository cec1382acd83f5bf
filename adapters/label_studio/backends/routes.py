"""The operations of /api/ml on the registry that is kept here: the nine of Label Studio's SDK, and its test request."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from flask import Blueprint, Response

from adapters.http import BasicAuth, answer
from adapters.label_studio.access import KIND
from adapters.label_studio.backends.checks import (
    DESCRIBED,
    changed,
    is_same_place,
    require_pair,
    require_working,
    wrong,
)
from adapters.label_studio.backends.dialect import MODE, LabelStudioDialect, read_any_body
from adapters.label_studio.backends.here import Here
from adapters.label_studio.backends.peers import Peer, Refused, Seen, Unanswered
from adapters.label_studio.backends.predicting import predict_here, predict_in_label_studio, predict_there
from adapters.label_studio.backends.proxy import Proxy
from adapters.label_studio.backends.there import There
from adapters.label_studio.backends.wire import (
    BackendIn,
    BackendOut,
    BackendPatch,
    Backends,
    InteractiveErrors,
    InteractiveIn,
    InteractiveOut,
    ListQuery,
    PredictOut,
    PredictQuery,
    TrainError,
    TrainIn,
    TrainOut,
    TryOut,
    TryQuery,
    VersionsHint,
    VersionsOut,
)
from adapters.operations import Answered, Api, Call, Effect, H
from backend.connections.ml_backends import SELF, TRAINING_FAILED, Changes, MLBackend
from backend.connections.state import State
from backend.errors import NotFound, TandemError
from backend.services import Services

ROOTS = ("/api/ml", "/v1/api/ml")
_LOOKERS = 8

api = Api("ml_backends", LabelStudioDialect(), roots=ROOTS, read=read_any_body, body_argument="body")


def blueprint(services: Services, _: BasicAuth) -> Blueprint:
    """Return the routes; with LABEL_STUDIO_URL, Label Studio's own registry answers them."""
    made = api.blueprint(services)
    has_label_studio = bool(services.settings.label_studio_url)
    made.record_once(lambda state: state.app.config.update({MODE: "proxy" if has_label_studio else "native"}))
    if has_label_studio:
        made.before_request(Proxy(services, api).answer)
    for root in ROOTS:  # else they would be routes of the ML backend that has a path before it
        made.add_url_rule(
            f"{root}/<id>/<any(predict, train, versions):what>", "unknown", _unknown, methods=["GET", "POST"]
        )
    return made


def _unknown(**_: str) -> Response:
    raise NotFound("Not found.", code="not_found")


def _operation(method: str, path: str, **declared: Any) -> Callable[[H], H]:
    native, seed = (f"{root}{path}" for root in ROOTS)
    return api.operation(method, native, aliases=(seed,), tag="ml backends", **declared)


@_operation(
    "GET",
    "",
    effect=Effect.READ,
    scope="backends:read",
    tool="list-ml-backends",
    command="backends list",
    errors=("NOT_FOUND",),
)
def list_ml_backends(call: Call, query: ListQuery) -> Backends:
    """List ML backends.

    Each is asked how it is before it is listed, so this is also how to see whether they work. Without `project`, all
    that you may see are listed.
    """
    registry = call.services.ml_backends
    project = None
    if query.project is not None and (project := registry.find_project(call.principal, query.project)) is None:
        raise NotFound("Not found.", code="not_found")
    found = [
        backend
        for backend in registry.all(call.principal, project.id if project else None)
        if query.is_interactive in (None, backend.is_interactive)
    ]
    with ThreadPoolExecutor(_LOOKERS, thread_name_prefix="look") as pool:
        described = [pool.submit(copy_context().run, _refreshed, call, backend) for backend in found]
        return Backends([each.result() for each in described])


@_operation(
    "POST",
    "",
    effect=Effect.CREATE,
    scope="backends:write",
    status=201,
    tool="add-ml-backend",
    command="backends add",
    example={"project": 1, "url": "self", "title": "Tandem"},
)
def add_ml_backend(call: Call, body: BackendIn) -> BackendOut:
    """Add ML Backend.

    Connects a project with a backend, which must be healthy and accept the project's labelling configuration. The URL
    `self` stands for this server, which needs no address. Afterwards `train` and `versions` work through the backend.
    """
    registry = call.services.ml_backends
    project = registry.find_project(call.principal, body.project)
    if project is None:
        raise wrong("project", f'Invalid pk "{body.project}" - object does not exist.')
    backend = MLBackend(
        project_id=project.id,
        url=body.url.strip(),
        timeout_s=body.timeout,
        **{name: getattr(body, name) for name in DESCRIBED},
    )
    password = body.basic_auth_pass or ""
    require_pair(backend, password)
    if any(known.url == backend.url for known in registry.all(call.principal, project.id)):
        raise wrong("url", f"The project has an ML backend with the URL {backend.url!r} already.")
    seen = require_working(backend, _peer(call, backend, password))
    if backend.url == SELF and not backend.auto_update:
        _here(call, backend).pin(backend.model_version or None)
    created = registry.create(call.principal, backend, password=password)
    registry.note(created, is_reachable=True, error=None, model_version=seen.model_version)
    return _describe(call, created)


@_operation(
    "GET", "/<int:id>", effect=Effect.READ, scope="backends:read", tool="get-ml-backend", command="backends show"
)
def get_ml_backend(call: Call, id: int) -> BackendOut:
    """Get ML Backend.

    Asks the backend how it is, and returns it with its `state`: poll this while it trains (TR) or predicts (PR).
    """
    return _refreshed(call, call.services.ml_backends.get(call.principal, id))


@_operation(
    "DELETE",
    "/<int:id>",
    effect=Effect.DELETE,
    scope="backends:write",
    status=204,
    tool="remove-ml-backend",
    command="backends remove",
)
def remove_ml_backend(call: Call, id: int) -> None:
    """Remove ML Backend.

    Only the connection goes; models, annotations and predictions stay, and what was started through it goes on. Only
    predictions that another server was still to make are not made any more.
    """
    call.services.ml_backends.delete(call.principal, id)


@_operation(
    "PATCH",
    "/<int:id>",
    effect=Effect.UPDATE,
    scope="backends:write",
    tool="update-ml-backend",
    command="backends update",
    example={"auto_update": False, "model_version": "label-v3-1f2e3d4c"},
)
def update_ml_backend(call: Call, id: int, body: BackendPatch) -> BackendOut:
    """Update ML Backend.

    Only the fields that are given change. `auto_update: false` with a `model_version` of `versions` pins the version
    that answers, as long as this server is the backend.
    """
    registry = call.services.ml_backends
    backend = registry.get(call.principal, id)
    given = body.model_fields_set
    if "project" in given and body.project != registry.project_number(backend):
        raise wrong("project", "A backend cannot be moved to another project; add one there.")
    changes: Changes = {}
    for name in DESCRIBED & given:
        changes[name] = getattr(body, name)  # type: ignore[literal-required]  # named as the fields are
    if "url" in given:
        changes["url"] = body.url.strip()
    if "timeout" in given:
        changes["timeout_s"] = body.timeout
    wanted = changed(backend, changes)
    stored = registry.password(backend) if is_same_place(backend.url, wanted.url) else ""
    password = body.basic_auth_pass or stored
    if given & {"url", "auth_method", "basic_auth_user", "basic_auth_pass", "extra_params"}:
        require_pair(wanted, password)
        require_working(wanted, _peer(call, wanted, password))
    if wanted.url == SELF and given & {"auto_update", "model_version"}:
        _pin(call, wanted, body.model_version if "model_version" in given else None)
    return _refreshed(call, registry.change(call.principal, id, password=password, **changes))


@_operation(
    "POST",
    "/<int:id>/interactive-annotating",
    effect=Effect.CREATE,
    scope="backends:write inference:run",
    tool="request-interactive-annotation",
    command="backends interactive",
    also={200: InteractiveErrors},
    answer=InteractiveOut,
    example={"task": 1, "context": {"result": []}},
)
def request_interactive_annotation(call: Call, id: int, body: InteractiveIn) -> InteractiveOut | InteractiveErrors:
    """Request Interactive Annotation.

    Asks the backend what is at the place where somebody points: `context.result` holds the regions that were drawn.
    Where it cannot say, the answer has `errors` in place of `data`.
    """
    backend = call.services.ml_backends.get(call.principal, id)
    if not backend.is_interactive:
        return InteractiveErrors(errors=["The ML backend is not interactive; set is_interactive to true first."])
    try:
        return InteractiveOut(data=_peer(call, backend).suggest(body.task, body.context))
    except NotFound:
        raise
    except TandemError as error:
        return InteractiveErrors(errors=[error.message])


@_operation(
    "POST",
    "/<int:id>/predict",
    effect=Effect.CREATE,
    scope="backends:write inference:run",
    tool="create-predictions-all-tasks",
    command="backends predict",
    errors=("MODEL_NOT_READY", "CONFLICT", "UPSTREAM_ERROR"),
)
def create_predictions_all_tasks(call: Call, id: int, query: PredictQuery) -> PredictOut:
    """Create predictions for all tasks.

    Queues one job that predicts the tasks without a prediction of the present version, or the first `batch_size` of
    them, and returns at once; the backend's state is PR until the job ends. Ask again for the next ones; `tasks: 0`
    says that none is left. Asking while a job goes on returns that job. Tasks that the backend could not answer are
    counted in its `error_message`. Another backend than this server is asked in the background, a few tasks at a time.
    """
    backend = call.services.ml_backends.get(call.principal, id)
    if backend.url != SELF:
        by = call.principal.user_id
        job, answered = predict_there(call.services, backend, _seen(call, backend), query.batch_size, created_by=by)
    elif call.services.projects.get(backend.project_id).origin.kind == KIND:
        job, answered = predict_in_label_studio(call.services, backend.project_id, query.batch_size)
    else:
        job, answered = predict_here(call.services, call.principal, backend.project_id, query.batch_size)
    if job is not None:
        call.services.ml_backends.note_predicting(backend, job.id)
    return answered


@_operation(
    "POST",
    "/<int:id>/predict/test",
    effect=Effect.CREATE,
    scope="backends:write inference:run",
    toolless="it is for looking at what goes over the wire; create-predictions-all-tasks keeps what is predicted",
    errors=("MODEL_NOT_READY", "CONFLICT", "UPSTREAM_ERROR"),
    example={"random": True},
)
def try_ml_backend(call: Call, id: int, query: TryQuery) -> TryOut:
    """Try ML Backend.

    Sends the backend one task of its project, any, and shows what was sent and what came back. Nothing is kept.
    """
    backend = call.services.ml_backends.get(call.principal, id)
    if not query.random:
        raise wrong("random", "Only random=true can be asked for: any task of the project.")
    tried = _peer(call, backend).try_out()
    return TryOut(url=tried.url, task=tried.task, request=tried.request, response=tried.response)


@_operation(
    "POST",
    "/<int:id>/train",
    effect=Effect.CREATE,
    scope="backends:write training:write",
    tool="train",
    command="backends train",
    answer=TrainOut,
    also={500: TrainError},
    example={"use_ground_truth": False},
)
def train(call: Call, id: int, body: TrainIn) -> TrainOut | Answered:
    """Train.

    Lets the backend learn from the annotations there are by now, and returns at once; its state is TR until that ends.
    Where it refuses, as with too few annotations, the answer is a 500 with the reason, and its state is ER.
    """
    registry = call.services.ml_backends
    backend = registry.get(call.principal, id)
    try:
        run_ids = _peer(call, backend).train(use_ground_truth=bool(body.use_ground_truth))
    except Refused as error:
        message = TRAINING_FAILED + error.message
        registry.note(backend, is_reachable=backend.is_reachable, error=message)
        return Answered(TrainError(message), 500)
    registry.note_training(backend, run_ids)
    first = run_ids[0] if run_ids else None
    return TrainOut.of(first, is_ours=backend.url == SELF)


@_operation(
    "GET",
    "/<int:id>/versions",
    effect=Effect.READ,
    scope="backends:read",
    tool="get-model-versions",
    command="backends versions",
    answer=VersionsOut,
)
def get_model_versions(call: Call, id: int) -> VersionsOut | Response:
    """Get model versions.

    The names of what the backend can serve, newest first; only trainings that were completed have one.
    """
    backend = call.services.ml_backends.get(call.principal, id)
    try:
        listed = _peer(call, backend).versions()
    except Unanswered as error:
        return answer({"error": error.message}, error.status)
    if listed.message is None:
        return VersionsOut(versions=list(listed.names))
    return VersionsHint(versions=list(listed.names), message=listed.message)


def _peer(call: Call, backend: MLBackend, password: str | None = None) -> Peer:
    if backend.url == SELF:
        return _here(call, backend)
    known = call.services.ml_backends.password(backend) if password is None else password
    return There(call.services, backend, known)


def _here(call: Call, backend: MLBackend) -> Here:
    return Here(call.services, call.principal, backend)


def _refreshed(call: Call, backend: MLBackend) -> BackendOut:
    """Ask a backend how it is, and describe it."""
    return _describe(call, backend, is_training=_seen(call, backend).is_training)


def _seen(call: Call, backend: MLBackend) -> Seen:
    """Ask a backend how it is, and remember that."""
    seen = _peer(call, backend).look()
    call.services.ml_backends.note(
        backend, is_reachable=seen.is_reachable, error=seen.error, model_version=seen.model_version
    )
    return seen


def _describe(call: Call, backend: MLBackend, *, is_training: bool = False) -> BackendOut:
    registry = call.services.ml_backends
    connection = registry.state(backend, is_training=is_training)
    is_silent = connection.state is State.DISCONNECTED
    return BackendOut(
        id=backend.id,
        state=connection.state.value,
        readable_state=connection.readable,
        url=backend.url,
        error_message=backend.error_message if is_silent else connection.error_message,
        basic_auth_pass_is_set=bool(backend.basic_auth_pass),
        timeout=backend.timeout_s,
        created_at=backend.created_at,
        updated_at=backend.updated_at,
        project=registry.project_number(backend),
        **{name: getattr(backend, name) for name in DESCRIBED},
    )


def _pin(call: Call, backend: MLBackend, name: str | None) -> None:
    here = _here(call, backend)
    if backend.auto_update:
        here.unpin()
    else:
        here.pin(name or None)
