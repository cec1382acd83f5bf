"""The ML backend that is this server: its services are asked directly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from adapters.label_studio.access import KIND, Access
from adapters.label_studio.backends.items import Items
from adapters.label_studio.backends.peers import Listed, Refused, Seen, Tried, document_of, prediction_request
from adapters.label_studio.client import LabelStudio
from adapters.label_studio.conditions import IS_ANNOTATED
from adapters.label_studio.contract import MODEL_CLASS
from adapters.label_studio.interactive import InteractivePredictor
from adapters.label_studio.label_config import parse
from adapters.label_studio.prediction import TaskPredictor
from adapters.label_studio.results import prompts
from adapters.label_studio.wire import PredictParams, ProjectUid, Task, read
from backend.accounts.service import Principal
from backend.connections.ml_backends import SELF, TRAINING_FAILED, MLBackend
from backend.errors import Conflict, Invalid, TandemError
from backend.projects.service import LabelSet
from backend.services import Services
from backend.versions.registry import combined_name
from models.catalog import find_family
from models.labels import Objective

_REASON = "Train of an ML backend"
_TOO_FEW = "there are too few annotations to learn from; annotate two tasks at least"
_NEEDED = 2
"""Annotated tasks: one to learn from, and one to measure on."""


class Here:
    """See `peers.Peer`."""

    def __init__(self, services: Services, principal: Principal, backend: MLBackend) -> None:
        self._services = services
        self._principal = principal
        self._backend = backend
        self._mirror = services.projects.get(backend.project_id)
        self._access = Access(services)

    def look(self) -> Seen:
        """See `peers.Peer`: a refused training stays in sight until the next one."""
        error = self._backend.error_message or ""
        try:
            parse(document_of(self._mirror))
        except Invalid as fault:
            return Seen(is_reachable=True, error=fault.message)
        return Seen(
            is_reachable=True,
            error=error if error.startswith(TRAINING_FAILED) else None,
            model_version=combined_name(self._services.versions.current(self._mirror.label_sets)),
        )

    def train(self, *, use_ground_truth: bool) -> Sequence[str]:
        """See `peers.Peer`: labels that are here are counted first, and so are those that Label Studio tells of."""
        learnable = [row for row in self._mirror.label_sets if _is_shown(row) and find_family(row.schema) is not None]
        if not learnable:
            raise Refused("no label set of the project is of a kind that can be trained")
        try:
            if self._mirror.origin.kind == KIND:
                return self._wish(use_ground_truth)
            if use_ground_truth:
                raise Refused("no annotation of the project is marked as ground truth")
            return self._start(learnable)
        except Invalid as error:
            raise Refused(error.message) from error

    def _wish(self, use_ground_truth: bool) -> Sequence[str]:
        client = self._access.client(self._mirror.origin)
        supplied = None
        if use_ground_truth:
            supplied = self._services.blobs.put(json.dumps(self._ground_truth(client)).encode())
        elif client is not None:
            project_id = ProjectUid.parse(self._mirror.origin.uid).id
            annotated = client.list_tasks(project_id, [IS_ANNOTATED], limit=1, with_annotations=False)
            _require(annotated.total)
        runs = self._services.training.wish(self._mirror.project.id, reason=_REASON, supplied=supplied)
        return [run.id for run in runs]

    def _ground_truth(self, client: LabelStudio | None) -> list[dict[str, Any]]:
        """Return the tasks with those annotations that are marked as ground truth."""
        if client is None:
            raise Refused("the annotations are in Label Studio: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY")
        found = []
        for task in client.fetch_annotated_tasks(ProjectUid.parse(self._mirror.origin.uid).id):
            marked = [said for said in task["annotations"] if said.get("ground_truth") and not said["was_cancelled"]]
            if marked:
                found.append({"id": task["id"], "data": task["data"], "annotations": marked})
        _require(len(found))
        return found

    def _start(self, label_sets: Sequence[LabelSet]) -> Sequence[str]:
        """Start a run of each label set that has enough labels, unless those of the last time have not ended."""
        started = self._services.ml_backends.open_runs(self._backend)
        refusals: list[Invalid] = []
        for label_set in [] if started else label_sets:
            run = self._services.runs.describe(self._principal, label_set.id, title=_REASON)
            try:
                started.append(self._services.runs.start(self._principal, run.id).id)
            except TandemError as error:
                self._services.runs.delete(self._principal, run.id)
                if not isinstance(error, Invalid):
                    raise
                refusals.append(error)
        if not started:
            raise refusals[0]
        return started

    def suggest(self, task_number: int, context: Any) -> dict[str, Any]:
        """See `peers.Peer`."""
        task = read(Task, self._items().find(task_number))
        interaction = prompts.read(context if context is not None else {})
        assert interaction is not None
        current = self._services.versions.current(self._mirror.label_sets)
        config = parse(self._document(interaction))
        predictor = InteractivePredictor(self._services, self._access, model_name=MODEL_CLASS)
        reply = predictor.answer(interaction, self._mirror, config, current, [task], PredictParams())
        return {"result": list(reply.result), "score": reply.score, "model_version": combined_name(current)}

    def try_out(self) -> Tried:
        """See `peers.Peer`."""
        current = self._services.versions.current(self._mirror.label_sets)
        if not current:
            raise Conflict("The project has no trained version yet; train it first.", code="model_not_ready")
        task = self._items().pick()
        request = prediction_request(self._mirror, [task])
        config = parse(request["label_config"])
        with closing(TaskPredictor(self._services, self._access)) as predictor:
            found = predictor.predict(self._mirror, config, current, [read(Task, task)], PredictParams())
        return Tried(SELF, task, request, [each.to_json(combined_name(current)) for each in found])

    def _items(self) -> Items:
        return Items(self._services, self._access, self._backend, self._mirror)

    def _document(self, interaction: prompts.Interaction) -> str:
        """Return the configuration of the control that was drawn with, where each has its own."""
        names = [region.control_name for region in prompts.drawn(interaction.items)]
        own = (row.document for row in self._mirror.label_sets if row.name in names and row.document)
        return next(own, document_of(self._mirror))

    def versions(self) -> Listed:
        """See `peers.Peer`."""
        shown = {row.id for row in self._mirror.label_sets if _is_shown(row)}
        found = self._services.versions.of_project(self._mirror.project.id)
        return Listed([version.name for version in reversed(found) if version.label_set_id in shown])

    def pin(self, name: str | None) -> None:
        """Let the versions answer that a name stands for, and no others; None: those that do now.

        Raises:
            Invalid: The project has no version of that name.
        """
        versions = self._services.versions
        current = versions.current(self._mirror.label_sets)
        if name is None or name == combined_name(current):
            chosen = list(current.values())
        else:
            try:
                chosen = [versions.named(self._mirror.project.id, part) for part in name.split("+")]
            except TandemError:
                message = f"The project has no model version {name!r}; GET …/versions lists them."
                raise Invalid(
                    message, code="validation_error", details={"fields": {"model_version": message}}
                ) from None
        for version in chosen:
            versions.pin(version)

    def unpin(self) -> None:
        """Let new versions take over again."""
        for row in self._mirror.label_sets:
            if row.is_pinned:
                self._services.versions.unpin(row.id)


def _is_shown(label_set: LabelSet) -> bool:
    return label_set.schema.objective is not Objective.CLICK_SEGMENTATION


def _require(num_annotated: int) -> None:
    if num_annotated < _NEEDED:
        raise Refused(_TOO_FEW)
