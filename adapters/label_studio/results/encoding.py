"""Regions → result items of Label Studio."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from adapters.label_studio.label_config import Binding, Condition, LabelConfig
from adapters.label_studio.results.check import check
from adapters.label_studio.results.formats import ANSWERS, SHAPES
from adapters.label_studio.results.sheet import Sheet
from models.diversity import certainty
from models.labels import Medium, Objective, Scale
from models.regions import Box, Number, Region, bounding_box


@dataclass(frozen=True, slots=True)
class Found:
    """What a model found for one binding.

    Attributes:
        binding: The control to answer.
        regions: With the labels of the model, which may be older than the config.
        width_px: Of the image as a browser shows it, EXIF orientation applied; 0 for a text.
        height_px: Likewise.
        text: Of a text.
    """

    binding: Binding
    regions: Sequence[Region]
    width_px: int
    height_px: int
    text: str | None = None

    @property
    def sheet(self) -> Sheet:
        """What the regions lie on."""
        return Sheet(self.width_px, self.height_px, self.text)


@dataclass(frozen=True, slots=True)
class EncodedPrediction:
    """A prediction in Label Studio's form, valid under the config it was made for.

    Attributes:
        result: Items; empty where nothing was found, which Label Studio stores like any other answer.
        score: How sure the model is of all of it, in [0, 1]: the mean of `models.diversity.certainty` over the
            controls that are asked about the whole item; 0 without any.
        num_dropped: Regions left out because the config lacks their label, their score is not a number, or nothing of
            them can be shown.
    """

    result: tuple[dict[str, Any], ...] = ()
    score: float = 0.0
    num_dropped: int = 0

    def to_json(self, model_version: str) -> dict[str, Any]:
        """Return the entry for one task in the answer to /predict."""
        return {"result": list(self.result), "score": self.score, "model_version": model_version}


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A region that was written.

    Attributes:
        found: Whose.
        region: As it was found.
        identity: The `id` of its items.
        shape: Their `value`, without labels.
    """

    found: Found
    region: Region
    identity: str
    shape: dict[str, Any]


def encode(found: Iterable[Found], *, config: LabelConfig, task_id: object) -> EncodedPrediction:
    """Write what a model found for one task, in the order of the bindings.

    Labels go through `LabelSchema.match` of the present config, so a version trained under an older one keeps working
    for the labels that are left. Answers below their control's threshold are left out, and so are answers to questions
    that Label Studio would not ask given the other answers. What comes out passes Label Studio's own validation.

    Args:
        found: One for each binding.
        config: The present one.
        task_id: Item ids derive from it: a task gets the same ids whenever it is predicted.
    """
    answers = {each.binding.control_name: (each, chosen(each)) for each in found}
    drawn: list[_Drawn] = []
    items: list[dict[str, Any]] = []
    num_dropped = sum(len(each.regions) - len(_known(each.binding, each.regions)) for each, _ in answers.values())
    shown = _shown(answers)
    for each, regions in shown:
        if each.binding.control_tag in ANSWERS:
            items += _answer_items(each, regions, task_id=task_id)
        else:
            new = list(_draw(each, regions, task_id=task_id))
            num_dropped += len(regions) - len(new)
            drawn += new
            items += [item for one in new for item in _shape_items(one)]
    questions = [(each, regions) for each, regions in shown if each.binding.control_tag in ANSWERS]
    given = {each.binding.control_name: _labels(regions) for each, regions in questions}
    asked = [(each, _by_place(regions)) for each, regions in answers.values() if each.binding.is_per_region]
    items += [item for one in drawn for item in _answers_about(one, asked, given)]

    checked = check(config, items)
    sure = [certainty(each.binding.schema.objective, regions) for each, regions in shown]
    return EncodedPrediction(tuple(checked.items), fmean(sure) if sure else 0.0, num_dropped + len(checked.reasons))


def chosen(found: Found) -> list[Region]:
    """Return what of a model's regions is written: labels of the present config, sure enough, best first.

    A question is answered once for each thing it is asked about: with one region, for MULTI_LABEL with each label once.
    """
    binding = found.binding
    best: dict[object, Region] = {}
    for region in sorted(_known(binding, found.regions), key=lambda region: -(region.score or 0.0)):
        if (region.score or 0.0) < binding.score_threshold:
            continue
        if binding.control_tag not in ANSWERS:
            best[len(best)] = region
        else:
            label = region.label if binding.schema.objective is Objective.MULTI_LABEL else ""
            best.setdefault((_place(getattr(region, "part", None)), label), region)
    if binding.control_tag in ANSWERS and not binding.is_per_region:
        return [region for region in best.values() if getattr(region, "part", None) is None]
    return list(best.values())


def _known(binding: Binding, regions: Iterable[Region]) -> list[Region]:
    """Return regions with labels of the schema and scores in [0, 1]; others are left out."""
    known: list[Region] = []
    for region in regions:
        score = 1.0 if region.score is None else float(region.score)
        if not math.isfinite(score):
            continue
        score = min(1.0, max(0.0, score))
        if isinstance(region, Number):
            if binding.schema.objective is Objective.REGRESSION and math.isfinite(region.value):
                value = (binding.schema.scale or Scale()).nearest(region.value)
                known.append(replace(region, value=value, score=score))
            continue
        label = binding.schema.match(region.label)
        if label is None and binding.control_tag in SHAPES and not binding.has_names:
            label = binding.control_name
        if label is not None:
            known.append(replace(region, label=label, score=score))
    return known


