"""Lists, a page at a time: newest first, continued after the last id seen, so every page costs the same."""

from __future__ import annotations

import re
from typing import TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from backend.errors import Invalid

R = TypeVar("R")

_ULID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")


def page(
    session: Session, wanted: Select[R], key: InstrumentedAttribute[str], *, limit: int, cursor: str | None
) -> tuple[list[R], str | None]:
    """Return a page of rows and the cursor of the next page, None where there is none.

    Args:
        session: Where to read.
        wanted: All rows of the list, in any order.
        key: Their ids, which are ULIDs.
        limit: How many rows at most.
        cursor: Of the page before; None: the first page.

    Raises:
        Invalid: The cursor is none of ours.
    """
    if cursor is not None:
        if not _ULID.fullmatch(cursor):
            message = "it is no `nextCursor` of a page before"
            raise Invalid(f"cursor: {message}", code="validation_error", details={"fields": {"cursor": message}})
        wanted = wanted.where(key < cursor)
    found = list(session.scalars(wanted.order_by(key.desc()).limit(limit + 1)))
    if len(found) <= limit:
        return found, None
    return found[:limit], str(getattr(found[limit - 1], key.key))
