"""The class that models for Label Studio's ML backend inherit, for both generations of that package.

The second generation is constructed with a project id and a label config, keeps texts in `CACHE`, and learns in
`fit(event, data)`. The first (1.0.9) is constructed with a label config and the output of its last training, and learns
in `fit(tasks, workdir, **kwargs)`. One class serves both: what only one of them has does not disturb the other.
"""

from __future__ import annotations

import json
import logging
import os
from abc import ABC
from collections.abc import Callable
from typing import Any

from label_studio_sdk._extensions.label_studio_tools.core.label_config import parse_config
from label_studio_sdk._extensions.label_studio_tools.core.utils.io import get_local_path
from label_studio_sdk.label_interface import LabelInterface

from ._tandem import phase
from ._tandem.semantic_version import Version
from .cache import create_cache
from .response import ModelResponse
from .utils import is_preload_needed

__all__ = ["CACHE", "LabelStudioMLBase", "ModelResponse", "predict_fn", "update_fn"]

logger = logging.getLogger(__name__)

CACHE = create_cache(os.getenv("CACHE_TYPE", "sqlite"), path=os.getenv("MODEL_DIR", "."))
"""Texts by (project id, key); the file is made when it is first used."""

Function = Callable[..., Any]
_registered: dict[str, Function] = {}


def predict_fn(function: Function) -> Function:
    """Register a function that predicts, in place of a class: `function(tasks, context, helper=model, **kwargs)`."""
    _registered["predict"] = function
    return function


def update_fn(function: Function) -> Function:
    """Register a function that learns, in place of a class: `function(event, data, helper=model, **kwargs)`."""
    _registered["update"] = function
    return function


def registered(kind: str) -> Function | None:
    """Return the function that was registered as "predict" or "update", if any."""
    return _registered.get(kind)


