"""What all JSON bodies of the mlp API share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

T = TypeVar("T")

Moment = Annotated[
    datetime,
    PlainSerializer(lambda at: at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")),
]
"""RFC 3339, UTC, milliseconds."""


class Body(BaseModel):
    """Base of all bodies: camelCase outside; fields that are not known are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class PageQuery(Body):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=200, description="How many items at most.")
    cursor: str | None = Field(None, description="`nextCursor` of the page before.")


class Page(Body, Generic[T]):
    """A part of a list, newest first."""

    items: list[T]
    next_cursor: str | None = None
    has_more: bool = False
