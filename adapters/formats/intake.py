"""What a file says about images, on its way in: checked piece by piece, laid aside on disk, written in one go."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from adapters.catalogue import code_of
from adapters.formats.catalogue import Ambiguous, Catalogue
from adapters.formats.geometry import Size, refuse
from backend.datasets.annotations import Annotations, Given, Picture
from backend.errors import Invalid, TandemError
from backend.projects.service import LabelSet
from models.labels import LabelSchema, Objective
from models.outlines import fill, outlines
from models.regions import Box, Choice, KeyPoint, Mask, Polygon, Region, to_json

_MAX_LISTED = 100
"""Of errors, and of images that are not there; further ones are only counted."""
_SHAPES: dict[Objective, tuple[type[Any], str]] = {
    Objective.CLASSIFICATION: (Choice, "a label without a shape"),
    Objective.MULTI_LABEL: (Choice, "a label without a shape"),
    Objective.DETECTION: (Box, "bbox"),
    Objective.INSTANCE_SEGMENTATION: (Polygon, "polygon"),
    Objective.SEMANTIC_SEGMENTATION: (Mask, "rle"),
    Objective.KEY_POINTS: (KeyPoint, "point"),
}


@dataclass(slots=True)
class Image:
    """An image that the file speaks about.

    Attributes:
        size: None where nobody knows it.
        num_failed: Annotations that were refused.
        said: Where those that were not are laid aside.
        chosen: Labels that were given.
    """

    task_id: str
    size: Size | None
    num_failed: int = 0
    said: list[int] = field(default_factory=list)
    chosen: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something in a file was left out.

    Attributes:
        ref: Where it is: a name and, after #, a position.
    """

    ref: str
    code: str
    message: str


class Intake:
    """Takes in what one file says, without holding it: what is valid is laid aside in another file.

    Attributes:
        name, schema: Of the label set.
        appends: Whether all opinions about an image count, not only the newest.
        unmatched: Names of images that are not in the project, up to a hundred.
        problems: What was left out, and why; up to a hundred.
        num_skipped: Annotations that were left out for any reason.
        new_labels: Labels that the label set does not have yet, where such may be given.
    """

    def __init__(
        self,
        label_set: LabelSet,
        catalogue: Catalogue,
        annotations: Annotations,
        aside: IO[bytes],
        *,
        match_by: str = "auto",
        creates_labels: bool = False,
        appends: bool = False,
    ) -> None:
        self.name = label_set.name
        self.schema = label_set.schema
        self.appends = appends
        self.unmatched: list[str] = []
        self.problems: list[Problem] = []
        self.num_skipped = 0
        self.new_labels: dict[str, None] = {}
        self._catalogue = catalogue
        self._annotations = annotations
        self._match_by = match_by
        self._creates_labels = creates_labels
        self._names = frozenset(self.schema.names)
        self._images: dict[str, Image] = {}
        self._aside = aside

    @property
    def images(self) -> list[Image]:
        """The images that the file is about, less those of which nothing could be used."""
        return [image for image in self._images.values() if image.said or not image.num_failed]

    def find(
        self,
        name: str,
        *,
        image_id: object = None,
        filenames: Iterable[object] = (),
        size: tuple[object, object] = (0, 0),
    ) -> Image | None:
        """Return the image that is meant: from now on it is labelled. Otherwise note why there is none.

        Args:
            name: For people.
            image_id: As the file says.
            filenames: File names or addresses, best first.
            size: Width and height that the file says it has; what is 0 or no number says nothing.
        """
        try:
            picture = self._find(image_id, list(filenames))
        except Ambiguous:
            self.refuse(name, Invalid(f"Several images are called {name}; name the imageId.", code="import_invalid"))
            return None
        if picture is None:
            if len(self.unmatched) < _MAX_LISTED:
                self.unmatched.append(name)
            return None
        image = self._images.get(picture.task_id) or Image(picture.task_id, self._size(picture))
        if image.size is not None and all(size) and size != (image.size.width_px, image.size.height_px):
            error = Invalid(
                f"The file says {size[0]} × {size[1]} pixels; upright, the image has {image.size}. "
                "Give coordinates for the image that was uploaded.",
                code="geometry_invalid",
            )
            self.refuse(name, error)
            return None
        return self._images.setdefault(picture.task_id, image)

    def _find(self, image_id: object, filenames: Sequence[object]) -> Picture | None:
        ids = [image_id, *filenames] if self._match_by != "filename" else []
        found = next(filter(None, map(self._catalogue.by_id, ids)), None)
        if found is None and self._match_by != "imageId":
            found = next(filter(None, map(self._catalogue.by_name, filenames)), None)
        return found

    def _size(self, picture: Picture) -> Size | None:
        if _SHAPES[self.schema.objective][0] is Choice:
            return None
        measured = self._annotations.measure(picture)
        return Size(measured.width_px, measured.height_px) if measured.width_px else None

    def skip(self, num: int) -> None:
        """Note that annotations are left out."""
        self.num_skipped += num

    @contextmanager
    def one(self, ref: str, image: Image) -> Iterator[None]:
        """Take in one annotation; where it is invalid, it alone is left out."""
        try:
            yield
        except Invalid as error:
            image.num_failed += 1
            self.num_skipped += 1
            self.refuse(ref, error)

    def add(self, image: Image, *drawn: Region) -> None:
        """Lay aside what is said about an image.

        Raises:
            Invalid: Its label is not known, or the label set does not take this shape.
        """
        if self.schema.objective is Objective.CLASSIFICATION and image.said and not self.appends:
            raise one_label()
        for region in drawn:
            self._require_label(region.label)
        for region in fitting(self.schema.objective, drawn, image.size):
            if isinstance(region, Choice) and region.label in image.chosen:
                continue
            if self.schema.objective is Objective.CLASSIFICATION:
                image.said.clear()  # of several opinions the last one counts
            image.said.append(self._aside.tell())
            image.chosen.add(region.label)
            self._aside.write(json.dumps(*to_json([region])).encode() + b"\n")

    def _require_label(self, label: str) -> None:
        if label in self._names or label in self.new_labels:
            return
        if not self._creates_labels or not 0 < len(label) <= 100:
            raise unknown_label(label, self.schema)
        self.new_labels[label] = None

    def given(self) -> Iterator[Given]:
        """Yield what was laid aside, image by image."""
        for image in self.images:
            said = []
            for position in image.said:
                self._aside.seek(position)
                said.append(self._aside.readline().decode().rstrip())
            yield Given(image.task_id, f"[{','.join(said)}]", len(said))

    def refuse(self, ref: str, error: TandemError) -> None:
        """Note that something is left out, and why."""
        if len(self.problems) < _MAX_LISTED:
            self.problems.append(Problem(ref, code_of(error), error.message))


