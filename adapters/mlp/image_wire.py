"""The bodies of images (mlp.md §3)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from adapters.catalogue import code_of
from adapters.identifiers import spell
from adapters.mlp.wire import Body, Moment, PageQuery
from backend.datasets.images import Rejected, Shown
from backend.datasets.splits import word_for

SplitName = Literal["train", "val", "test"]
_NamedSplit = Annotated[SplitName | None, BeforeValidator(lambda given: given or None)]
MAX_FILES = 20


class ImageOut(Body):
    """An image. Width and height are those of the upright image, to which all coordinates refer."""

    id: str
    project_id: str
    task_id: int
    filename: str
    mime_type: str
    width: int | None
    height: int | None
    bytes: int | None
    sha256: str | None
    split: SplitName | None
    url: str
    created_at: Moment
    labeled_in: list[str]


class UploadedImage(ImageOut):
    """An image that was uploaded; `duplicate`: the project had it already."""

    duplicate: bool


class RejectedOut(Body):
    """A file that was not taken, and why."""

    filename: str
    code: str
    message: str


class UploadOut(Body):
    """What became of an upload; `dropped` files came after the first 20."""

    images: list[UploadedImage]
    rejected: list[RejectedOut]
    dropped: int


class RemoteImage(Body):
    """An image to be fetched, or one that is here: `url` or `base64`."""

    url: str | None = Field(None, max_length=8000, description="http or https.")
    base64: str | None = None
    filename: str = Field("", max_length=1000)
    split: _NamedSplit = None

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.url is None) == (self.base64 is None):
            raise ValueError("give either url or base64")
        return self


class UploadIn(Body):
    """Images in JSON, for those who cannot send files."""

    images: list[RemoteImage] = Field(default_factory=list, description="The first 20 are taken.")
    split: _NamedSplit = Field(None, description="Of all images that do not have one of their own.")


class ImagesQuery(PageQuery):
    """Which images."""

    split: Literal["train", "val", "test", "unassigned"] | None = Field(None, description="Only those in it.")
    label_set_id: str | None = Field(None, description="For which label set `labeled` counts; alone: labelled for it.")
    labeled: bool | None = Field(None, description="Whether anything was said, if only that there is nothing.")


class FileQuery(Body):
    """Which form of the file."""

    max_size: int | None = Field(None, ge=64, le=10_000, description="A JPEG whose longer side has at most so many px.")
    label_set_id: str | None = Field(
        None,
        description="Draw what was said for this label set: solid lines, filled tags, discs for points, each in its "
        "label's colour. Tags have no accents; a label that Latin letters cannot write is # and its index. Needs the "
        "scope annotations:read, too.",
    )
    training_id: str | None = Field(
        None,
        description="Draw what this training's model finds: dashed lines, dark tags with the score, rings for points. "
        "Needs the scope inference:run, too. Both may be drawn at once.",
    )
    threshold: float = Field(0.25, ge=0, le=1, description="Found with a smaller score: not drawn.")
    sig: str | None = Field(None, description="In place of a key; part of an address that this server handed out.")

    @property
    def is_drawing(self) -> bool:
        """Whether anything is to be drawn."""
        return bool(self.label_set_id or self.training_id)

    @model_validator(mode="after")
    def _draws_for_keys(self) -> Self:
        if self.sig is not None and self.is_drawing:
            raise ValueError("labelSetId and trainingId need a key in place of sig")
        return self


class ImagePatch(Body):
    """What may be changed; `null`: in no split."""

    split: SplitName | None


class RatiosIn(Body):
    """Shares, which must sum to 1."""

    train: float = Field(0.0, ge=0, le=1)
    val: float = Field(0.0, ge=0, le=1)
    test: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if abs(self.train + self.val + self.test - 1) > 0.001:
            raise ValueError("train, val and test must sum to 1")
        return self


class SplitsIn(Body):
    """How images are put into splits: by chance, or by name."""

    strategy: Literal["random", "explicit"] = Field("random", description="By `ratios`, or as `assign` says.")
    ratios: RatiosIn = Field(
        default_factory=lambda: RatiosIn(train=0.8, val=0.1, test=0.1), description="For `random`; they sum to 1."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Another one draws other images.")
    only_unassigned: bool = Field(True, description="Whether images that are in a split stay there.")
    assign: dict[SplitName, list[str]] | None = Field(None, description="Ids of images by split; for `explicit`.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.strategy == "explicit" and self.assign is None:
            raise ValueError("assign is needed for the strategy explicit")
        return self


def describe_image(shown: Shown, base_url: str) -> ImageOut:
    """Word an image."""
    return ImageOut(**_fields(shown, base_url))


def describe_upload(shown: Shown, base_url: str) -> UploadedImage:
    """Word an image that was uploaded."""
    return UploadedImage(**_fields(shown, base_url), duplicate=shown.is_duplicate)


def describe_rejected(rejected: Rejected) -> RejectedOut:
    """Word why a file was not taken."""
    return RejectedOut(filename=rejected.filename, code=code_of(rejected.error), message=rejected.error.message)


def _fields(shown: Shown, base_url: str) -> dict[str, Any]:
    task = shown.task
    image_id = spell("image_id", task.id)
    return {
        "id": image_id,
        "project_id": spell("project_id", task.project_id),
        "task_id": task.number,
        "filename": task.filename,
        "mime_type": task.mime_type,
        "width": task.width_px,
        "height": task.height_px,
        "bytes": task.num_bytes,
        "sha256": task.content,
        "split": word_for(task),
        "url": f"{base_url}/images/{image_id}/file",
        "created_at": task.created_at,
        "labeled_in": [spell("label_set_id", label_set_id) for label_set_id in shown.labelled_in],
    }
