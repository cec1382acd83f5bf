"""Bring a data set in, or hand one out: for any of the formats that are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import Protocol

from adapters.formats import coco, csv, label_studio, native, voc, yolo
from adapters.formats.catalogue import Catalogue
from adapters.formats.intake import Intake, Problem
from adapters.formats.outgoing import Outgoing
from adapters.formats.payload import Payload
from adapters.label_studio.label_config import parse
from adapters.label_studio.label_config.writing import relabel
from backend.accounts.service import Principal
from backend.datasets.annotations import Labelled, require_given_here
from backend.datasets.label_sets import Changes
from backend.errors import Conflict
from backend.projects.service import LabelSet
from backend.projects.tasks import Source
from backend.services import Services
from models.labels import Objective


class Format(Protocol):
    """A form of data sets."""

    def read(self, payload: Payload, intake: Intake) -> None:
        """Take in all that a file says.

        Raises:
            Invalid: It is not of this form.
        """

    def write(self, outgoing: Outgoing) -> Iterator[str]:
        """Yield the parts of a file, which make JSON, or the text of a format that has its own form."""


FORMATS: Mapping[str, Format] = MappingProxyType(
    {"native": native, "coco": coco, "yolo": yolo, "labelstudio": label_studio, "voc": voc, "csv": csv}
)
"""By the name that callers give."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file; counts are of annotations where they do not say images.

    Attributes:
        num_skipped: Were in the file and left out: with an error, or of images that are not there.
    """

    num_images: int
    unmatched: list[str]
    num_created: int
    num_replaced: int
    num_skipped: int
    new_labels: list[str]
    problems: list[Problem]


def bring_in(
    services: Services,
    principal: Principal,
    label_set_id: str,
    payload: Payload,
    *,
    format: str,
    appends: bool,
    match_by: str,
    creates_labels: bool,
    is_trial: bool,
) -> Imported:
    """Label images as a file says: all that can be used of it, in one go; where that fails, nothing.

    Raises:
        NotFound: There is no such label set.
        Invalid: The file is not of its form, or the label set is not labelled here.
    """
    label_set = services.access.label_set(principal, label_set_id)
    require_given_here(label_set.schema)
    pictures = services.annotations.pictures(principal, label_set_id)
    with TemporaryFile() as aside:
        intake = Intake(
            label_set,
            Catalogue(pictures),
            services.annotations,
            aside,
            match_by=match_by,
            creates_labels=creates_labels,
            appends=appends,
        )
        FORMATS[format].read(payload, intake)
        written = services.annotations.write(
            principal,
            label_set_id,
            intake.given(),
            source=Source.IMPORT,
            appends=appends,
            prepare=lambda: _append_labels(services, principal, label_set, list(intake.new_labels)),
            is_trial=is_trial,
        )
    return Imported(
        num_images=len(intake.images),
        unmatched=intake.unmatched,
        num_created=written.num_created,
        num_replaced=written.num_replaced,
        num_skipped=intake.num_skipped,
        new_labels=list(intake.new_labels),
        problems=intake.problems,
    )


def _append_labels(services: Services, principal: Principal, label_set: LabelSet, names: Sequence[str]) -> None:
    if not names:
        return

    def rewrite(found: LabelSet, changes: Changes) -> str:
        binding = next(each for each in parse(found.document).bindings if each.control_name == found.name)
        return relabel(
            found.document, binding.labels_name or binding.control_name, changes.names, renamed={}, colors={}
        )

    services.label_sets.relabel(principal, label_set.id, [*label_set.schema.names, *names], rewrite=rewrite)


def hand_out(
    services: Services, principal: Principal, label_set_id: str, *, format: str, split: str | None, base_url: str
) -> Iterator[str]:
    """Yield the parts of a file that holds what counts.

    Raises:
        NotFound: There is no such label set.
        Conflict: The format cannot hold it.
    """
    label_set = services.access.label_set(principal, label_set_id)
    pictures = services.annotations.pictures(principal, label_set_id)

    def stream() -> Iterator[Labelled]:
        return services.annotations.stream(principal, label_set_id, split=split)

    if label_set.schema.objective not in _WITHOUT_PLACES and not all(picture.width_px for picture in pictures):
        _require_sizes(services, stream())
    document = label_set.document or services.projects.get(label_set.project_id).origin.document
    find_predictions = services.foreign_predictions.of_tasks
    outgoing = Outgoing(label_set, document, Catalogue(pictures), base_url, stream, find_predictions)
    return FORMATS[format].write(outgoing)


_WITHOUT_PLACES = frozenset({Objective.CLASSIFICATION, Objective.MULTI_LABEL, Objective.REGRESSION, Objective.SPANS})


def _require_sizes(services: Services, labelled: Iterator[Labelled]) -> None:
    for each in labelled:
        picture = services.annotations.measure(each.picture)
        if not picture.width_px:
            name = picture.filename or next(iter(picture.sources), picture.task_id)
            raise Conflict(
                f"The size of {name} is not known, because its file is not here yet; start a training, which "
                "collects it, or export another split.",
                code="format_unavailable",
            )
