"""The bodies of what is said about images."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from adapters.formats.native import SHAPES
from adapters.mlp.wire import Body, Moment

_Coords = Literal["pixels", "normalized"]
_FormatName = Literal["native", "coco", "yolo", "labelstudio", "voc", "csv"]
_SHAPES = frozenset({*SHAPES, "rotation", "value", "start", "end"})
_Pair = Annotated[list[float], Field(min_length=2, max_length=2)]


class Rle(Body):
    """A mask as COCO writes it: runs of pixels, column by column."""

    size: Annotated[list[int], Field(min_length=2, max_length=2)] = Field(description="Height and width of the image.")
    counts: list[int] | str = Field(description="Compressed (a string) or not; answers are compressed.")


class AnnotationIn(Body):
    """One thing in an image: a label, and at most one shape."""

    label: str
    bbox: Annotated[list[float], Field(min_length=4, max_length=4)] | None = Field(
        None, description="x, y, width, height: pixels of the upright image from its top left corner."
    )
    rotation: float | None = Field(None, description="Of the bbox, in degrees clockwise around its top left corner.")
    polygon: list[_Pair] | None = Field(None, description="Three points or more; the outline must not cross itself.")
    rle: Rle | None = None
    point: _Pair | None = None


class AnnotationsIn(Body):
    """All there is to say about an image."""

    annotations: list[AnnotationIn] = Field(description="`[]`: somebody looked, and there is nothing.")
    coords: _Coords = Field("pixels", description="`normalized`: fractions of width and height.")


class AnnotationOut(AnnotationIn):
    """One thing that counts; a shape that it does not have is left out."""

    id: str
    image_id: str
    label_set_id: str
    value: float | None = None
    start: int | None = None
    end: int | None = None
    source: str
    created_by: str | None
    created_at: Moment

    @model_serializer(mode="wrap")
    def _without_other_shapes(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = serialize(self)
        return {name: value for name, value in written.items() if value is not None or name not in _SHAPES}


class AnnotationsOut(Body):
    """What counts for an image and a label set."""

    image_id: str
    label_set_id: str
    labeled: bool = Field(description="Whether anybody looked; an image without annotations may be labelled.")
    annotations: list[AnnotationOut]


class ImportOptions(Body):
    """How a file is imported."""

    format: _FormatName = Field(description="What `data` is.")
    mode: Literal["replace", "append"] = Field(
        "replace", description="Whether it takes the place of what was said about the images, or is added to it."
    )
    match_by: Literal["auto", "imageId", "filename"] = Field(
        "auto", description="How the file names images; `auto`: by `imageId` where it has one that fits, else by name."
    )
    create_missing_labels: bool = Field(
        False, description="Whether labels that the label set lacks are added to it; else what has one is left out."
    )
    dry_run: bool = Field(False, description="Only tell what would become of it; nothing is written.")


class ImportIn(ImportOptions):
    """A file, in JSON."""

    data: Any = Field(description="As the format has it; see the description.")


class LeftOut(Body):
    """Why something in a file was left out."""

    ref: str
    code: str
    message: str


class ImportOut(Body):
    """What became of a file. Counts are of annotations."""

    matched_images: int = Field(description="Images that were labelled.")
    unmatched: list[str] = Field(description="Images of the file that the project does not have; up to 100.")
    created: int
    replaced: int
    skipped: int = Field(description="Annotations of the file that were left out.")
    new_labels: list[str]
    errors: list[LeftOut] = Field(description="Up to 100.")
    dry_run: bool


class ExportQuery(Body):
    """What is exported, and how."""

    format: _FormatName = Field("native", description="One of those that can be imported.")
    split: Literal["train", "val", "test", "unassigned"] | None = Field(None, description="Only images in it.")
    raw: bool = Field(False, description="Without the envelope, as the tools of the format read it.")
