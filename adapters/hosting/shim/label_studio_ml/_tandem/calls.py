"""Calls a model class as Label Studio's ML backend does: constructs it for a request, and reads its answers."""

from __future__ import annotations

import inspect
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .. import model as models
from ..model import LabelStudioMLBase
from . import phase, results
from .first_generation import TrainOutputs

log = logging.getLogger(__name__)

Ask = Callable[[list[Any]], list[Any]]
"""Asks a model to predict tasks, and returns the entries of its answer."""

MAX_KEPT = 8
"""How many constructed models are kept, where they are kept at all."""


class Calls:
    """Answers requests with one model class.

    Args:
        model_class: What answers.
        generation: Which API it was written for: 1 (label-studio-ml 1.0.9) or 2.
        keeps_models: Whether a constructed model answers further requests of the same project and label config. Models
            of the first generation are always kept: they load their weights when they are constructed.
    """

    def __init__(self, model_class: type[LabelStudioMLBase], *, generation: int, keeps_models: bool = False) -> None:
        self.model_class = model_class
        self.generation = generation
        self._keeps_models = keeps_models or generation == 1
        self._kept: OrderedDict[tuple[str, ...], LabelStudioMLBase] = OrderedDict()
        self._outputs = TrainOutputs(models.CACHE)
        self._access: dict[str, dict[str, str]] = {}
        self._takes_one_task = False
        self._predicting = threading.Lock()
        self._keeping = threading.Lock()

    def setup(self, body: dict[str, Any]) -> dict[str, Any]:
        """Take note of a project; return its version."""
        project_id = numeric_id(body.get("project"))
        self._access[project_id] = {name: body.get(name) or "" for name in ("hostname", "access_token")}
        model = self._model(project_id, body.get("schema"))
        if self.generation == 2 and "extra_params" in body:
            self._take_extra_params(model, body["extra_params"])
        return {"model_version": self._version(model, project_id)}

    def predict(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return one entry for each task, and the reasons why some are empty.

        Raises:
            Exception: Whatever the model raises, when it could predict none of the tasks.
        """
        tasks = body.get("tasks") or []
        tasks = [tasks] if isinstance(tasks, dict) else list(tasks)
        params = dict(body.get("params") or {})
        context = params.pop("context", None)
        project_id = numeric_id(body.get("project"))
        with self._predicting:
            model = self._model(project_id, body.get("label_config"))
            version = self._version(model, project_id)

            def ask(some: list[Any]) -> list[Any]:
                arguments = _accepted(model.predict, {"context": context, **params})
                return results.entries(model.predict(some, **arguments), version)

            found, reasons = self._one_entry_each(ask, tasks, version)
        if context is not None:
            found = [results.one_prediction(entry, version) for entry in found[:1]]
        return {"results": found, "reasons": reasons, "model_version": version}

    def fit(self, body: dict[str, Any]) -> dict[str, Any]:
        """Let a model learn from one event: `{"event", "data", "job"}`; return what it returned.

        Raises:
            Exception: Whatever the model raises.
        """
        event, data, job = body["event"], body["data"], body["job"]
        project = data.get("project") if isinstance(data, dict) else None
        project = project if isinstance(project, dict) else {}
        project_id, document = numeric_id(project.get("id")), project.get("label_config")
        try:
            return {"result": results.plain(self._learn(project_id, document, event, data, job))}
        except KeyError as error:
            if event != "START_TRAINING" or error.args != ("annotation",):
                raise
        # Label Studio sends no annotation with START_TRAINING, and many models look up the project in one.
        log.info("START_TRAINING is repeated with an annotation that names the project")
        data = {**data, "annotation": {"project": project.get("id")}}
        return {"result": results.plain(self._learn(project_id, document, event, data, job))}

    def _learn(self, project_id: str, document: str | None, event: str, data: Any, job: str) -> Any:
        if self.generation == 1:
            workdir = self._outputs.start(project_id, job)
            model = self._construct(project_id, document)
            named = {"workdir": str(workdir), "event": event, "data": data, "job_id": workdir.name}
            fit: Callable[..., Any] = model.fit
            output = fit((), **_accepted(fit, named))
            self._outputs.finish(workdir, output)
            return output
        with phase.constructing():
            model = self.model_class(project_id, label_config=document)
        return model.fit(event, data)

    def _model(self, project_id: str, document: str | None) -> LabelStudioMLBase:
        if not self._keeps_models:
            return self._construct(project_id, document)
        access = self._access.get(project_id, {})
        with self._keeping:
            key = (project_id, document or "", self._outputs.last(project_id) if self.generation == 1 else "")
            model = self._kept.pop(key, None) or self._construct(project_id, document)
            self._kept[key] = model
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        if self.generation == 1 and access:
            model.hostname, model.access_token = access["hostname"], access["access_token"]
        return model

    def _construct(self, project_id: str, document: str | None) -> LabelStudioMLBase:
        with phase.constructing():
            if self.generation == 2:
                return self.model_class(project_id=project_id, label_config=document)
            output = self._outputs.read(project_id)
            return self.model_class(label_config=document, train_output=output, **self._access.get(project_id, {}))

    def _version(self, model: LabelStudioMLBase, project_id: str) -> str:
        if self.generation == 1:
            return self._outputs.last(project_id) or "INITIAL"
        return model.get(phase.VERSION_KEY) or LabelStudioMLBase.INITIAL_MODEL_VERSION

    @staticmethod
    def _take_extra_params(model: LabelStudioMLBase, sent: Any) -> None:
        """Store what was sent, as text; nothing sent takes back what was sent before."""
        text = sent if isinstance(sent, str) else "" if sent is None else json.dumps(sent)
        if text != (model.get("extra_params") or ""):
            model.set_extra_params(text)

    def _one_entry_each(self, ask: Ask, tasks: list[Any], version: str) -> tuple[list[Any], list[str]]:
        """Ask for all tasks at once, and for one after the other where that gives no entry for each.

        Many models look at the first task only, and some refuse more than one.
        """
        if len(tasks) > 1 and not self._takes_one_task:
            try:
                found = ask(tasks)
            except Exception as error:
                log.warning(
                    "predicting %d tasks at once failed, so they are asked one by one", len(tasks), exc_info=True
                )
                self._takes_one_task = isinstance(error, AssertionError)
            else:
                if len(found) == len(tasks):
                    return found, []
                if not found:
                    return [results.empty(version) for _ in tasks], []
                self._takes_one_task = len(found) == 1
        return _ask_one_by_one(ask, tasks, version)


def _ask_one_by_one(ask: Ask, tasks: list[Any], version: str) -> tuple[list[Any], list[str]]:
    found: list[Any] = []
    reasons: list[str] = []
    last: Exception | None = None
    for number, task in enumerate(tasks):
        try:
            found.append(results.only_entry(ask([task]), version))
        except Exception as error:
            last = error
            found.append(results.empty(version))
            reasons.append(f"task {_name(task, number)}: {type(error).__name__}: {error}")
            log.warning("a task could not be predicted", exc_info=True)
    if last is not None and len(reasons) == len(tasks):
        raise last
    return found, reasons


def numeric_id(project: Any) -> str:
    """Return the part of a project's uid that models know: "7" of "7.1795203195"."""
    return "" if project is None else str(project).split(".", 1)[0]


def _name(task: Any, number: int) -> str:
    return str(task.get("id", f"number {number + 1}")) if isinstance(task, dict) else f"number {number + 1}"


def _accepted(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that a function takes: some models leave out the **kwargs that they should have."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return arguments
    return {name: value for name, value in arguments.items() if name in {one.name for one in parameters}}


@contextmanager
def request_context(app: Any, path: str, body: dict[str, Any]) -> Iterator[None]:
    """Let `flask.request` hold the body that Label Studio sent: some models read more of it than they are given."""
    with app.test_request_context(path, method="POST", environ_overrides={"label_studio_ml.body": body}):
        yield
