"""What does an object tag that shows text hold? Plain text, the visible text of HTML, or what is said in a dialogue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

from adapters.label_studio.label_config import Binding
from models import texts

_HIDDEN = frozenset({"script", "style", "head", "template", "noscript", "title"})
_INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd", "label"}
    | {"mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr", "img"}
)


def find(binding: Binding, shown: object) -> str | None:
    """Return the text that an object shows; None where it has to be fetched from an address, or there is none.

    Args:
        binding: Whose object.
        shown: What the task's data has for it.
    """
    if binding.is_address:
        return None
    if isinstance(shown, int | float) and not isinstance(shown, bool):
        shown = str(shown)
    if isinstance(shown, str):
        return _as_shown(binding, shown)
    return _read_dialogue(binding, shown) if isinstance(shown, list) else None


def read(binding: Binding, source: bytes | Path) -> str:
    """Return the text that an object shows of a fetched file.

    Raises:
        BadText: The file is no UTF-8, or too long.
    """
    return _as_shown(binding, texts.read(source))


def _as_shown(binding: Binding, written: str) -> str:
    if binding.object_tag == "hypertext":
        return visible_text(written)
    if binding.object_tag == "paragraphs":
        try:
            decoded = json.loads(written)
        except (ValueError, RecursionError):
            return written
        return _read_dialogue(binding, decoded) if isinstance(decoded, list) else written
    return written


def _read_dialogue(binding: Binding, phrases: Sequence[object]) -> str:
    lines = []
    for phrase in phrases:
        if isinstance(phrase, dict):
            author, said = phrase.get(binding.author_key), phrase.get(binding.phrase_key)
            lines.append(": ".join(str(each) for each in (author, said) if isinstance(each, str | int | float)))
        elif isinstance(phrase, str):
            lines.append(phrase)
    return "\n".join(lines)


def visible_text(html: str) -> str:
    r"""Return what a browser shows of HTML, in a line for each block, without its white space.

    >>> visible_text("<style>p {}</style><p>Fish &amp; <b>chips</b></p><p>twice<br>daily</p>")
    'Fish & chips\ntwice\ndaily'
    """
    reader = _VisibleText()
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).split(_BREAK))
    return "\n".join(line for line in lines if line)


_BREAK = "\0"


class _VisibleText(HTMLParser):
    """Collects text, with a break wherever a browser begins a line."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag not in _INLINE:
            self.pieces.append(_BREAK)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _INLINE:
            self.pieces.append(_BREAK)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        elif tag not in _INLINE:
            self.pieces.append(_BREAK)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data.replace(_BREAK, " "))
