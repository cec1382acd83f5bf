"""What can be learnt from which control tag, and why not from the others."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from adapters.label_studio.label_config.bindings import Binding, Condition
from adapters.label_studio.label_config.paths import join_path
from adapters.label_studio.label_config.tags import Tag, invalid, quote
from models.labels import Label, LabelSchema, Medium, Objective, Scale


class CannotLearn(Exception):
    """The reason for an `Unlearnable`."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What has to be known about a control tag to learn it; `results` has the other half, its form in results.

    Attributes:
        objective: What is to be found.
        label_tag: The tag inside it that names one label; "" where it has none of its own.
        media: What it may be attached to.
        is_answer: Whether it asks a question, so that it may be asked for each region; the others draw regions.
    """

    objective: Objective
    label_tag: str
    media: Mapping[str, Medium]
    is_answer: bool = False


_IMAGE = {"image": Medium.IMAGE}
_TEXT = {"text": Medium.TEXT}
_ANY = {"image": Medium.IMAGE, "text": Medium.TEXT, "hypertext": Medium.TEXT, "paragraphs": Medium.TEXT}

_OBJECT_NAMES = {"image": "<Image>", "text": "<Text>", "hypertext": "<HyperText>", "paragraphs": "<Paragraphs>"}

_SHAPES = {
    "rectangle": Objective.DETECTION,
    "ellipse": Objective.DETECTION,
    "polygon": Objective.INSTANCE_SEGMENTATION,
    "brush": Objective.SEMANTIC_SEGMENTATION,
    "bitmask": Objective.SEMANTIC_SEGMENTATION,
    "keypoint": Objective.KEY_POINTS,
}

KINDS: Mapping[str, _Kind] = {
    "choices": _Kind(Objective.CLASSIFICATION, "choice", _ANY, is_answer=True),
    "taxonomy": _Kind(Objective.MULTI_LABEL, "choice", _ANY, is_answer=True),
    "rating": _Kind(Objective.REGRESSION, "", _ANY, is_answer=True),
    "number": _Kind(Objective.REGRESSION, "", _ANY, is_answer=True),
    "labels": _Kind(Objective.SPANS, "label", _TEXT),
    **{tag: _Kind(objective, "", _IMAGE) for tag, objective in _SHAPES.items()},
    **{f"{tag}labels": _Kind(objective, "label", _IMAGE) for tag, objective in _SHAPES.items()},
}
"""By control tag in lower case."""

_REASONS = {
    "textarea": "it asks for free text, which no model of this release writes",
    "datetime": "it asks for a date, which no model of this release tells",
    "pairwise": "it compares items, which no model of this release does",
    "ranker": "it puts items in order, which no model of this release does",
    "magicwand": "its regions have a form of their own; <BrushLabels> on the same image are learnt",
    "vector": "no model of this release draws lines; <PolygonLabels> and <KeyPointLabels> are learnt",
    "vectorlabels": "no model of this release draws lines; <PolygonLabels> and <KeyPointLabels> are learnt",
    "hypertextlabels": "parts of formatted text are not learnt yet; <Labels> on <Text> are",
    "paragraphlabels": "parts of dialogues are not learnt yet; <Labels> on <Text> are",
    "timeserieslabels": "this release does not learn from time series",
    "timelinelabels": "this release does not learn from video",
    "videorectangle": "this release does not learn from video",
}
_MEDIA_REASONS = {
    "audio": "this release does not learn from sound",
    "audioplus": "this release does not learn from sound",
    "video": "this release does not learn from video",
    "timeseries": "this release does not learn from time series",
}


class Surroundings:
    """What else is in a config, as far as it matters to a control.

    Attributes:
        objects: By name.
        naming: By object names: the first <Labels> attached to them.
        drawn_on: Object names of the controls that draw regions without naming them.
    """

    def __init__(self, tags: Iterable[Tag]) -> None:
        self.objects: dict[str, Tag] = {}
        self.naming: dict[tuple[str, ...], Tag] = {}
        self.drawn_on: set[tuple[str, ...]] = set()
        for tag in tags:
            if tag.is_object:
                self.objects[tag.attributes["name"]] = tag
            elif tag.is_control and tag.kind == "labels" and not tag.is_set("model_skip"):
                self.naming.setdefault(tag.object_names, tag)
            elif tag.is_control and tag.kind in _SHAPES:
                self.drawn_on.add(tag.object_names)


def bind(control: Tag, around: Surroundings) -> Binding | None:
    """Attach what a control asks for, or return None where it only names what another control draws.

    Raises:
        CannotLearn: No model of this release learns it.
        Invalid: Its threshold is no score.
    """
    attributes = control.attributes
    if control.is_set("model_skip"):
        raise CannotLearn('is left out because of model_skip="true"')
    if any(tag.kind == "repeater" for tag in control.ancestors()):
        raise CannotLearn("is repeated by a <Repeater>, which is not supported yet")
    kind = KINDS.get(control.kind)
    if kind is None:
        why = _REASONS.get(control.kind, "which this release does not learn")
        raise CannotLearn(f"is a <{control.name}>{', ' if why.startswith('which') else ': '}{why}")
    shown = _find_object(control, around)
    if control.kind == "labels" and shown.kind == "image":
        if around.naming[control.object_names] is control and control.object_names in around.drawn_on:
            return None
        raise CannotLearn("names regions, but there is no <Rectangle>, <Polygon>, <Brush> … that draws them for it")
    if shown.kind not in kind.media:
        learnt = " and ".join(_OBJECT_NAMES[tag] for tag in kind.media)
        why = _MEDIA_REASONS.get(shown.kind, f"this release learns <{control.name}> on {learnt} only")
        raise CannotLearn(f"is attached to a <{shown.name}>; {why}")
    is_per_region = control.is_set("perregion")
    if is_per_region and not (kind.is_answer and shown.kind == "image"):
        raise CannotLearn("is asked for each region (perRegion), which is supported for questions about images only")
    labels = around.naming.get(control.object_names) if control.kind in _SHAPES else None
    return Binding(
        control_name=attributes["name"],
        control_tag=control.kind,
        object_name=shown.attributes["name"],
        object_tag=shown.kind,
        data_key=_find_data_key(shown),
        schema=_read_schema(control, labels, kind, kind.media[shown.kind]),
        labels_name=labels.attributes["name"] if labels else None,
        is_per_region=is_per_region,
        score_threshold=_read_threshold(control),
        conditions=_read_conditions(control, is_per_region=is_per_region),
        is_address=shown.attributes.get("valuetype", "").lower() == "url",
        author_key=shown.attributes.get("namekey") or "author",
        phrase_key=shown.attributes.get("textkey") or "text",
    )


def _find_object(control: Tag, around: Surroundings) -> Tag:
    names = control.object_names
    if len(names) != 1:
        raise CannotLearn("is not attached to exactly one object (toName)")
    if names[0] not in around.objects:
        raise CannotLearn(f'is attached to "{names[0]}", which the config does not define')
    return around.objects[names[0]]


def _find_data_key(shown: Tag) -> str:
    if shown.attributes.get("valuelist"):
        raise CannotLearn("is attached to several images at once (valueList), which is not supported yet")
    reference = re.fullmatch(r"\$([^\s,$]+)", shown.attributes["value"].strip())
    if reference is None:
        raise CannotLearn(f'is attached to a <{shown.name}> whose value is not one field of the task, like "$image"')
    return reference[1]


def _read_schema(control: Tag, labels: Tag | None, kind: _Kind, medium: Medium) -> LabelSchema:
    if kind.objective is Objective.REGRESSION:
        return LabelSchema(kind.objective, (), medium, _read_scale(control))
    if not kind.label_tag and labels is None:
        return LabelSchema(kind.objective, (Label(control.attributes["name"]),), medium)
    named = _named_tags(labels or control, kind.label_tag or "label")
    least = 2 if kind.is_answer else 1
    if len(named) < least:
        raise CannotLearn(f"has {'only one label; there is nothing to tell apart' if named else 'no labels'}")
    counts = Counter(tag.label_name for tag in named.values())
    found = tuple(Label(name, tuple(_synonyms(name, tag, named, counts))) for name, tag in named.items())
    return LabelSchema(_objective(control, kind), found, medium)


def _objective(control: Tag, kind: _Kind) -> Objective:
    if control.kind == "choices" and control.attributes.get("choice") == "multiple":
        return Objective.MULTI_LABEL
    if control.kind == "taxonomy" and control.attributes.get("maxusages") == "1":
        return Objective.CLASSIFICATION
    return kind.objective


def _named_tags(control: Tag, label_tag: str) -> dict[str, Tag]:
    """Return the tags of a control's labels by their names in results, in order."""
    if control.takes_labels_from_tasks:
        raise CannotLearn("takes its labels from each task (value or apiUrl); only labels written in the config work")
    tags = [tag for tag in control.inside if tag.kind == label_tag and tag.label_name]
    is_tree = control.kind == "taxonomy"
    parents = {id(tag.parent) for tag in tags if tag.parent is not None and tag.parent.kind == label_tag}
    if not is_tree and (parents or control.is_set("allownested")):
        raise CannotLearn("has labels inside labels, which is not supported yet; <Taxonomy> is")
    named: dict[str, Tag] = {}
    for tag in tags:
        if not (is_tree and control.is_set("leafsonly") and id(tag) in parents):
            named.setdefault(_path(tag, label_tag) if is_tree else tag.label_name, tag)
    if any(re.search(r"\$[\w\[\].{}]", name) for name in named):
        raise CannotLearn("has a label that refers to a field of the task with $")
    return named


