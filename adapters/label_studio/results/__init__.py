"""Result items of Label Studio ⇄ regions: what all items share; one module per control tag has its `value`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

from adapters.label_studio.label_config import Binding
from adapters.label_studio.results import choices
from models.labels import LabelSchema, Objective
from models.regions import Number, Region


class Format(Protocol):
    """The `value` of one control tag's items."""

    def encode(self, regions: Sequence[Region]) -> list[tuple[dict[str, Any], float]]:
        """Return the `value` and the score of each item."""

    def decode(self, value: Mapping[str, Any]) -> list[Region]:
        """Read one item's `value`, which anybody may have written; what makes no sense is left out."""


FORMATS: Mapping[str, Format] = MappingProxyType({"choices": choices})
"""By control tag, as in `Binding.control_tag`."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a model found for one binding.

    Attributes:
        binding: The control to answer.
        regions: With the labels of the model, which may be older than the config.
        width_px: Of the image as a browser shows it, EXIF orientation applied.
        height_px: Likewise.
    """

    binding: Binding
    regions: Sequence[Region]
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class EncodedPrediction:
    """A prediction in Label Studio's form, valid under the config it was made for.

    Attributes:
        result: Items; empty where nothing was found, which Label Studio stores like any other answer.
        score: Mean of the items' scores, in [0, 1]; 0 without items.
        num_dropped: Regions left out because the config lacks their label or their score is not a number.
    """

    result: tuple[dict[str, Any], ...] = ()
    score: float = 0.0
    num_dropped: int = 0

    def to_json(self, model_version: str) -> dict[str, Any]:
        """Return the entry for one task in the answer to /predict."""
        return {"result": list(self.result), "score": self.score, "model_version": model_version}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said for one control.

    Attributes:
        regions: None where the control was not answered, or not as its schema allows.
        num_ignored: Labels that the config lacks, perhaps those of an older one.
    """

    regions: tuple[Region, ...] | None
    num_ignored: int = 0


def encode(found: Iterable[Found], *, task_id: object) -> EncodedPrediction:
    """Write what a model found for one task, in the order of the bindings.

    Labels go through `LabelSchema.match` of the present config, so a version trained under an older one keeps working
    for the labels that are left. Answers below their control's threshold are left out, and so are answers to questions
    that Label Studio would not ask given the other answers.

    Args:
        found: One for each binding.
        task_id: Item ids derive from it: a task gets the same ids whenever it is predicted.
    """
    num_dropped = 0
    answers: dict[str, tuple[Found, list[Region]]] = {}
    for each in found:
        regions = _known(each.binding.schema, each.regions)
        num_dropped += len(each.regions) - len(regions)
        answers[each.binding.control_name] = each, _chosen(each.binding, regions)
    result = [
        _item(each, index, value, score, task_id=task_id)
        for each, regions in _shown(answers)
        for index, (value, score) in enumerate(FORMATS[each.binding.control_tag].encode(regions))
    ]
    score = math.fsum(item["score"] for item in result) / len(result) if result else 0.0
    return EncodedPrediction(tuple(result), score, num_dropped)


def decode(result: object, binding: Binding) -> Answer:
    """Read what a person said for a control from the `result` of an annotation.

    Labels must be those of the config to the letter: unlike a model, a person chose among them.
    """
    items = result if isinstance(result, list) else []
    values = [item["value"] for item in items if _is_answer(item, binding)]
    labelled = [region for value in values for region in FORMATS[binding.control_tag].decode(value)]
    known = dict.fromkeys(region for region in labelled if region.label in binding.schema.names)
    num_ignored = sum(region.label not in binding.schema.names for region in labelled)
    contradicts = binding.schema.objective is Objective.CLASSIFICATION and len(known) != 1
    return Answer(None if not values or contradicts else tuple(known), num_ignored)


def _known(schema: LabelSchema, regions: Iterable[Region]) -> list[Region]:
    """Return regions with labels of the schema and scores in [0, 1]; others are left out."""
    known: list[Region] = []
    for region in regions:
        label, score = schema.match(region.label), 1.0 if region.score is None else float(region.score)
        if label is not None and math.isfinite(score) and not isinstance(region, Number):
            known.append(replace(region, label=label, score=min(1.0, max(0.0, score))))
    return known


def _chosen(binding: Binding, regions: Iterable[Region]) -> list[Region]:
    """Return what is sure enough, best first: one region for CLASSIFICATION, each label once for MULTI_LABEL."""
    best: dict[str, Region] = {}
    for region in sorted(regions, key=lambda region: -(region.score or 0.0)):
        if (region.score or 0.0) >= binding.score_threshold:
            best.setdefault(region.label, region)
    return list(best.values())[: 1 if binding.schema.objective is Objective.CLASSIFICATION else None]


def _shown(answers: Mapping[str, tuple[Found, list[Region]]]) -> list[tuple[Found, list[Region]]]:
    """Leave out answers to hidden questions, then those that depended on them; an annotator would not see them."""
    labels = {name: tuple(region.label for region in regions) for name, (_, regions) in answers.items()}
    while hidden := [
        name for name in labels if not all(rule.holds(labels) for rule in answers[name][0].binding.conditions)
    ]:
        del labels[hidden[0]]
    return [answers[name] for name in answers if name in labels]


def _item(found: Found, index: int, value: dict[str, Any], score: float, *, task_id: object) -> dict[str, Any]:
    binding = found.binding
    identity = f"{task_id}\n{binding.control_name}\n{binding.object_name}\n{index}"
    return {
        "id": hashlib.sha256(identity.encode(errors="replace")).hexdigest()[:12],
        "from_name": binding.control_name,
        "to_name": binding.object_name,
        "type": binding.control_tag,
        "origin": "prediction",
        "original_width": found.width_px,
        "original_height": found.height_px,
        "image_rotation": 0,
        "value": value,
        "score": score,
    }


def _is_answer(item: object, binding: Binding) -> bool:
    return (
        isinstance(item, dict)
        and item.get("from_name") == binding.control_name
        and item.get("type") == binding.control_tag
        and isinstance(item.get("value"), dict)
    )
