"""Bytes of a text item → str; what a text is for every family."""

from __future__ import annotations

from pathlib import Path

MAX_CHARACTERS = 1_000_000
"""Longer texts are refused."""


class BadText(ValueError):
    """The bytes are not a text that can be read; the message says why."""


def read(source: bytes | Path) -> str:
    """Return the text of an item, whose bytes are UTF-8; an empty text is a text.

    Raises:
        BadText: The bytes are no UTF-8, or there are more than `MAX_CHARACTERS` characters.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise BadText("the text is not UTF-8") from error
    if len(text) > MAX_CHARACTERS:
        raise BadText(f"the text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
    return text