def unknown_label(label: str, schema: LabelSchema) -> Invalid:
    """Return the error that a label set does not have a label."""
    return Invalid(
        f"The label set has no label {label!r}; it has {', '.join(schema.names[:20])}.",
        code="unknown_label",
        details={"label": label, "labels": list(schema.names)},
    )


def one_label() -> Invalid:
    """Return the error that an image was given several labels where it has one."""
    return Invalid("This label set takes one label for an image.", code="validation_error")


def fitting(objective: Objective, drawn: Iterable[Region], size: Size | None) -> list[Region]:
    """Return what was drawn in the shape that an objective takes: outlines and masks are turned into each other.

    Raises:
        Invalid: It takes another shape.
    """
    wanted, noun = _SHAPES[objective]
    regions = list(drawn)
    if all(isinstance(region, wanted) for region in regions):
        return regions
    if wanted is Mask and size is not None:
        outlined = [region for region in regions if isinstance(region, Polygon)]
        if len(outlined) == len(regions):
            return [_filled(outlined, size)]
    if wanted is Polygon:
        parts = [(region.label, outlines(region.to_array())) for region in regions if isinstance(region, Mask)]
        if len(parts) == len(regions) and all(points for _, points in parts):
            return [Polygon(label, points) for label, found in parts for points in found]
    raise Invalid(f"Annotations of this label set have {noun}.", code="geometry_invalid")


def _filled(outlined: Sequence[Polygon], size: Size) -> Mask:
    """Return one mask of the parts of one thing."""
    inside = np.logical_or.reduce([fill(part.points, size.width_px, size.height_px) for part in outlined])
    if not inside.any():
        refuse("polygon covers the centre of no pixel.")
    return Mask.from_array(outlined[0].label, inside)
