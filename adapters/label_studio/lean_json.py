"""How is a body decoded without the masks in it that nobody looks at? They are most of what comes with a click.

Label Studio sends everything that was drawn in a task with every request about it. A brush's mask is a list of
thousands of numbers, and decoding a hundred of them takes longer than to answer.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

from adapters.http import decode_json

_NAME = b'"rle":'
_OPENINGS = (b"[", b"{", b'"')


def decode_without_masks(body: bytes) -> Any:
    """Decode a body whose `tasks` hold annotations and drafts; the `rle` of each mask in them is empty.

    Masks anywhere else, as in the context of an interactive request, are whole.

    >>> decode_without_masks(b'{"tasks": [{"rle": [1, 2]}], "params": {"rle": [3, 4]}}')
    {'tasks': [{'rle': []}], 'params': {'rle': [3, 4]}}

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    mark = secrets.token_hex(8)  # nobody can send it, so it is found again for sure
    cut: list[bytes] = []
    lean = b"".join(_pieces(body, mark, cut))
    decoded = decode_json(lean)
    if cut:
        _fill(decoded, mark, cut, is_wanted=True)
    return decoded


def _pieces(body: bytes, mark: str, cut: list[bytes]) -> Iterator[bytes]:
    """Yield a body in pieces, with a mark and a number in place of each mask."""
    at = 0
    while (found := body.find(_NAME, at)) >= 0:
        value_at = found + len(_NAME)
        start = body.find(b"[", value_at)
        end = body.find(b"]", start) + 1
        is_list = 0 <= start < end and not body[value_at:start].strip()
        # In a text, a backslash is before each quote; a list of anything but numbers is no mask.
        is_text = body[max(0, found - 1) : found] == b"\\"
        if not is_list or is_text or any(body.find(opening, start + 1, end) >= 0 for opening in _OPENINGS):
            yield body[at:value_at]
            at = value_at
            continue
        yield body[at:value_at]
        yield b'"%s%d"' % (mark.encode(), len(cut))
        cut.append(body[start:end])
        at = end
    yield body[at:]


def _fill(value: Any, mark: str, cut: list[bytes], *, is_wanted: bool) -> None:
    """Put masks, or empty ones, where they were cut out."""
    if isinstance(value, list):
        for inside in value:
            _fill(inside, mark, cut, is_wanted=is_wanted)
    elif isinstance(value, dict):
        for name, inside in value.items():
            if isinstance(inside, str):
                if name == "rle" and inside.startswith(mark):
                    value[name] = json.loads(cut[int(inside[len(mark) :])]) if is_wanted else []
            else:
                _fill(inside, mark, cut, is_wanted=is_wanted and name != "tasks")
