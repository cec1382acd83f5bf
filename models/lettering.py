"""Words → ink, in the one font that comes with Pillow: what can be written with it, and what it looks like."""

from __future__ import annotations

import math
import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

_ABSENT = "\uffff"
"""What no font has."""
_SPELT = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"}
    | {"ð": "d", "þ": "th", "ı": "i", "–": "-", "—": "-", "×": "x", "’": "'", "‘": "'", "“": '"', "”": '"'}
)
_TESTED_PX = 20

# H height, W width


def spell(text: str) -> str | None:
    """Return a text in the letters that there are, without their accents; None where that would leave something out.

    >>> spell("Käfer № 1"), spell("straße"), spell("汽车")
    ('Kafer No 1', 'strasse', None)
    """
    letters = unicodedata.normalize("NFKD", text.translate(_SPELT))
    kept = " ".join(
        "".join(" " if letter.isspace() else letter for letter in letters if not _is_accent(letter)).split()
    )
    return kept if kept and all(map(_has, kept)) else None


def ink(text: str, letter_px: int, *, max_width_px: int) -> npt.NDArray[np.uint8]:
    """Return how strongly a line inks each pixel, 255 where fully; a text that is too long ends in an ellipsis.

    Args:
        text: What `spell` has returned.
        letter_px: Size of the letters.
        max_width_px: Of the line.

    Returns:
        Shape (H, W): all texts of a size are as high.
    """
    font, kept = _font(letter_px), text
    while font.getlength(text) > max_width_px and kept:
        kept = kept[:-1]
        text = f"{kept.rstrip()}…"
    size = (max(1, min(max_width_px, math.ceil(font.getlength(text)))), sum(font.getmetrics()))
    line = PillowImage.new("L", size)
    ImageDraw.Draw(line).text((0, 0), text, fill=255, font=font)
    return np.asarray(line, dtype=np.uint8)


def _is_accent(letter: str) -> bool:
    return unicodedata.combining(letter) > 0


@lru_cache(maxsize=1024)
def _has(letter: str) -> bool:
    font = _font(_TESTED_PX)
    return letter == " " or bytes(font.getmask(letter)) != bytes(font.getmask(_ABSENT))


@lru_cache(maxsize=16)
def _font(letter_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(letter_px)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow's wheels come with FreeType"
    return font
