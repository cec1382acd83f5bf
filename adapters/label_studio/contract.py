"""The routes that Label Studio calls on an ML backend, and those that older and other clients call."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import Gone

from adapters.http import BasicAuth, answer, challenge, read_json, storable, unauthorized
from adapters.label_studio import webhook_event, wire
from adapters.label_studio.access import KIND, Access
from adapters.label_studio.described import take_note
from adapters.label_studio.interactive import InteractivePredictor
from adapters.label_studio.label_config import LabelConfig, parse
from adapters.label_studio.lean_json import decode_without_masks
from adapters.label_studio.prediction import TaskPredictor
from adapters.label_studio.results import EncodedPrediction, prompts
from adapters.label_studio.webhook_auth import Trust, WebhookDoor
from adapters.label_studio.webhook_event import EventKind, WebhookEvent
from backend.errors import Denied, Invalid, NotFound, TandemError
from backend.projects.service import Mirror, Origin
from backend.services import Services
from backend.training.run import RunState
from backend.versions.registry import UNTRAINED, ModelVersion, combined_name

log = logging.getLogger(__name__)

MODEL_CLASS = "Tandem"
_MAX_DEPTH = 100
_JOB_STATUS = {
    RunState.DRAFT: "deferred",
    RunState.PENDING: "queued",
    RunState.QUEUED: "queued",
    RunState.RUNNING: "started",
    RunState.COMPLETED: "finished",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "failed",
}


def blueprint(services: Services, auth: BasicAuth) -> Blueprint:
    """Return the contract's routes, each also under any path prefix."""
    contract = Contract(services, auth)
    routes: list[tuple[str, list[str], Callable[[], Response]]] = [
        ("health", ["GET"], contract.health),
        ("setup", ["POST"], contract.setup),
        ("predict", ["POST"], contract.predict),
        ("webhook", ["POST"], contract.webhook),
        ("versions", ["GET", "POST"], contract.versions),
        ("train", ["POST"], contract.train),
        ("job_status", ["POST"], contract.job_status),
        ("is_training", ["GET"], contract.is_training),
        ("validate", ["POST"], contract.validate),
        ("delete", ["POST"], contract.delete),
        ("duplicate_model", ["POST"], contract.duplicate_model),
    ]
    made = Blueprint("contract", __name__)
    made.add_url_rule("/", "root", contract.guarded(contract.health), methods=["GET"])
    for name, methods, view in routes:
        guarded = view if name == "webhook" else contract.guarded(view)
        for rule in (f"/{name}", f"/<path:prefix>/{name}", f"/<path:prefix>/{name}/"):
            made.add_url_rule(rule, name, guarded, methods=methods)

    @made.url_value_preprocessor
    def forget_prefix(_: str | None, values: dict[str, Any] | None) -> None:
        if values:
            values.pop("prefix", None)

    return made


