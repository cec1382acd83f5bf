"""The routes that Label Studio calls, answered by a hosted model."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, Response, request

from adapters.hosting.host import Answer, Host
from adapters.hosting.process import ModelFailed
from adapters.http import BasicAuth, answer, challenge, plain_error, read_json, unauthorized, word_errors
from adapters.label_studio import webhook_event, wire
from adapters.label_studio.label_config import parse
from adapters.label_studio.results.check import check
from adapters.label_studio.webhook_auth import Trust, WebhookDoor
from adapters.label_studio.webhook_event import EventKind, WebhookEvent
from backend.errors import Denied, Invalid, Unavailable
from backend.settings import Settings

log = logging.getLogger(__name__)

_PLACE_S = 2.0
"""How long a prediction waits for a place; it holds a thread meanwhile."""


def create_app(settings: Settings, host: Host) -> Flask:
    """Put the web application of a hosted model together."""
    app = Flask("tandem-host", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # its answer would be no JSON
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    contract = HostedContract(settings, host)
    routes: list[tuple[str, list[str], Callable[[], Response]]] = [
        ("health", ["GET"], contract.health),
        ("setup", ["POST"], contract.setup),
        ("predict", ["POST"], contract.predict),
        ("webhook", ["POST"], contract.webhook),
        ("versions", ["GET", "POST"], contract.versions),
        ("job_status", ["POST"], contract.job_status),
        ("is_training", ["GET"], contract.is_training),
        ("metrics", ["GET"], contract.metrics),
    ]
    app.add_url_rule("/", "root", contract.guarded(contract.health), methods=["GET"])
    for name, methods, view in routes:
        guarded = view if name == "webhook" else contract.guarded(view)
        for rule in (f"/{name}", f"/<path:prefix>/{name}", f"/<path:prefix>/{name}/"):
            app.add_url_rule(rule, name, guarded, methods=methods)

    @app.url_value_preprocessor
    def forget_prefix(_: str | None, values: dict[str, Any] | None) -> None:
        if values:
            values.pop("prefix", None)

    word_errors(app)
    return app


class HostedContract:
    """Answers Label Studio. Each method is one route."""

    def __init__(self, settings: Settings, host: Host) -> None:
        self._host = host
        self._auth = BasicAuth(settings.basic_auth_user, settings.basic_auth_pass.get_secret_value())
        self._door = WebhookDoor(settings, self._auth)
        self._places = threading.BoundedSemaphore(max(settings.web_threads // 2, 1))

    def guarded(self, view: Callable[[], Response]) -> Callable[[], Response]:
        """Let only callers in who know the user and the password, where there are some."""

        def guarded_view() -> Response:
            if not self._auth.admits(request):
                return unauthorized(sent="Authorization" in request.headers)
            return view()

        return guarded_view

    def health(self) -> Response:
        """Say that the server is up; asks no process, so that nothing a model does can delay it."""
        known = self._host.description
        name = known.model_class if known else self._host.program.target.name
        failure = self._host.journal.last_failure()
        body = {"status": "UP", "model_class": name, "ready": self._host.num_ready > 0}
        return answer({**body, "training_error": failure.error} if failure else body)

    def setup(self) -> Response:
        """Tell the model about a project; say which version answers."""
        sent = read_json(request)
        body = wire.read(wire.SetupRequest, sent)
        try:
            version = self._host.setup(str(body.project.id), sent)
        except ModelFailed as error:
            log.warning("project refused by the model", extra={"uid": str(body.project), "reason": error.message})
            raise Invalid(f"The model refuses this project: {error.message}", code="project_refused") from error
        self._host.journal.note_project(str(body.project), body.label_config, is_trusted=self._auth.is_on)
        return answer({"model_version": version})

    def predict(self) -> Response:
        """Predict tasks: exactly one result each, in order; for a click only the first task counts."""
        sent = read_json(request)
        body = wire.read(wire.PredictRequest, sent)
        context = body.params.context
        tasks = sent["tasks"] if context is None else sent["tasks"][:1]
        if not tasks:
            return answer({"results": []})
        document = body.label_config or (self._host.journal.document(str(body.project)) if body.project else None)
        if document is None:
            raise Invalid("label_config: is missing, and this project was never set up.", code="label_config_missing")
        if context is not None and not _says_something(context):
            version = self._host.known_version(str(body.project.id) if body.project else "") or "0.0.1"
            return answer({"results": [{"result": [], "score": 0.0, "model_version": version}]})
        params = sent.get("params") if isinstance(sent.get("params"), dict) else {}
        with self._place():
            said = self._host.predict({**sent, "tasks": tasks, "params": params, "label_config": document})
        is_plain = not isinstance(context, dict) or context.get("event", "predict") == "predict"
        reasons = [*said.reasons, *(_check(document, said) if is_plain else [])]
        for reason in reasons:
            log.warning("prediction corrected", extra={"uid": str(body.project), "reason": reason})
        return answer({"results": said.entries, **({"detail": "; ".join(reasons[:10])} if reasons else {})})

    def webhook(self) -> Response:
        """Queue a training where the model learns from an event, and return at once."""
        trust = self._door.trust(request)
        knows_password = self._auth.proves(request)
        if trust is Trust.REFUSED and not knows_password:
            return self._refused()
        sent = read_json(request)
        event = webhook_event.read(sent)
        if event.kind is EventKind.START_TRAINING:  # sent by the connection, which has the password and no token
            trust = Trust.PROVEN if knows_password else trust
            if trust is not Trust.PROVEN:
                return unauthorized(sent="Authorization" in request.headers)
        if trust is Trust.REFUSED:
            return self._refused()
        if event.project is None:
            return answer({"status": "ignored", "detail": "the event does not say which project it is about"})
        if trust is Trust.UNPROVEN and not (self._door.is_off or self._host.journal.is_trusted(str(event.project))):
            raise Denied(
                "events of a project that was not set up with our user and password are refused", code="unknown_project"
            )
        return self._learn(event, sent)

    def versions(self) -> Response:
        """List the versions in use."""
        return answer({"versions": self._host.versions()})

    def job_status(self) -> Response:
        """Say how a training is going."""
        job = self._host.journal.job(wire.read(wire.JobStatusRequest, read_json(request)).job)
        if job is None:
            return plain_error(410, "there is no such job (any more)")
        return answer(
            {
                "job_status": job.state,
                "error": job.error,
                "event": job.event,
                "created_at": job.created_at,
                "enqueued_at": job.created_at,
                "started_at": job.started_at,
                "ended_at": job.ended_at,
                "result": job.result,
            }
        )

    def is_training(self) -> Response:
        """Say whether a project is being trained."""
        uid = str(wire.ProjectUid.parse(request.args.get("project", "")))
        busy = [job.id for job in self._host.journal.unfinished(uid)]
        return answer({"is_training": bool(busy), "jobs": busy})

    def metrics(self) -> Response:
        """Answer as Label Studio's ML backend does: there are none."""
        return answer({})

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Take one of the places for predictions: health checks and events always find a thread that is free."""
        if not self._places.acquire(timeout=_PLACE_S):
            raise Unavailable("too many predictions are in progress", code="busy", retry_after_s=5)
        try:
            yield
        finally:
            self._places.release()

    def _learn(self, event: WebhookEvent, sent: dict[str, Any]) -> Response:
        job = self._host.learn(str(event.project), event.action, sent)
        if job is None:
            return answer({"status": "ignored", "detail": f"the model does not learn from {event.action[:80]}"})
        return answer({"status": "ok", "job": job.id, "job_status": job.state}, 201)

    def _refused(self) -> Response:
        if self._auth.is_on and "Authorization" in request.headers:
            return unauthorized(sent=True)
        return challenge(f"This sender is refused by WEBHOOK_AUTH, which asks for: {self._door.rule}")


def _says_something(context: Any) -> bool:
    """Say whether there is anything to answer: an empty list of prompts means that the last one was taken back."""
    return isinstance(context, dict) and (bool(context.get("result")) or "event" in context)


def _check(document: str, said: Answer) -> list[str]:
    """Leave out regions that Label Studio would refuse, with all the others of their batch; return why."""
    try:
        config = parse(document)
    except Invalid as error:
        return [f"not checked against the label config: {error.message}"]  # the model could read it
    reasons: list[str] = []
    for entry in said.entries:
        for prediction in entry if isinstance(entry, list) else [entry]:
            if isinstance(prediction["result"], list):
                checked = check(config, prediction["result"])
                prediction["result"] = checked.items
                reasons += checked.reasons
            if prediction["model_version"] != said.version:
                version = prediction["model_version"]
                reasons.append(
                    f"a prediction says version {version!r} where the set-up says {said.version!r}: "
                    "Label Studio will ask for it again and again"
                )
    return list(dict.fromkeys(reasons))
