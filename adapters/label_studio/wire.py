"""The JSON bodies that Label Studio, and clients of older releases, send.

Unknown fields are ignored and null counts as absent, so that the next release of Label Studio does not break us;
what is needed is checked. Nothing here shows a secret in its repr or in an error.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, NoReturn, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationError,
    model_validator,
)

from backend.errors import Invalid

Body = TypeVar("Body", bound="_Body")


def read(model: type[Body], body: object) -> Body:
    """Check a decoded JSON body.

    >>> read(JobStatusRequest, {"job": "abc", "new in the next release": 1}).job
    'abc'

    Raises:
        Invalid: A field is missing or has the wrong type; the message names it in one short line of ASCII.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        message = validation_message(error)
    raise Invalid(message, code="body_invalid")  # outside the handler: the ValidationError holds the input


def validation_message(error: ValidationError) -> str:
    """Word the first problem: the field and what was expected, never what came."""
    first, *others = error.errors(include_url=False, include_context=False, include_input=False)
    place = ".".join(str(step) for step in first["loc"] if isinstance(step, int) or step.isidentifier())
    problem = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    problem = problem[0].lower() + problem[1:]
    more = f" (and {len(others)} more)" if others else ""
    message = f"{place or 'The body'}: {problem}"[: 149 - len(more)] + more + "."
    return message.encode("ascii", "replace").decode()


@dataclass(frozen=True, slots=True)
class ProjectUid:
    """Which Label Studio project: its id repeats between installations, its id with the creation time does not.

    Attributes:
        id: The project's id.
        created_at_s: Creation time in unix seconds; None where the caller did not say (clients of the first release).
    """

    id: int
    created_at_s: int | None = None

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read the `project` of a body.

        >>> ProjectUid.parse("7.1795203195")
        ProjectUid(id=7, created_at_s=1795203195)

        Raises:
            Invalid: It is neither "id.seconds" nor an id.
        """
        written = str(text) if type(text) is int else text
        found = re.fullmatch(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?", written) if isinstance(written, str) else None
        if found is None:
            raise Invalid('project: should be like "7.1795203195", id and creation time.', code="project_uid_invalid")
        return cls(int(found[1]), int(found[2]) if found[2] else None)

    def __str__(self) -> str:
        return str(self.id) if self.created_at_s is None else f"{self.id}.{self.created_at_s}"


@dataclass(frozen=True, slots=True)
class ExtraParams:
    """What a user typed into "extra params" of a connection.

    Attributes:
        values: The object that was sent, or that the text is the JSON of; otherwise empty.
        text: Anything else that was sent, as text; None where nothing was.
    """

    values: dict[str, Any] = field(default_factory=dict, repr=False)
    text: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, sent: object) -> Self:
        """Read any JSON value.

        >>> ExtraParams.parse('{"threshold": 0.4}').values, ExtraParams.parse("fast").text, ExtraParams.parse("").text
        ({'threshold': 0.4}, 'fast', None)
        """
        if isinstance(sent, dict):
            return cls(values=sent)
        if sent is None or sent == "":
            return cls()
        if not isinstance(sent, str):
            try:
                return cls(text=json.dumps(sent))
            except RecursionError:
                raise Invalid("extra_params: is nested too deeply.", code="body_invalid") from None
        try:
            decoded = json.loads(sent, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            decoded = None
        return cls(values=decoded) if isinstance(decoded, dict) else cls(text=sent)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


Uid = Annotated[ProjectUid, PlainValidator(ProjectUid.parse)]
Id = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, body: Any) -> Any:
        return {key: value for key, value in body.items() if value is not None} if isinstance(body, dict) else body


class SetupRequest(_Body):
    """POST /setup: which project, with which labels, and how to reach its Label Studio."""

    project: Uid
    label_config: str = Field(alias="schema", repr=False)
    hostname: str | None = None
    access_token: SecretStr | None = None
    extra_params: Annotated[ExtraParams, PlainValidator(ExtraParams.parse)] = ExtraParams()


class Task(_Body):
    """A task to predict. `data` holds raw URIs, as they were imported; `drafts` any JSON, see `results.prompts`."""

    id: Id | str | None = None
    data: dict[str, Any] = Field(default_factory=dict, repr=False)
    drafts: Any = Field(default=None, repr=False)


def _object_or_empty(sent: object) -> object:
    return sent if isinstance(sent, dict) else {}


class PredictParams(_Body):
    """Credentials of protected media, and in interactive mode the context: any JSON, see `results.prompts`."""

    login: SecretStr | None = None
    password: SecretStr | None = None
    context: Any = Field(default=None, repr=False)  # Enterprise puts credentials into it


class PredictRequest(_Body):
    """POST /predict. Without project or label config, the last set-up has to say."""

    tasks: list[Task]
    project: Uid | None = None
    label_config: str | None = Field(default=None, repr=False)
    params: Annotated[PredictParams, BeforeValidator(_object_or_empty)] = PredictParams()


class Annotation(_Body):
    """What a person said about a task, as exports and POST /train carry it."""

    id: Id | None = None
    result: list[Any] = Field(default_factory=list, repr=False)
    was_cancelled: bool = False
    ground_truth: bool = False
    created_at: str | None = None
    updated_at: str | None = None


class AnnotatedTask(Task):
    """A task with what people said about it."""

    annotations: list[Annotation] = Field(default_factory=list)


class TrainRequest(_Body):
    """POST /train, which only old releases call."""

    annotations: list[AnnotatedTask]
    project: Uid
    label_config: str | None = Field(default=None, repr=False)
    params: Annotated[PredictParams, BeforeValidator(_object_or_empty)] = PredictParams()


class JobStatusRequest(_Body):
    """POST /job_status."""

    job: str


class ValidateRequest(_Body):
    """POST /validate."""

    config: str = Field(repr=False)


class VersionsRequest(_Body):
    """POST /versions, which only old releases call."""

    project: Uid | None = None


class DeleteRequest(_Body):
    """POST /delete."""

    project: Uid


class DuplicateModelRequest(_Body):
    """POST /duplicate_model."""

    project_src: Uid
    project_dst: Uid