def _labels(regions: Iterable[Region]) -> tuple[str, ...]:
    return tuple(region.label for region in regions)


_Place = tuple[float, ...]


def _place(part: Box | None) -> _Place | None:
    """Tell parts of an image apart by where they are, whatever they are called."""
    return None if part is None else (part.x, part.y, part.width, part.height, part.rotation)


def _by_place(regions: Iterable[Region]) -> dict[_Place | None, list[Region]]:
    found: dict[_Place | None, list[Region]] = {}
    for region in regions:
        found.setdefault(_place(getattr(region, "part", None)), []).append(region)
    return found


def _visible(
    asked: Mapping[str, tuple[tuple[Condition, ...], tuple[str, ...]]], given: Mapping[str, tuple[str, ...]]
) -> set[str]:
    """Return the names of the controls that an annotator would see.

    Answers to hidden questions are left out, then those that depended on them.

    Args:
        asked: Conditions and labels of each control.
        given: Labels that other controls have for sure.
    """
    labels = {name: chosen_labels for name, (_, chosen_labels) in asked.items()}
    while hidden := [name for name in labels if not all(rule.holds({**given, **labels}) for rule in asked[name][0])]:
        del labels[hidden[0]]
    return set(labels)


def _shown(answers: Mapping[str, tuple[Found, list[Region]]]) -> list[tuple[Found, list[Region]]]:
    """Leave out what is asked for each region, and what an annotator would not see."""
    whole = {name: answer for name, answer in answers.items() if not answer[0].binding.is_per_region}
    asked = {name: (found.binding.conditions, _labels(regions)) for name, (found, regions) in whole.items()}
    visible = _visible(asked, {})
    return [answer for name, answer in whole.items() if name in visible]


def _answer_items(found: Found, regions: Sequence[Region], *, task_id: object) -> list[dict[str, Any]]:
    if not regions:
        return []
    value = ANSWERS[found.binding.control_tag].encode(regions)
    identity = _identity(found.binding, 0, task_id=task_id)
    return [_item(found, identity, value, fmean(region.score or 0.0 for region in regions))]


def _draw(found: Found, regions: Iterable[Region], *, task_id: object) -> Iterator[_Drawn]:
    for index, region in enumerate(regions):
        shape = SHAPES[found.binding.control_tag].encode(region, found.sheet)
        if shape is not None:
            yield _Drawn(found, region, _identity(found.binding, index, task_id=task_id), shape)


def _shape_items(drawn: _Drawn) -> Iterator[dict[str, Any]]:
    binding, region, score = drawn.found.binding, drawn.region, drawn.region.score or 0.0
    own_names = {binding.control_tag: [region.label]} if binding.has_names and not binding.labels_name else {}
    yield _item(drawn.found, drawn.identity, {**drawn.shape, **own_names}, score)
    if binding.labels_name:
        named = _item(drawn.found, drawn.identity, {**drawn.shape, "labels": [region.label]}, score)
        yield {**named, "from_name": binding.labels_name, "type": "labels"}


def _answers_about(
    drawn: _Drawn,
    asked: Iterable[tuple[Found, Mapping[_Place | None, list[Region]]]],
    given: Mapping[str, tuple[str, ...]],
) -> Iterator[dict[str, Any]]:
    """Write what was answered about one region, under its id and with its geometry.

    Args:
        drawn: The region.
        asked: The answers to what is asked for each region, by its place.
        given: Labels of the answers to other questions.
    """
    binding, place = drawn.found.binding, _place(bounding_box(drawn.region))
    answers = {
        found.binding.control_name: (found, by_place.get(place, []))
        for found, by_place in asked
        if found.binding.object_name == binding.object_name and place is not None
    }
    of_region = {name: (drawn.region.label,) for name in (binding.control_name, binding.labels_name) if name}
    conditions = {name: (found.binding.conditions, _labels(regions)) for name, (found, regions) in answers.items()}
    visible = _visible(conditions, {**given, **of_region})
    for name, (found, regions) in answers.items():
        if name in visible and regions:
            value = {**drawn.shape, **ANSWERS[found.binding.control_tag].encode(regions)}
            answer = replace(found, width_px=drawn.found.width_px, height_px=drawn.found.height_px)
            yield _item(answer, drawn.identity, value, fmean(region.score or 0.0 for region in regions))


def _identity(binding: Binding, index: int, *, task_id: object) -> str:
    written = f"{task_id}\n{binding.control_name}\n{binding.object_name}\n{index}"
    return hashlib.sha256(written.encode(errors="replace")).hexdigest()[:12]


def _item(found: Found, identity: str, value: dict[str, Any], score: float) -> dict[str, Any]:
    binding = found.binding
    size = {"original_width": found.width_px, "original_height": found.height_px, "image_rotation": 0}
    return {
        "id": identity,
        "from_name": binding.control_name,
        "to_name": binding.object_name,
        "type": binding.control_tag,
        "origin": "prediction",
        **(size if binding.schema.medium is Medium.IMAGE else {}),
        "value": value,
        "score": score,
    }