class Contract:
    """Answers Label Studio. Each method is one route."""

    def __init__(self, services: Services, auth: BasicAuth) -> None:
        self._services = services
        self._auth = auth
        self._door = WebhookDoor(services.settings, auth)
        access = Access(services)
        self._predictor = TaskPredictor(services, access)
        self._interactive = InteractivePredictor(services, access, model_name=MODEL_CLASS)

    def guarded(self, view: Callable[[], Response]) -> Callable[[], Response]:
        """Let only callers in who know the user and the password, where there are some."""

        def guarded_view() -> Response:
            if not self._auth.admits(request):
                return unauthorized(sent="Authorization" in request.headers)
            return view()

        return guarded_view

    def health(self) -> Response:
        """Say that the server is up; touches nothing that could be slow."""
        return answer({"status": "UP", "model_class": MODEL_CLASS, "ready": True})

    def setup(self) -> Response:
        """Take note of a project and its labelling configuration; say which version answers."""
        body = wire.read(wire.SetupRequest, read_json(request))
        uid = str(body.project)
        if _is_deeper(body.extra_params.values, _MAX_DEPTH):
            raise Invalid(f"extra_params: is nested more than {_MAX_DEPTH} deep.", code="body_invalid")
        try:
            config = parse(body.label_config)
        except Invalid as error:
            log.warning("label config refused", extra={"uid": uid, "reason": error.message})
            if (known := self._services.projects.find(KIND, uid)) is not None:
                self._services.projects.note_contact(known.origin, error=error.message)
            raise
        mirror = self._mirror(
            uid,
            body.label_config,
            config,
            url=None if body.hostname is None else storable("hostname", body.hostname),
            params=body.extra_params.values,
            token=storable("access_token", body.access_token.get_secret_value()) if body.access_token else None,
            is_trusted=self._auth.is_on,
        )
        for control in config.unlearnable:
            log.info(
                "control not learnt", extra={"uid": uid, "control": control.control_name, "reason": control.reason}
            )
        self._services.projects.note_contact(mirror.origin)
        return answer({"model_version": combined_name(self._current(mirror))})

    def predict(self) -> Response:
        """Predict tasks: exactly one result each, in order."""
        body = wire.read(wire.PredictRequest, read_json(request, decode=decode_without_masks))
        mirror, config = self._project_of(body)
        interaction = prompts.read(body.params.context)
        current = self._current(mirror) if mirror else {}
        version = combined_name(current)
        if interaction is not None:
            reply = self._interactive.answer(interaction, mirror, config, current, body.tasks, body.params)
            entry = {"result": list(reply.result), "score": reply.score, "model_version": version}
            why = {"detail": reply.reason} if reply.reason else {}
            return answer({"results": [entry] if body.tasks else [], **why})
        if mirror is None or not current or not body.tasks:
            return _results([EncodedPrediction() for _ in body.tasks], version)
        try:
            predictions = self._predictor.predict(mirror, config, current, body.tasks, body.params)
        except TandemError as error:
            self._services.projects.note_contact(mirror.origin, error=error.message)
            raise
        except Exception as error:
            sentence = f"predicting crashed ({type(error).__name__}); the log of the server says more"
            self._services.projects.note_contact(mirror.origin, error=sentence)
            raise
        self._services.projects.note_contact(mirror.origin)
        return _results(predictions, version)

    def webhook(self) -> Response:
        """Store an event, or the wish to train; both are acted on later."""
        trust = self._door.trust(request)
        knows_password = self._auth.proves(request)
        if trust is Trust.REFUSED and not knows_password:
            return self._refused()
        event = webhook_event.read(read_json(request))
        if event.kind is EventKind.START_TRAINING:  # sent by the connection, which has the password and no token
            trust = Trust.PROVEN if knows_password else trust
            if trust is not Trust.PROVEN:
                return unauthorized(sent="Authorization" in request.headers)
        if trust is Trust.REFUSED:
            return self._refused()
        origin = self._services.projects.find_origin(KIND, str(event.project)) if event.project else None
        is_known = origin is not None and origin.is_trusted
        if trust is Trust.UNPROVEN and event.project and not (is_known or self._door.is_off):
            raise Denied(
                "events of a project that was not set up with our user and password are refused", code="unknown_project"
            )
        if origin is None:
            return answer({"status": "ignored", "detail": "the project is not known here"})
        return self._act(event, origin, trust)

    def _refused(self) -> Response:
        if self._auth.is_on and "Authorization" in request.headers:
            return unauthorized(sent=True)
        return challenge(f"This sender is refused by WEBHOOK_AUTH, which asks for: {self._door.rule}")

    def _act(self, event: WebhookEvent, origin: Origin, trust: Trust) -> Response:
        if event.kind is EventKind.START_TRAINING:
            return self._start_training(origin, reason="Start Training")
        if event.kind is EventKind.CONFIG_CHANGED and event.label_config and trust is Trust.PROVEN:
            return self._change_config(origin, event.label_config)
        if event.kind is EventKind.ANNOTATIONS_CHANGED:
            ids = [str(annotation_id) for annotation_id in event.annotation_ids]
            is_trusted = trust is Trust.PROVEN
            self._services.inbox.put(origin.project_id, event.action[:80], ids, is_trusted=is_trusted)
            return answer({"status": "stored"})
        return answer({"status": "ignored", "detail": "nothing to do for this event"})

    def _change_config(self, origin: Origin, document: str) -> Response:
        try:
            self._mirror(origin.uid, document, parse(document))
        except Invalid as error:
            self._services.projects.note_contact(origin, error=error.message)
            return answer({"status": "ignored", "detail": error.message})
        return answer({"status": "updated"})

    def train(self) -> Response:
        """Train on the annotated tasks in the body (clients of the first release)."""
        sent = read_json(request)
        body = wire.read(wire.TrainRequest, sent)
        if not any(task.annotations for task in body.annotations):
            raise Invalid("annotations: none of the tasks has any; label some first.", code="annotations_missing")
        uid = str(body.project)
        document = body.label_config or self._known(uid).origin.document
        mirror = self._mirror(uid, document, parse(document), is_trusted=self._auth.is_on)
        fields = ("id", "data", "annotations")
        tasks = [{name: task[name] for name in fields if name in task} for task in sent["annotations"]]
        supplied = self._services.blobs.put(json.dumps(tasks).encode())
        return self._start_training(mirror.origin, reason="POST /train", supplied=supplied)

    def _start_training(self, origin: Origin, *, reason: str, supplied: str | None = None) -> Response:
        runs = self._services.training.wish(origin.project_id, reason=reason, supplied=supplied)
        if not runs:
            raise Invalid(_nothing_to_learn(parse(origin.document)), code="nothing_to_learn")
        self._services.projects.note_contact(origin)
        return answer({"status": "ok", "job": runs[0].id, "jobs": [run.id for run in runs]}, 201)

    def versions(self) -> Response:
        """List version names: of one project where the body names it, else of all."""
        project = wire.read(wire.VersionsRequest, read_json(request)).project if request.method == "POST" else None
        mirrors = self._services.projects.all() if project is None else [self._known(str(project))]
        names: list[str] = []
        for mirror in mirrors:
            names += [version.name for version in self._services.versions.of_project(mirror.project.id)]
            names.append(combined_name(self._current(mirror)))
        return answer({"versions": list(dict.fromkeys(names)) or [UNTRAINED]})

    def job_status(self) -> Response:
        """Say how a training run is going."""
        body = wire.read(wire.JobStatusRequest, read_json(request))
        try:
            run = self._services.training.get(storable("job", body.job))
        except NotFound:
            raise Gone("there is no such job (any more)") from None
        moments = {"created_at": run.created_at, "started_at": run.started_at, "ended_at": run.finished_at}
        return answer(
            {
                "job_status": _JOB_STATUS[RunState(run.state)],
                "error": run.error,
                **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
                "enqueued_at": run.created_at.isoformat(),
                "result": {"version_id": run.version_id, "progress": run.progress},
            }
        )

    def is_training(self) -> Response:
        """Say whether a project is being trained."""
        uid = request.args.get("project", "")
        mirror = self._services.projects.find(KIND, str(wire.ProjectUid.parse(uid)))
        runs = self._services.training.of_project(mirror.project.id) if mirror else []
        busy = [run.id for run in runs if RunState(run.state).is_open]
        return answer({"is_training": bool(busy), "jobs": busy})

    def validate(self) -> Response:
        """Say whether anything can be learnt under a labelling configuration."""
        config = parse(wire.read(wire.ValidateRequest, read_json(request)).config)
        if not config.bindings:
            raise Invalid(_nothing_to_learn(config), code="nothing_to_learn")
        return answer(
            {
                "status": "ok",
                "controls": [binding.control_name for binding in config.bindings],
                "not_learnt": {control.control_name: control.reason for control in config.unlearnable},
            }
        )

    def delete(self) -> Response:
        """Forget what was computed for a project; its versions and labels are kept."""
        uid = str(wire.read(wire.DeleteRequest, read_json(request)).project)
        mirror = self._services.projects.find(KIND, uid)
        if mirror is not None:
            versions = self._services.versions.of_project(mirror.project.id)
            self._services.tasks.forget_predictions(version.id for version in versions)
        return answer({"status": "ok"})

    def duplicate_model(self) -> Response:
        """Let the versions in use of one project answer for another one as well, label set by label set."""
        body = wire.read(wire.DuplicateModelRequest, read_json(request))
        source, target = self._known(str(body.project_src)), self._known(str(body.project_dst))
        current = self._current(source)
        named = {row.name: current[row.id] for row in source.label_sets if row.id in current}
        for label_set in target.label_sets:
            if (version := named.get(label_set.name)) is not None:
                copy = self._services.versions.register(
                    label_set.id, version.files, run_id=version.run_id, snapshot=version.snapshot
                )
                self._services.versions.promote(copy, reason=f"duplicated from {source.origin.uid}")
        fresh = self._known(target.origin.uid)
        return answer({"status": "ok", "model_version": combined_name(self._current(fresh))})

    def _project_of(self, body: wire.PredictRequest) -> tuple[Mirror | None, LabelConfig]:
        uid = str(body.project) if body.project else None
        known = self._services.projects.find(KIND, uid) if uid else None
        document = body.label_config or (known.origin.document if known else None)
        if document is None:
            raise Invalid("label_config: is missing, and this project was never set up.", code="label_config_missing")
        config = parse(document)
        if uid is None or (known is not None and known.origin.document == document):
            return known, config
        return self._mirror(uid, document, config, is_trusted=self._auth.is_on), config

    def _mirror(self, uid: str, document: str, config: LabelConfig, **said: Any) -> Mirror:
        return take_note(self._services.projects, uid, document, config, **said)

    def _known(self, uid: str) -> Mirror:
        mirror = self._services.projects.find(KIND, uid)
        if mirror is None:
            raise NotFound(f"project {uid} was never set up here; connect it in Label Studio", code="project_not_found")
        return mirror

    def _current(self, mirror: Mirror) -> dict[str, ModelVersion]:
        return self._services.versions.current(mirror.label_sets)


def _results(predictions: list[EncodedPrediction], version: str) -> Response:
    return answer({"results": [prediction.to_json(version) for prediction in predictions]})


def _is_deeper(value: object, limit: int) -> bool:
    """Say whether a JSON value is nested deeper; every level takes stack wherever it is written or compared."""
    if not isinstance(value, dict | list):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return limit == 0 or any(_is_deeper(inner, limit - 1) for inner in inside)


def _nothing_to_learn(config: LabelConfig) -> str:
    reasons = "; ".join(f"{control.control_name} {control.reason}" for control in config.unlearnable)
    return f"Nothing in this label config can be learnt: {reasons or 'it has no control tag'}"
