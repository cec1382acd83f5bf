"""Pictures: an image with what was said about it, and what a version finds in it, drawn on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backend.access import Access
from backend.accounts.service import Principal
from backend.datasets.annotations import Annotations
from backend.datasets.images import decoding
from backend.errors import Invalid, NotFound
from backend.predictions.answers import MAX_REGIONS
from backend.predictions.service import Predictions
from backend.projects.service import LabelSet
from backend.storage.blobs import BlobStore
from models.drawing import Layer, picture
from models.images import BadImage

ColoursOf = Callable[[LabelSet], Mapping[str, str]]
"""Returns "#rrggbb" by label, in the order of the labels."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is drawn, one of the two at least: what was said below, what was found above.

    Attributes:
        label_set_id: For which label set what was said is drawn; None: for none.
        run_id: Whose version is asked what it finds; None: nobody's.
        threshold: What it finds with a smaller score is left out.
        max_side_px: Of the picture; None: see `models.drawing.MAX_SIDE_PX`.
    """

    label_set_id: str | None = None
    run_id: str | None = None
    threshold: float = 0.0
    max_side_px: int | None = None


class Pictures:
    """Draws for those who may see what is drawn."""

    def __init__(self, access: Access, blobs: BlobStore, annotations: Annotations, predictions: Predictions) -> None:
        self._access = access
        self._blobs = blobs
        self._annotations = annotations
        self._predictions = predictions

    def draw(self, principal: Principal, task_id: str, wanted: Wanted, *, colours_of: ColoursOf) -> bytes:
        """Return a JPEG of an image with what is wanted drawn on it.

        Raises:
            NotFound: There is no such image, its file is not here, or its project has no such label set or run.
            Conflict, Invalid, Unavailable: The version cannot answer, see `Predictions.infer`.
            Invalid: The label set and the run are about different images of one task.
        """
        task = self._access.task(principal, task_id)
        layers: list[Layer] = []
        shown: set[str | None] = set()
        if wanted.label_set_id is not None:
            said = self._annotations.read(principal, wanted.label_set_id, task.id)
            label_set = self._access.label_set(principal, wanted.label_set_id)
            layers.append(Layer(said.regions or (), colours_of(label_set), is_found=False))
            shown.add(said.picture.content)
        if wanted.run_id is not None:
            asked, answer = self._predictions.infer(
                principal, wanted.run_id, task.id, threshold=wanted.threshold, max_regions=MAX_REGIONS
            )
            layers.append(Layer(answer.regions, colours_of(asked.label_set), is_found=True))
            shown.add(task.digest(asked.label_set.field))
        if len(shown) > 1:
            raise Invalid(
                "The label set and the training are about different images of one task: ask for one picture each.",
                code="validation_error",
            )
        [digest] = shown
        if digest is None:
            raise NotFound("The image's file is in Label Studio, and has not been fetched yet.", code="not_found")
        try:
            with decoding:
                return picture(self._blobs.path(digest), layers, max_side_px=wanted.max_side_px)
        except BadImage as error:
            raise NotFound(f"The file is no image that can be shown: {error}.", code="not_found") from error
