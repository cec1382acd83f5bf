"""Tags: names beside what they are about, where there is room for them and nothing else is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.lettering import ink

Colour = tuple[int, int, int]
"""Red, green and blue, in [0, 255]."""
Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom lie outside."""

_MIN_SIDE_PX = 160
"""The longer side of a picture that has room for words."""
_MIN_LETTER_PX = 11
_SIDE_PER_LETTER = 52
"""The longer side of a picture, by the size of its letters."""
_PADDING = 0.35
"""Left and right of a text, by the size of the letters."""
_MAX_SHARE = 0.5
"""How wide a text may be, by the width of the picture."""
_NUM_ROWS = 6
"""How far a tag that must have a place may be from what it is about."""
_BLACK: Colour = (0, 0, 0)
_WHITE: Colour = (255, 255, 255)
_DARK: Colour = (28, 28, 28)
_OPACITY = 0.85

# H height, W width

_Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Tag:
    """Words about a part of a picture.

    Attributes:
        label: What it names.
        text: What it says, in letters that there are.
        colour: Of the label.
        is_found: Whether a model says so: the tag is dark, with the colour at its side.
        around: Where that is; None: the whole picture, and the tag belongs into its top left corner.
    """

    label: str
    text: str
    colour: Colour
    is_found: bool
    around: Rectangle | None


@dataclass(slots=True)
class _Free:
    """Where there is room."""

    width_px: int
    height_px: int
    taken: list[Rectangle] = field(default_factory=list)
    corner: tuple[int, int] = (0, 0)

    def beside(self, around: Rectangle, width: int, height: int, *, must: bool) -> tuple[int, int] | None:
        """Return where a tag goes, left and top; None where it has no place, unless it must have one."""
        places = [
            self._inside(place, width, height)
            for place in _beside(around, width, height, num_rows=_NUM_ROWS if must else 1)
        ]
        taken = np.array(self.taken or [(0, 0, 0, 0)])
        overlaps = [_overlap(taken, (x, y, x + width, y + height)) for x, y in places]
        best = int(np.argmin(overlaps))
        return places[best] if must or not overlaps[best] else None

    def in_corner(self, width: int, height: int) -> tuple[int, int] | None:
        """Return where the next of the tags goes that begin in the corner; None below the picture."""
        x, y = self.corner
        if x and x + width > self.width_px:
            x, y = 0, y + height
        self.corner = (x + width, y)
        return (x, y) if y + height <= self.height_px else None

    def _inside(self, place: tuple[int, int], width: int, height: int) -> tuple[int, int]:
        return (
            max(0, min(place[0], self.width_px - width)),
            max(0, min(place[1], self.height_px - height)),
        )


def add_tags(pixels_HW3: _Pixels, tags: Sequence[Tag], *, avoided: Sequence[Rectangle] = ()) -> None:
    """Write tags on a picture, the most important first; those that would lie on others are left out.

    Of each label one is written in any case. In a tiny picture there are none at all.

    Args:
        pixels_HW3: RGB, of shape (H, W, 3); is changed.
        tags: The most important first.
        avoided: What they should not lie on, either.
    """
    height_px, width_px = pixels_HW3.shape[:2]
    longer_px = max(height_px, width_px)
    if longer_px < _MIN_SIDE_PX:
        return
    letter_px = max(_MIN_LETTER_PX, round(longer_px / _SIDE_PER_LETTER))
    free = _Free(width_px, height_px, list(avoided))
    for tag, is_first in _one_of_each_first(tags):
        drawn_HW3 = _drawn(tag, letter_px, width_px)
        height, width = drawn_HW3.shape[:2]
        if tag.around is None:
            place = free.in_corner(width, height)
        else:
            place = free.beside(tag.around, width, height, must=is_first)
        if place is None:
            continue
        x, y = place
        free.taken.append((x, y, x + width, y + height))
        under_HW3 = pixels_HW3[y : y + height, x : x + width]
        drawn_HW3 = drawn_HW3[: under_HW3.shape[0], : under_HW3.shape[1]]
        under_HW3[:] = np.rint(_OPACITY * drawn_HW3 + (1 - _OPACITY) * under_HW3)


def contrast(colour: Colour, *, black_from: float = 140) -> Colour:
    """Return black, or beside a colour that is not as bright as this white; brightness is in [0, 255].

    >>> contrast((255, 255, 0)), contrast((0, 0, 255))
    ((0, 0, 0), (255, 255, 255))
    """
    red, green, blue = colour
    return _BLACK if 0.299 * red + 0.587 * green + 0.114 * blue >= black_from else _WHITE


def _one_of_each_first(tags: Sequence[Tag]) -> Iterator[tuple[Tag, bool]]:
    """Yield tags and whether they are the first with their label: captions, then those, then the others."""
    seen: Counter[tuple[str, bool]] = Counter()
    ranked = []
    for tag in tags:
        ranked.append((-1 if tag.around is None else min(1, seen[tag.label, tag.is_found]), tag))
        seen[tag.label, tag.is_found] += 1
    for rank, tag in sorted(ranked, key=lambda each: each[0]):
        yield tag, rank < 1


def _beside(around: Rectangle, width: int, height: int, *, num_rows: int) -> Iterator[tuple[int, int]]:
    """Yield where a tag may go, the best place first: above and below, at a side, inside; then in more rows beyond."""
    left, top, right, bottom = around
    middle_x, middle_y = (left + right - width) // 2, (top + bottom - height) // 2
    yield from ((left, top - height), (right - width, top - height), (left, bottom), (right - width, bottom))
    yield from ((right, top), (left - width, top), (right, middle_y), (left - width, middle_y))
    yield from ((left, top), (right - width, top), (left, bottom - height), (right - width, bottom - height))
    for row in range(1, num_rows):
        for y in (top - (row + 1) * height, bottom + row * height):
            yield from ((x, y) for x in (left, right - width, right, left - width))
    yield middle_x, middle_y


def _overlap(taken_N4: npt.NDArray[np.int_], wanted: Rectangle) -> int:
    """Return how many pixels of a rectangle are taken."""
    left, top, right, bottom = wanted
    width_N = np.minimum(taken_N4[:, 2], right) - np.maximum(taken_N4[:, 0], left)
    height_N = np.minimum(taken_N4[:, 3], bottom) - np.maximum(taken_N4[:, 1], top)
    return int((width_N.clip(0) * height_N.clip(0)).sum())


def _drawn(tag: Tag, letter_px: int, width_px: int) -> _Pixels:
    """Return a tag, of shape (H, W, 3)."""
    padding = max(1, round(_PADDING * letter_px))
    ink_HW = ink(tag.text, letter_px, max_width_px=max(letter_px, round(width_px * _MAX_SHARE)))
    ground, letters = (_DARK, _WHITE) if tag.is_found else (tag.colour, contrast(tag.colour))
    side = padding if tag.is_found else 0
    share_HW1 = np.pad(ink_HW, ((0, 0), (padding + side, padding)))[..., None] / 255
    drawn_HW3 = np.rint(share_HW1 * letters + (1 - share_HW1) * ground).astype(np.uint8)
    drawn_HW3[:, :side] = tag.colour
    return drawn_HW3
