"""What is said about a part of an item, or about all of it.

Coordinates are fractions of the image's width and height as a viewer shows it (EXIF orientation applied), x to the
right and y down from the top left corner. Scores say how sure the model is, in [0, 1]; None where a person said it.
All regions are immutable and have a stored form in JSON.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle around a thing.

    Attributes:
        label: A name of the schema.
        x: Of its centre.
        y: Of its centre.
        width: Before rotation, as a fraction of the image's width.
        height: Before rotation, as a fraction of the image's height.
        rotation: In degrees, clockwise about the centre, in [0, 360).
        aspect: Width / height of the image in pixels; matters only where the box is rotated.
        score: See above.
    """

    kind: ClassVar[str] = "box"
    label: str
    x: float
    y: float
    width: float
    height: float
    rotation: float = 0.0
    aspect: float = 1.0
    score: float | None = None

    @property
    def corners(self) -> tuple[Point, Point, Point, Point]:
        """The corners, clockwise on screen, from the one that is top left before rotation.

        >>> Box("a", 0.5, 0.5, 0.2, 0.4).corners[0]
        (0.4, 0.3)
        """
        cos, sin = math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))
        a, b = self.width / 2 * self.aspect, self.height / 2  # in units of the image's height, which is isotropic
        turned = [(u * cos - v * sin, u * sin + v * cos) for u, v in ((-a, -b), (a, -b), (a, b), (-a, b))]
        first, second, third, fourth = ((self.x + u / self.aspect, self.y + v) for u, v in turned)
        return first, second, third, fourth

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the upright rectangle around it."""
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @classmethod
    def from_bounds(
        cls, label: str, left: float, top: float, right: float, bottom: float, *, score: float | None = None
    ) -> Box:
        """Make an upright box."""
        return cls(label, (left + right) / 2, (top + bottom) / 2, right - left, bottom - top, score=score)


@dataclass(frozen=True, slots=True)
class Choice:
    """A label for the whole item, or for a part of it.

    Attributes:
        label: A name of the schema.
        score: See above.
        part: What it is about; None: the whole item.
    """

    kind: ClassVar[str] = "choice"
    label: str
    score: float | None = None
    part: Box | None = None


@dataclass(frozen=True, slots=True)
class Number:
    """A number for the whole item, or for a part of it.

    Attributes:
        value: On the schema's scale.
        score: See above.
        part: What it is about; None: the whole item.
    """

    kind: ClassVar[str] = "number"
    label: ClassVar[str] = ""
    value: float
    score: float | None = None
    part: Box | None = None


@dataclass(frozen=True, slots=True)
class Polygon:
    """The outline of a thing; at least three points, the last one not repeating the first.

    Attributes:
        label: A name of the schema.
        points: In order.
        score: See above.
    """

    kind: ClassVar[str] = "polygon"
    label: str
    points: tuple[Point, ...]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Mask:
    """Which pixels are called something.

    Attributes:
        label: A name of the schema.
        width_px: Of the mask; usually that of the image.
        height_px: Likewise.
        runs: Lengths of runs, row by row from the top left: outside, inside, outside, … The first may be 0.
        score: See above.
    """

    kind: ClassVar[str] = "mask"
    label: str
    width_px: int
    height_px: int
    runs: tuple[int, ...]
    score: float | None = None

    @classmethod
    def from_array(cls, label: str, inside_HW: npt.NDArray[Any], *, score: float | None = None) -> Mask:
        """Make a mask of an array of shape (H, W) that is true, or not zero, inside.

        >>> Mask.from_array("a", np.array([[0, 1], [1, 0]])).runs
        (1, 2, 1)
        """
        flat = np.asarray(inside_HW).astype(bool).ravel()
        changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        edges = np.concatenate(([0], changes, [flat.size]))
        runs = np.diff(edges).tolist()
        height_px, width_px = inside_HW.shape
        return cls(label, width_px, height_px, tuple([0, *runs] if flat.size and flat[0] else runs), score)

    def to_array(self) -> npt.NDArray[np.bool_]:
        """Return an array of shape (height_px, width_px), true inside.

        Raises:
            ValueError: The runs do not add up to the size.
        """
        if sum(self.runs) != self.width_px * self.height_px:
            raise ValueError(f"the runs of a mask make {sum(self.runs)} pixels of {self.width_px}×{self.height_px}")
        is_inside = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(is_inside, self.runs).reshape(self.height_px, self.width_px)


@dataclass(frozen=True, slots=True)
class KeyPoint:
    """A point with a name.

    Attributes:
        label: A name of the schema.
        x: See above.
        y: See above.
        score: See above.
    """

    kind: ClassVar[str] = "key_point"
    label: str
    x: float
    y: float
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text.

    Attributes:
        label: A name of the schema.
        start: Of its first character, in code points, as in Python.
        end: After its last character.
        score: See above.
    """

    kind: ClassVar[str] = "span"
    label: str
    start: int
    end: int
    score: float | None = None


Region = Choice | Number | Box | Polygon | Mask | KeyPoint | Span


def bounding_box(region: Region) -> Box | None:
    """Return the box around a region that lies in an image; None where it has no extent."""
    if isinstance(region, Box):
        return region
    if isinstance(region, Polygon):
        xs, ys = zip(*region.points, strict=True)
        return Box.from_bounds(region.label, min(xs), min(ys), max(xs), max(ys), score=region.score)
    if isinstance(region, Mask) and any(region.runs[1::2]):
        edges = np.cumsum(region.runs)  # without an array of all pixels, of which a photo has millions
        starts, ends = edges[: 2 * (len(edges) // 2) : 2], edges[1::2]
        starts, ends = starts[ends > starts], ends[ends > starts]
        rows, last_rows = starts // region.width_px, (ends - 1) // region.width_px
        is_whole_row = bool((rows != last_rows).any())
        left = 0.0 if is_whole_row else (starts % region.width_px).min() / region.width_px
        right = 1.0 if is_whole_row else ((ends - 1) % region.width_px + 1).max() / region.width_px
        top, bottom = rows[0] / region.height_px, (last_rows[-1] + 1) / region.height_px
        return Box.from_bounds(region.label, float(left), float(top), float(right), float(bottom), score=region.score)
    return None


_KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in (Choice, Number, Box, Polygon, Mask, KeyPoint, Span)}


def to_json(regions: Iterable[Region]) -> list[dict[str, Any]]:
    """Return the stored form of regions."""
    return [_one_to_json(region) for region in regions]


def _one_to_json(region: Region) -> dict[str, Any]:
    values = {field.name: getattr(region, field.name) for field in fields(region)}
    part = values.pop("part", None)
    return {"kind": region.kind, **values, **({"part": _one_to_json(part)} if part else {})}


def from_json(stored: Sequence[Mapping[str, Any]]) -> tuple[Region, ...]:
    """Read the stored form of regions.

    Raises:
        ValueError: For a kind this release does not know.
    """
    return tuple(_one_from_json(item) for item in stored)


def _one_from_json(item: Mapping[str, Any]) -> Region:
    values = dict(item)
    kind = _KINDS.get(name := values.pop("kind"))
    if kind is None:
        raise ValueError(f"region kind {name!r} is not known to this release")
    if "points" in values:
        values["points"] = tuple((x, y) for x, y in values["points"])
    if "runs" in values:
        values["runs"] = tuple(values["runs"])
    if "part" in values:
        values["part"] = _one_from_json(values["part"])
    region: Region = kind(**values)
    return region