class LabelStudioMLBase(ABC):  # noqa: B024 - as the original: nothing must be overridden
    """What a model inherits."""

    INITIAL_MODEL_VERSION = "0.0.1"

    TRAIN_EVENTS: tuple[str, ...] = (
        "ANNOTATION_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATION_DELETED",
        "START_TRAINING",
    )

    def __init__(
        self,
        project_id: str | None = None,
        label_config: str | None = None,
        train_output: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.project_id = project_id or ""
        self.train_output = train_output or {}
        self.hostname = kwargs.get("hostname", "")
        self.access_token = kwargs.get("access_token", "")
        self._label_config: str | None = None
        self._parsed_label_config: dict[str, Any] | None = None
        self._client: Any = None
        if train_output is not None:  # the first generation: no store, no interface, no setup
            self._label_config = label_config
            self._parsed_label_config = parse_config(label_config) if label_config else {}
            return
        if label_config is not None:
            self.use_label_config(label_config)
        else:
            logger.warning("Label config is not provided")
        if not self.model_version:
            self.set("model_version", self.INITIAL_MODEL_VERSION)
        self.setup()

    def setup(self) -> None:  # noqa: B027 - a hook
        """Prepare the model; to override. Called in every construction, which means for every request."""

    def use_label_config(self, label_config: str) -> None:
        """Read a label config into `label_interface`, and store it where it has changed."""
        self.label_interface = LabelInterface(config=label_config)
        self._label_config = label_config
        self._parsed_label_config = None
        if self.get("label_config") != label_config:
            self.set("label_config", label_config)
            self.set("parsed_label_config", json.dumps(parse_config(label_config)))

    def get(self, key: str) -> str | None:
        """Return a text of this project, or None."""
        return CACHE[self.project_id, key]

    def set(self, key: str, value: str) -> None:
        """Store a text for this project; every process sees it at once.

        Raises:
            ValueError: The value is no text.
        """
        if key == phase.VERSION_KEY and isinstance(value, str):
            phase.store_version(CACHE, self.project_id, str(value))
        else:
            CACHE[self.project_id, key] = value

    def has(self, key: str) -> bool:
        """Say whether this project has a text under a key."""
        return (self.project_id, key) in CACHE

    @property
    def label_config(self) -> str | None:
        """The XML that the model was constructed with, else the one stored last."""
        return self._label_config if self._label_config is not None else self.get("label_config")

    @label_config.setter
    def label_config(self, label_config: str | None) -> None:
        self._label_config = label_config

    @property
    def parsed_label_config(self) -> dict[str, Any]:
        """The label config by control name; empty where there is none."""
        if self._parsed_label_config is None:
            document = self.label_config
            self._parsed_label_config = parse_config(document) if document else {}
        return self._parsed_label_config

    @parsed_label_config.setter
    def parsed_label_config(self, parsed: dict[str, Any]) -> None:
        self._parsed_label_config = parsed

    def set_extra_params(self, extra_params: str) -> None:
        """Store what a user typed into "extra params" of the connection."""
        self.set("extra_params", extra_params)

    @property
    def extra_params(self) -> Any:
        """The extra params: the value that their text is the JSON of, or an empty dict."""
        text = self.get("extra_params")
        if not text:
            return {}
        try:
            return json.loads(text)
        except ValueError:
            logger.warning("extra params are no JSON and are left out")
            return {}

    @property
    def model_version(self) -> Version | str | None:
        """The stored version; one that can be compared and raised where it reads like 1.2.3."""
        text = self.get("model_version")
        try:
            return Version(text) if text else None
        except ValueError:
            return text

    def bump_model_version(self) -> Version | str | None:
        """Raise the minor number of the version, and return the new version; leave any other text as it is."""
        version = self.model_version
        if not isinstance(version, Version):
            logger.warning("the version %r is not like 1.2.3 and cannot be raised", version)
            return version
        self.set("model_version", str(version.bump_minor()))
        return self.model_version

    def predict(self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """Predict tasks; to override. Calls the function of `predict_fn` where there is one."""
        function = registered("predict")
        return function(tasks, context, helper=self, **kwargs) if function else None

    def fit(self, event: str, data: Any, **kwargs: Any) -> Any:
        """Learn from an event; to override. Calls the function of `update_fn` where there is one."""
        function = registered("update")
        return function(event, data, helper=self, **kwargs) if function else None

    def process_event(self, event: str, data: Any, job_id: str, additional_params: dict[str, Any]) -> Any:
        """Learn from an event, if it is one of `TRAIN_EVENTS`."""
        if event not in self.TRAIN_EVENTS:
            return None
        return self.fit(event=event, data=data, job_id=job_id, **additional_params)

    def get_label_studio_access_token(self) -> str | None:
        """Return a token for Label Studio: a fresh one where LABEL_STUDIO_API_KEY is a personal access token."""
        key = os.getenv("LABEL_STUDIO_API_KEY") or os.getenv("LABEL_STUDIO_ACCESS_TOKEN")
        url = os.getenv("LABEL_STUDIO_URL") or os.getenv("LABEL_STUDIO_HOST")
        if not key or not url:
            return key or self.access_token or None
        if self._client is None:
            from label_studio_sdk import LabelStudio  # only now: it takes longer to import than all the rest

            try:
                self._client = LabelStudio(base_url=url, api_key=key)
            except Exception:
                logger.warning("Label Studio's SDK cannot be used with %s", url, exc_info=True)
                return key
        return str(self._client._client_wrapper._tokens_client.api_key)

    def get_local_path(
        self,
        url: str,
        project_dir: str | None = None,
        ls_host: str | None = None,
        ls_access_token: str | None = None,
        task_id: int | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> str:
        """Return a file with what a URL of a task leads to, fetched if it must be.

        Args:
            url: As it stands in the task.
            project_dir: Where uploaded files of the project lie on this machine.
            ls_host: Label Studio's URL, in place of LABEL_STUDIO_URL.
            ls_access_token: In place of the token of LABEL_STUDIO_API_KEY.
            task_id: Needed for URLs of cloud storage, which Label Studio resolves by task.
            *args: For the SDK's function of the same name.
            **kwargs: For the SDK's function of the same name.
        """
        token = self.get_label_studio_access_token() if ls_access_token is None else ls_access_token
        named = {"project_dir": project_dir, "hostname": ls_host or self.hostname or None, "access_token": token}
        return str(get_local_path(url, *args, **named, task_id=task_id, **kwargs))

    def preload_task_data(self, task: dict[str, Any], value: Any = None, read_file: bool = True) -> Any:
        """Replace what looks like a URL or a path, however deep it lies, by the text of its file.

        Args:
            task: Whose data it is.
            value: A part of its data; all of it is not taken by itself.
            read_file: False: by the path of the file.
        """
        if isinstance(value, dict):
            for key, item in value.items():
                value[key] = self.preload_task_data(task, item, read_file)
            return value
        if isinstance(value, list):
            return [self.preload_task_data(task, item, read_file) for item in value]
        if isinstance(value, str) and is_preload_needed(value):
            path = self.get_local_path(url=value, task_id=task.get("id"))
            if not read_file:
                return path
            with open(path, "r") as file:  # noqa: UP015 - the call that models' own tests stand in for
                return file.read()
        return value

    def get_first_tag_occurence(
        self,
        control_type: str | tuple[str, ...],
        object_type: str | tuple[str, ...],
        name_filter: Callable[[str], bool] | None = None,
        to_name_filter: Callable[[str], bool] | None = None,
    ) -> tuple[str, str, str]:
        """Return the names of the first control of a type and of its object, and the object's data key.

        Raises:
            ValueError: The label config has none.
        """
        found: tuple[str, str, str] = self.label_interface.get_first_tag_occurence(
            control_type=control_type, object_type=object_type, name_filter=name_filter, to_name_filter=to_name_filter
        )
        return found

    def build_label_map(self, tag_name: str, names: list[str]) -> dict[str, str]:
        """Map a model's label names to the labels of a control.

        A label's `predicted_values` decide; else the same name, or the same but for upper and lower case.
        """
        lower = {name.lower() for name in names}
        found: dict[str, str] = {}
        for label, tag in (self.label_interface.get_control(tag_name).labels_attrs or {}).items():
            said = [value.strip() for value in tag.attr.get("predicted_values", "").split(",")]
            matching = [value for value in said if value and value in names]
            if not matching and label in names:
                matching = [label]
            elif not matching and label.lower() in lower:
                matching = [label.lower()]
            found.update(dict.fromkeys(matching, label))
        return found
