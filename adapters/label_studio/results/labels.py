"""How are parts of a text written: offsets in code points, the end not included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.label_studio.results.sheet import Sheet
from models.regions import Region, Span


def encode(region: Region, sheet: Sheet) -> dict[str, Any] | None:
    """Return the `value` without labels; None where no character of the text is in the span.

    >>> encode(Span("a", 0, 5), Sheet(text="Alice sings"))
    {'start': 0, 'end': 5, 'text': 'Alice'}
    """
    if not isinstance(region, Span):
        return None
    text = sheet.text
    start, end = max(0, region.start), region.end if text is None else min(region.end, len(text))
    if start >= end:
        return None
    return {"start": start, "end": end} if text is None else {"start": start, "end": end, "text": text[start:end]}


def decode(value: Mapping[str, Any], _sheet: Sheet, label: str) -> Span:
    """Read a `value`; some exports have numbers in quotes.

    Raises:
        ValueError: It has no offsets, or no character is between them.
    """
    start, end = (_read_offset(value.get(key)) for key in ("start", "end"))
    if start >= end:
        raise ValueError("the span is empty")
    return Span(label, start, end)


def _read_offset(written: object) -> int:
    if isinstance(written, bool) or not isinstance(written, int | str) or not str(written).isdecimal():
        raise ValueError("the span has no offset")
    return int(written)
