"""Where can clicks be answered with what a project drew itself? One label set for each image with masks or polygons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.label_studio.label_config import Binding, LabelConfig
from models.labels import LabelSchema, Objective
from models.regions import Mask, Polygon, Region

SCHEMA = LabelSchema(Objective.CLICK_SEGMENTATION, ())
_DRAWN = frozenset({Objective.INSTANCE_SEGMENTATION, Objective.SEMANTIC_SEGMENTATION})


@dataclass(frozen=True, slots=True)
class ClickSet:
    """What a click segmenter of one image learns from.

    Attributes:
        name: Of its label set.
        data_key: The field of the task's data that the image shows.
        sources: Names of the controls whose masks and polygons it learns from.
    """

    name: str
    data_key: str
    sources: frozenset[str]

    def merged(self, answers: Mapping[str, tuple[Region, ...]]) -> tuple[Region, ...] | None:
        """Return all that was drawn, given the answers by control name; None where no control was answered."""
        given = [answers[name] for name in sorted(self.sources) if name in answers]
        if not given:
            return None
        return tuple(region for regions in given for region in regions if isinstance(region, Mask | Polygon))


def click_sets(config: LabelConfig) -> list[ClickSet]:
    """Return the click sets of a config, in the order of its images.

    >>> from adapters.label_studio.label_config import parse
    >>> config = parse('<View><Image name="photo" value="$img"/><BrushLabels name="b" toName="photo">'
    ...   '<Label value="Nut"/></BrushLabels></View>')
    >>> click_sets(config)
    [ClickSet(name='clicks:photo', data_key='img', sources=frozenset({'b'}))]
    """
    by_object: dict[str, list[Binding]] = {}
    for binding in config.bindings:
        if binding.schema.objective in _DRAWN:
            by_object.setdefault(binding.object_name, []).append(binding)
    taken = {binding.control_name for binding in config.bindings}
    return [
        ClickSet(name, drawn[0].data_key, frozenset(binding.control_name for binding in drawn))
        for object_name, drawn in by_object.items()
        if (name := name_of(object_name)) not in taken
    ]


def name_of(object_name: str) -> str:
    """Return the name of an image's click set."""
    return f"clicks:{object_name}"
