"""The JSON bodies of /api/ml, with Label Studio's names and defaults."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, RootModel

from adapters.http import storable
from adapters.identifiers import spell
from backend.errors import Invalid


class AuthMethod(StrEnum):
    """How a backend is told who asks."""

    NONE = "NONE"
    BASIC_AUTH = "BASIC_AUTH"


def _checked(text: str) -> str:
    try:
        return storable("The text", text)
    except Invalid as error:
        raise ValueError(error.message) from None


def _null_if_empty(given: object) -> object:
    return None if given == "" else given


Text = Annotated[str, AfterValidator(_checked)]
Number = Annotated[int, Field(ge=1, lt=2**31)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Moment = Annotated[
    datetime,
    PlainSerializer(lambda at: at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")),
]
"""ISO 8601, UTC, microseconds, as Django prints it."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, protected_namespaces=())


class BackendIn(_Body):
    """An ML backend to be registered."""

    project: Number = Field(description="Label Studio's project id, or the number of a project that was made here.")
    url: Text = Field(min_length=1, description='Base URL of the ML backend; "self" is this server.')
    title: Text | None = "default"
    description: Text | None = ""
    auth_method: AuthMethod = AuthMethod.NONE
    basic_auth_user: Text | None = ""
    basic_auth_pass: Text | None = Field(None, repr=False, description="Never returned.")
    is_interactive: bool = Field(False, description="Whether it may be asked while somebody annotates.")
    auto_update: bool = Field(True, description="false: `model_version` is what you say, and pinned.")
    model_version: Text | None = Field("", description="Together with `auto_update: false`.")
    extra_params: Any = Field(None, description="Any JSON; passed to the backend's /setup.")
    timeout: Seconds = Field(100.0, description="Seconds that one request to the backend may take.")


class BackendPatch(_Body):
    """What is to be changed of an ML backend: only the fields that are there."""

    project: Number = Field(
        default_factory=int, description="It cannot be moved: the number of its project, or nothing."
    )
    url: Text = Field(default_factory=str, min_length=1)
    title: Text | None = None
    description: Text | None = None
    auth_method: AuthMethod = AuthMethod.NONE
    basic_auth_user: Text | None = None
    basic_auth_pass: Text | None = Field(None, repr=False, description="Empty or left out: the one that is stored.")
    is_interactive: bool = False
    auto_update: bool = True
    model_version: Text | None = None
    extra_params: Any = None
    timeout: Seconds = 100.0


class BackendOut(_Body):
    """An ML backend, and what it is doing now."""

    id: int
    state: str = Field(description="CO, DI, ER, TR or PR.")
    readable_state: str = Field(description="Connected, Disconnected, Error, Training or Predicting.")
    is_interactive: bool
    url: str
    error_message: str | None
    title: str | None
    auth_method: AuthMethod
    basic_auth_user: str | None
    basic_auth_pass_is_set: bool
    description: str | None
    extra_params: Any
    model_version: str | None
    timeout: float
    created_at: Moment
    updated_at: Moment
    auto_update: bool
    project: int


class Backends(RootModel[list[BackendOut]]):
    """ML backends, oldest first."""


class ListQuery(_Body):
    """Which backends."""

    project: Annotated[Number | None, BeforeValidator(_null_if_empty)] = Field(None, description="Of one project only.")
    is_interactive: Annotated[bool | None, BeforeValidator(_null_if_empty)] = Field(
        None, description="Only those that may, or may not, be asked while somebody annotates."
    )


class InteractiveIn(_Body):
    """What somebody points at while annotating."""

    task: Number = Field(description="The task's id in Label Studio, or its number.")
    context: Any = Field(None, repr=False, description='`{"result": [regions that were drawn]}`')


class InteractiveOut(_Body):
    """What a backend suggests."""

    data: dict[str, Any] = Field(description="`result`, a list of regions, `score` and `model_version`.")


class InteractiveErrors(_Body):
    """Why it suggests nothing."""

    errors: list[str]


class PredictQuery(_Body):
    """How many tasks."""

    batch_size: Annotated[int, Field(ge=1)] | None = Field(
        None, description="How many of the tasks without a prediction of the present version; left out: all of them."
    )


class PredictOut(_Body):
    """A prediction job; poll the backend's state, which is PR until it ends."""

    message: str
    job_id: str | None = Field(description="null: nothing is left to predict.")
    run_id: str | None = Field(description="Of this server's own predictions; null where another backend makes them.")
    tasks: int = Field(description="How many are being predicted.")
    batch_size: int | None


class TryQuery(_Body):
    """Which task."""

    random: bool = Field(False, description="Must be true: any task of the project.")


class TryOut(_Body):
    """What came of a test request, as Label Studio says it."""

    status: int = Field(200, description="Of the backend's answer.")
    error_message: str | None = None
    url: str = Field(description='Where it was asked; "self" is this server.')
    task: dict[str, Any]
    request: dict[str, Any] = Field(description="What it was asked.")
    response: list[Any] = Field(description="Its results: one, if all is well, with `result` and `model_version`.")


class TrainIn(_Body):
    """What to learn from."""

    use_ground_truth: bool | None = Field(None, description="true: only from annotations marked as ground truth.")


class TrainOut(_Body):
    """A training; poll the backend's state, which is TR until it ends."""

    job: str | None
    training_id: str | None = Field(description="Of this server's own trainings, see GET /training/{id}.")
    status: str

    @classmethod
    def of(cls, job: str | None, *, is_ours: bool) -> Self:
        """Describe a training that waits; `job` is what the backend calls it."""
        return cls(job=job, training_id=spell("training_id", job) if job and is_ours else None, status="queued")


class TrainError(RootModel[str]):
    """Why a backend does not train."""


class VersionsOut(_Body):
    """Model versions, newest first."""

    versions: list[str]


class VersionsHint(VersionsOut):
    """What is known of them, and why it is not more."""

    message: str
