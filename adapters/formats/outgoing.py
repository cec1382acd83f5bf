"""What counts for the images of a label set, on its way out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from adapters.formats.catalogue import Catalogue
from adapters.formats.geometry import Size
from backend.datasets.annotations import Labelled, Picture
from backend.errors import Conflict
from backend.predictions.foreign import ForeignPrediction
from backend.projects.service import LabelSet
from models.labels import LabelSchema, Objective
from models.regions import Region


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is written.

    Attributes:
        document: The label set's labelling configuration; "" where it has none.
        catalogue: All images of the project.
        base_url: Of this server, without a slash at the end.
        stream: Begins again with each call.
        find_predictions: Returns by its id what other ML backends said about each of some tasks.
    """

    label_set: LabelSet
    document: str
    catalogue: Catalogue
    base_url: str
    stream: Callable[[], Iterator[Labelled]]
    find_predictions: Callable[[Collection[str]], Mapping[str, Sequence[ForeignPrediction]]]

    @property
    def schema(self) -> LabelSchema:
        """What may be said."""
        return self.label_set.schema

    def labelled(self) -> Iterator[tuple[Picture, Size | None, tuple[Region, ...]]]:
        """Yield each labelled image, its size where that is known, and what counts for it."""
        for each in self.stream():
            picture = each.picture
            size = Size(picture.width_px, picture.height_px) if picture.width_px else None
            yield picture, size, each.regions or ()

    def name(self, picture: Picture) -> str:
        """Return a file name that means this image and no other."""
        return self.catalogue.name(picture)


def require_objective(outgoing: Outgoing, known: Container[Objective], name: str, instead: str) -> None:
    """Make sure that a format can hold what a label set is about.

    Raises:
        Conflict: It cannot.
    """
    objective = outgoing.schema.objective
    if objective not in known:
        raise Conflict(
            f"{name} cannot hold annotations of the type {objective.value}; export as {instead}.",
            code="format_unavailable",
        )