def _path(tag: Tag, label_tag: str) -> str:
    above = [step.label_name for step in tag.ancestors() if step.kind == label_tag and step.label_name]
    return join_path([*reversed(above), tag.label_name])


def _synonyms(name: str, tag: Tag, named: Mapping[str, Tag], counts: Mapping[str, int]) -> Iterator[str]:
    """Yield what else a model may call a label; the name people see in place of the alias or the path is the last."""
    predicted = [text.strip() for text in tag.attributes.get("predicted_values", "").split(",")]
    unclear = set(named) | {label for label, count in counts.items() if count > 1}
    seen = [text for text in (tag.label_name, tag.attributes.get("value", "")) if text not in unclear]
    yield from (text for text in dict.fromkeys([*predicted, *seen]) if text and text != name)


def _read_scale(control: Tag) -> Scale:
    if control.kind == "rating":
        return Scale(1, max(1, max_rating(control)), 1)
    minimum, maximum, step = (_read_number(control.attributes.get(name)) for name in ("min", "max", "step"))
    if minimum is not None and maximum is not None and minimum > maximum:
        raise CannotLearn("has a min greater than its max")
    return Scale(minimum, maximum, step if step and step > 0 else None)


def max_rating(control: Tag) -> int:
    """Return the largest answer to a <Rating>."""
    return int(_read_number(control.attributes.get("maxrating")) or 5)


