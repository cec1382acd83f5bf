"""What was sent to be imported: JSON on disk, read as often as needed, never all at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import ijson

from backend.errors import Invalid

_OPENING = ("start_map", "start_array")
_CLOSING = ("end_map", "end_array")
_MAX_DEPTH = 64
_NOUNS = {"start_map": "an object", "start_array": "a list", "string": "a text"}


class Payload:
    """A body `{"format": …, "data": …}` with more options beside.

    Attributes:
        options: What stands beside `data` and is neither an object nor a list.

    Raises:
        Invalid: It is not JSON, or no object.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.options: dict[str, Any] = {}
        self._kinds: dict[str, str] = {}
        with self._from_the_start():
            self._outline()
        if self._kinds.get("") != "start_map":
            raise self.wrong("The body must be an object with format and data.")

    def _outline(self) -> None:
        """Note the options, and what `data` and each of its members is."""
        depth = 0
        keys = ["", "", ""]
        for event, value in ijson.basic_parse(self._file, use_float=True):
            if event in _CLOSING:
                depth -= 1
            elif depth > 2:
                depth += event in _OPENING
                if depth > _MAX_DEPTH:
                    raise self.wrong("The body is nested too deeply.")
            elif event == "map_key":
                keys[depth] = value
            else:
                if depth == 0:
                    self._kinds[""] = event
                elif keys[1] == "data":
                    self._kinds["data" if depth == 1 else f"data.{keys[2]}"] = event
                elif depth == 1:
                    self.options[keys[1]] = value
                depth += event in _OPENING

    def items(self, name: str = "") -> Iterator[Any]:
        """Yield the members of a list: `data`, or what `data` has under a name.

        Raises:
            Invalid: It is none.
        """
        path = self._require(name, "start_array")
        with self._from_the_start():
            yield from ijson.items(self._file, f"{path}.item", use_float=True)

    def pairs(self, name: str) -> Iterator[tuple[str, Any]]:
        """Yield the members of an object that `data` has under a name.

        Raises:
            Invalid: It is none.
        """
        path = self._require(name, "start_map")
        with self._from_the_start():
            yield from ijson.kvitems(self._file, path, use_float=True)

    def text(self) -> str:
        """Return `data`, a text.

        Raises:
            Invalid: It is none.
        """
        path = self._require("", "string")
        with self._from_the_start():
            return str(next(ijson.items(self._file, path)))

    def has(self, name: str) -> bool:
        """Say whether `data` has a member."""
        return f"data.{name}" in self._kinds

    def wrong(self, why: str) -> Invalid:
        """Return the error that the whole of it is not as its format says."""
        return Invalid(why, code="import_invalid")

    def _require(self, name: str, kind: str) -> str:
        path = f"data.{name}" if name else "data"
        if self._kinds.get(path) != kind:
            raise self.wrong(f"{path} must be {_NOUNS[kind]} in this format.")
        return path

    @contextmanager
    def _from_the_start(self) -> Iterator[None]:
        self._file.seek(0)
        try:
            yield
        except (ijson.JSONError, UnicodeDecodeError, OverflowError) as error:
            raise Invalid("The body is not valid JSON.", code="invalid_json") from error
