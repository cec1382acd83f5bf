"""What a server answered, for people: lists as tables, objects as lines of names and values."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from adapters.cli.answers import ago, console, table

_FIRST = ("id", "keyId", "userId", "name", "filename", "title", "email", "label", "status", "state", "split")
"""What tables show whatever else there is."""
_LAST = re.compile(r".+(Id|By|_by|Ids)|updatedAt|updated_at|number")
"""What they show where there is room for it."""
_MAX_CELL = 48
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_GAP = 3


def show(data: Any) -> None:
    """Print an answer of a server."""
    match data:
        case {"items": list(items)}:
            _show_list(items)
            rest = {name: value for name, value in data.items() if name not in ("items", "nextCursor", "hasMore")}
            if rest:
                _show_object(rest)
        case list(items):
            _show_list(items)
        case dict():
            _show_object(data)
        case _:
            click.echo(_text(data))


def _show_list(items: Sequence[Any]) -> None:
    if not items:
        click.echo("none")
    elif not all(isinstance(item, dict) for item in items):
        for item in items:
            click.echo(_text(item))
    else:
        rows = [_flat(item) for item in items]
        columns = _columns(rows, console().width - _GAP)
        made = table([_words(name) for name in columns], [[_cell(row.get(name)) for name in columns] for row in rows])
        for name, column in zip(columns, made.columns, strict=True):
            column.no_wrap = _length(name, rows) <= _MAX_CELL
        console().print(made)


def _show_object(data: Mapping[str, Any]) -> None:
    """Print names and values, then what is too large for a line under a heading of its own."""
    flat = _flat(data)
    lines = {name: value for name, value in flat.items() if not _is_large(value)}
    width = max((len(_words(name)) for name in lines), default=0)
    for name, value in lines.items():
        _show_line(f"{_words(name):<{width}}  ", value)
    for name, value in flat.items():
        if not _is_large(value):
            continue
        click.echo(f"\n{_words(name)}")
        if isinstance(value, str):
            click.echo(value)
        else:
            show(value)


def _show_line(title: str, value: Any) -> None:
    """Print a name and a value; a list is wrapped, everything else may be copied as it is."""
    if isinstance(value, list):
        width = max(console().width, len(title) + _MAX_CELL)
        text = textwrap.fill(_text(value), width, initial_indent=title, subsequent_indent=" " * len(title))
        click.echo(text)
    else:
        click.echo(f"{title}{_line(value)}")


def _flat(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with the fields of the objects in it beside its own."""
    found: dict[str, Any] = {}
    for name, value in item.items():
        if isinstance(value, dict) and all(each in (None, "") for each in value.values()):
            found[name] = None
        elif isinstance(value, dict) and not any(isinstance(each, dict | list) for each in value.values()):
            found |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            found[name] = value
    return found


def _is_large(value: Any) -> bool:
    if isinstance(value, str):
        return "\n" in value.strip()
    if isinstance(value, list):
        return any(isinstance(each, dict | list) for each in value)
    return isinstance(value, dict) and bool(value)


def _columns(rows: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Return the fields that say something and fit side by side, in the order that they have in the answer."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    telling = [
        name
        for name in names
        if not name.lower().endswith(("url", "config", "sha256"))
        and any(row.get(name) not in (None, "", [], {}) for row in rows)
        and not any(_is_large(row.get(name)) for row in rows)
    ]
    chosen: list[str] = []
    left = width
    for name in sorted(telling, key=_rank):
        needed = _GAP + min(_length(name, rows), _MAX_CELL)
        if needed <= left or not chosen:
            chosen.append(name)
            left -= needed
    return sorted(chosen, key=names.index)


def _length(name: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Return how wide a column would like to be."""
    return max(len(_words(name)), *(len(_cell(row.get(name)) or "–") for row in rows))


def _rank(name: str) -> int:
    """Return how early a field gets room."""
    if name in _FIRST:
        return _FIRST.index(name)
    return len(_FIRST) + ("." in name or _LAST.fullmatch(name) is not None)


def _words(name: str) -> str:
    """Return a field's name as people write it.

    >>> _words("imageCount"), _words("tokens.used"), _words("keyId")
    ('Image count', 'Tokens used', 'Key id')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[._]", " ", name).lower()
    return words[:1].upper() + words[1:]


def _cell(value: Any) -> str | None:
    if value is None or value in ("", []):
        return None
    if _is_moment(value):
        return ago(datetime.fromisoformat(value))
    return " ".join(_text(value).split())


def _line(value: Any) -> str:
    if _is_moment(value):
        moment = datetime.fromisoformat(value)
        return f"{moment.astimezone():%Y-%m-%d %H:%M:%S} ({ago(moment)})"
    return _text(value)


def _is_moment(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _text(value: Any) -> str:
    match value:
        case None | "" | [] | {}:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case list():
            return ", ".join(map(_text, value))
        case dict():
            return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return str(value)