def _read_number(written: str | None) -> float | None:
    try:
        number = float(written or "nan")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _read_threshold(control: Tag) -> float:
    written = control.attributes.get("model_score_threshold") or control.attributes.get("score_threshold") or "0"
    try:
        threshold = float(written)
    except ValueError:
        threshold = float("nan")
    if not 0 <= threshold <= 1:
        name = quote(control.attributes["name"])
        raise invalid(f"model_score_threshold of {name} must be a number from 0 to 1")
    return threshold


def _read_conditions(control: Tag, *, is_per_region: bool) -> tuple[Condition, ...]:
    conditions = []
    for tag in (control, *control.ancestors()):
        attributes = tag.attributes
        implied = "choice-selected" if attributes.get("whenchoicevalue") else ""
        if is_per_region and tag is control and (attributes.get("whenlabelvalue") or attributes.get("whentagname")):
            implied = implied or "region-selected"
        when = attributes.get("visiblewhen", implied)
        if when == "region-selected" and not is_per_region:
            raise CannotLearn("is only shown while a region is selected, so it is not about the whole item")
        if when in ("choice-selected", "choice-unselected", "region-selected"):
            written = attributes.get("whenlabelvalue" if when == "region-selected" else "whenchoicevalue", "")
            choices = tuple(filter(None, written.split(",")))
            name = attributes.get("whentagname") or None
            conditions.append(Condition(name, choices, is_negated=when == "choice-unselected"))
    return tuple(conditions)
