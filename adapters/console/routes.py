"""Routes for people and scripts: /tandem/…, and /metrics for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterator

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from adapters.console import describe
from adapters.http import BasicAuth, answer, read_json, unauthorized
from backend.errors import Invalid, Unavailable
from backend.projects.service import Promotion
from backend.queue import QueueName
from backend.services import Services

_MAX_LINE = 2**31 - 1
"""No log line has a greater number."""


def blueprint(services: Services, auth: BasicAuth) -> Blueprint:
    """Return the routes."""
    made = Blueprint("console", __name__)

    @made.before_request
    def admit() -> Response | None:
        return None if auth.admits(request) else unauthorized(sent="Authorization" in request.headers)

    @made.get("/tandem/status")
    def status() -> Response:
        return answer({"projects": [describe.project(services, mirror) for mirror in services.projects.all()]})

    @made.get("/tandem/projects/<project_id>")
    def project(project_id: str) -> Response:
        return answer(describe.project(services, services.projects.get(project_id)))

    @made.patch("/tandem/projects/<project_id>")
    def change(project_id: str) -> Response:
        mirror = services.projects.get(project_id)
        body = _object()
        services.projects.change(
            mirror.project.id,
            promotion=_promotion(body.get("promotion")),
            train_every=_whole_number(body, "train_every"),
            train_quiet_s=_number(body, "train_quiet_s"),
        )
        return answer(describe.project(services, services.projects.get(project_id)))

    @made.post("/tandem/projects/<project_id>/train")
    def train(project_id: str) -> Response:
        mirror = services.projects.get(project_id)
        runs = services.training.wish(mirror.project.id, reason="asked for over HTTP")
        return answer({"runs": [describe.run(run) for run in runs]}, 202)

    @made.get("/tandem/projects/<project_id>/runs")
    def runs(project_id: str) -> Response:
        mirror = services.projects.get(project_id)
        return answer({"runs": [describe.run(run) for run in services.training.of_project(mirror.project.id)]})

    @made.post("/tandem/projects/<project_id>/predictions")
    def predict(project_id: str) -> Response:
        body = _object() if request.data else {}
        view = _whole_number(body, "view")
        selection: dict[str, object] = {"is_unlabelled": True} if body.get("is_unlabelled") is True else {}
        selection |= {"view": view} if view is not None else {}
        is_replacing = body.get("is_replacing") is True
        job = services.prediction_jobs.ask(project_id, selection=selection, is_replacing=is_replacing)
        return answer(describe.prediction_job(job), 202)

    @made.get("/tandem/projects/<project_id>/predictions")
    def prediction_jobs(project_id: str) -> Response:
        mirror = services.projects.get(project_id)
        jobs = services.prediction_jobs.of_project(mirror.project.id)
        return answer({"jobs": [describe.prediction_job(job) for job in jobs]})

    @made.get("/tandem/predictions/<job_id>")
    def prediction_job(job_id: str) -> Response:
        return answer(describe.prediction_job(services.prediction_jobs.get(job_id)))

    @made.post("/tandem/predictions/<job_id>/cancel")
    def cancel_prediction(job_id: str) -> Response:
        return answer(describe.prediction_job(services.prediction_jobs.cancel(job_id)))

    @made.get("/tandem/projects/<project_id>/versions")
    def versions(project_id: str) -> Response:
        mirror = services.projects.get(project_id)
        in_use = {row.version_id for row in mirror.label_sets if row.version_id}
        rows = services.versions.of_project(mirror.project.id)
        return answer({"versions": [describe.version(row, in_use=in_use) for row in rows]})

    @made.post("/tandem/projects/<project_id>/versions/<name>/<act>")
    def use(project_id: str, name: str, act: str) -> Response:
        version = services.versions.named(services.projects.get(project_id).project.id, name)
        if act == "pin":
            services.versions.pin(version)
        elif act == "promote":
            services.versions.promote(version, reason="asked for over HTTP")
        else:
            raise Invalid(f"{act!r} cannot be done with a version; pin and promote can", code="unknown_act")
        return answer(describe.project(services, services.projects.get(project_id)))

    @made.post("/tandem/label-sets/<label_set_id>/rollback")
    def roll_back(label_set_id: str) -> Response:
        version = services.versions.roll_back(services.projects.get_label_set(label_set_id).id)
        return answer(describe.version(version, in_use={version.id}))

    @made.post("/tandem/label-sets/<label_set_id>/unpin")
    def unpin(label_set_id: str) -> Response:
        label_set = services.projects.get_label_set(label_set_id)
        services.versions.unpin(label_set.id)
        return answer(describe.project(services, services.projects.get(label_set.project_id)))

    @made.get("/tandem/runs/<run_id>")
    def run(run_id: str) -> Response:
        after = request.args.get("after", 0, int)
        lines = services.training.log_lines(run_id, max(0, min(after, _MAX_LINE)))
        return answer(describe.run(services.training.get(run_id), lines))

    @made.post("/tandem/runs/<run_id>/cancel")
    def cancel(run_id: str) -> Response:
        return answer(describe.run(services.training.cancel(run_id)))

    @made.get("/metrics")
    @made.get("/<path:prefix>/metrics")
    @made.get("/<path:prefix>/metrics/")
    def metrics(prefix: str = "") -> Response:
        if request.accept_mimetypes.best == "application/json":
            return answer({})
        registry = CollectorRegistry()
        registry.register(_Facts(services))
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
        return Response(generate_latest(registry) + generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)

    return made


class _Facts(Collector):
    """Figures that are looked up when somebody asks, the same from every process."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        runs = GaugeMetricFamily("tandem_runs", "Training runs that have not ended", labels=["state"])
        for state, number in self._services.training.num_by_state().items():
            runs.add_metric([state], number)
        yield runs
        yield GaugeMetricFamily(
            "tandem_changes_waiting", "Changed annotations in no run yet", self._services.inbox.num_waiting()
        )
        depth = GaugeMetricFamily("tandem_queue_depth", "Jobs that wait for a worker", labels=["queue"])
        workers = GaugeMetricFamily("tandem_workers", "Workers that serve a queue", labels=["queue"])
        try:
            for queue in QueueName:
                depth.add_metric([queue.value], self._services.queue.depth(queue))
                workers.add_metric([queue.value], self._services.queue.num_workers(queue))
            has_clock = self._services.queue.has_clock()
        except Unavailable:
            yield GaugeMetricFamily("tandem_queue_up", "Whether the queue answers", 0)
            return
        yield GaugeMetricFamily("tandem_queue_up", "Whether the queue answers", 1)
        yield GaugeMetricFamily("tandem_clock_up", "Whether a clock starts the runs", has_clock)
        yield depth
        yield workers


def _object() -> dict[str, object]:
    body = read_json(request)
    if not isinstance(body, dict):
        raise Invalid("The body should be a JSON object.", code="body_invalid")
    return body


def _promotion(said: object) -> Promotion | None:
    if said is None:
        return None
    try:
        return Promotion(str(said))
    except ValueError:
        raise Invalid(f"promotion: should be one of {', '.join(Promotion)}.", code="body_invalid") from None


def _number(body: dict[str, object], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise Invalid(f"{name}: should be a number, 0 or greater.", code="body_invalid")
    return value


def _whole_number(body: dict[str, object], name: str) -> int | None:
    value = _number(body, name)
    if value is not None and value != int(value):
        raise Invalid(f"{name}: should be a whole number.", code="body_invalid")
    return None if value is None else int(value)
