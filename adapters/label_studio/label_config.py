"""Label Studio's XML labelling config → what there is to learn, and where in a task it is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from xml.parsers import expat

from backend.errors import Invalid
from models.labels import Label, LabelSchema, Objective

MAX_BYTES = 1 << 20
"""Longer configs are refused; the largest that people use, with thousands of choices, have about 300 kB."""
MAX_DEPTH = 200
"""Tags nested deeper are refused; Label Studio itself stops at 256."""


@dataclass(frozen=True, slots=True)
class Condition:
    """When Label Studio shows a control: `visibleWhen`, `whenTagName` and `whenChoiceValue` in one.

    Attributes:
        control_name: Whose answer decides; None means that of any control.
        choices: Answers that count; none means that any answer does.
        is_negated: Whether the control is shown as long as there is no such answer.
    """

    control_name: str | None
    choices: tuple[str, ...]
    is_negated: bool

    def holds(self, answers: Mapping[str, tuple[str, ...]]) -> bool:
        """Tell whether the control is shown, given the labels chosen for each control."""
        deciding = [chosen for name, chosen in answers.items() if self.control_name in (None, name)]
        given = any(label in self.choices if self.choices else True for chosen in deciding for label in chosen)
        return given is not self.is_negated


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a schema is attached: the control tag that asks, the object tag that shows, the task field that feeds it.

    Attributes:
        control_name: `from_name` of results.
        control_tag: Lower case; the `type` of results.
        object_name: `to_name` of results.
        object_tag: Lower case.
        data_key: The field of the task's data that the object shows, without the "$".
        schema: What may be answered. Names are those valid in results: a label's alias where it has one.
        is_per_region: Whether it is asked for each region that is drawn on the object, not once for all of it.
        score_threshold: Answers with a smaller score are not given.
        conditions: All must hold for Label Studio to show the control.
    """

    control_name: str
    control_tag: str
    object_name: str
    object_tag: str
    data_key: str
    schema: LabelSchema
    is_per_region: bool = False
    score_threshold: float = 0.0
    conditions: tuple[Condition, ...] = ()

    def find_data(self, data: Mapping[str, Any]) -> Any | None:
        """Return what the object shows from a task's data, or None; a key "a.b[0]" may name a nested value."""
        if self.data_key in data:
            return data[self.data_key]
        found: Any = data
        for step in re.findall(r"[^.\[\]]+", self.data_key):
            if isinstance(found, Mapping):
                found = found.get(step)
            elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
                found = found[int(step)]
            else:
                return None
        return found


@dataclass(frozen=True, slots=True)
class Unlearnable:
    """A control that no model of this release learns.

    Attributes:
        control_name: Its name.
        tag: As it is written in the config.
        reason: A sentence for people; its subject is the control.
    """

    control_name: str
    tag: str
    reason: str


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """A labelling config as models see it; the controls are in the order of the XML."""

    bindings: tuple[Binding, ...]
    unlearnable: tuple[Unlearnable, ...]

    @property
    def content_key(self) -> str:
        """Identify what there is to learn: it changes with controls, data keys and labels, not with layout or hints."""
        content = [[b.control_name, b.object_name, b.data_key, b.schema.to_json()] for b in self.bindings]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


@lru_cache(maxsize=64)
def parse(xml: str) -> LabelConfig:
    """Read a labelling config; the newest 64 are kept in memory.

    >>> config = parse('''<View><Image name="photo" value="$img"/><Choices name="pet" toName="photo">
    ...   <Choice value="Cat" predicted_values="tabby, lynx"/><Choice value="Dog" alias="d"/></Choices></View>''')
    >>> config.bindings[0].data_key, config.bindings[0].schema.names
    ('img', ('Cat', 'd'))

    Raises:
        Invalid: The text cannot be read; the message is one short line of Latin-1, fit for an HTTP reason phrase.
    """
    tags = _read_tags(xml)
    objects = {tag.attributes["name"]: tag for tag in tags if tag.is_object}
    bindings: dict[str, Binding] = {}
    unlearnable: list[Unlearnable] = []
    for control in filter(lambda tag: tag.is_control, tags):
        name = control.attributes["name"]
        try:
            if name in bindings:
                raise _CannotLearn("has the name of another control")
            bindings[name] = _bind(control, objects)
        except _CannotLearn as reason:
            unlearnable.append(Unlearnable(name, control.name, str(reason)))
    return LabelConfig(tuple(bindings.values()), tuple(unlearnable))


# What can be learnt from which tag ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ControlTag:
    """What has to be known about a control tag to learn it; `results` has the other half, its form in results.

    Attributes:
        label_tag: The tag inside it that names one label.
        object_tags: What it may be attached to.
        objective: Tells from the attributes what is to be found.
    """

    label_tag: str
    object_tags: frozenset[str]
    objective: Callable[[Mapping[str, str]], Objective]


def _choices_objective(attributes: Mapping[str, str]) -> Objective:
    return Objective.MULTI_LABEL if attributes.get("choice") == "multiple" else Objective.CLASSIFICATION


_CONTROL_TAGS = {
    "choices": _ControlTag("choice", frozenset({"image"}), _choices_objective),
}


class _CannotLearn(Exception):
    """The reason for an `Unlearnable`."""


def _bind(control: _Tag, objects: Mapping[str, _Tag]) -> Binding:
    attributes = control.attributes
    if _is_true(attributes.get("model_skip")):
        raise _CannotLearn('is left out because of model_skip="true"')
    kind = _CONTROL_TAGS.get(control.kind)
    if kind is None:
        raise _CannotLearn(f"is a <{control.name}>, which this release does not learn; it learns <Choices> on <Image>")
    if any(tag.kind == "repeater" for tag in control.ancestors()):
        raise _CannotLearn("is repeated by a <Repeater>, which is not supported yet")
    if _is_true(attributes.get("perregion")):
        raise _CannotLearn("is asked for each region (perRegion), not once for the whole item")
    shown = _find_object(control, objects)
    if shown.kind not in kind.object_tags:
        raise _CannotLearn(f"is attached to a <{shown.name}>; this release learns <{control.name}> on <Image> only")
    return Binding(
        control_name=attributes["name"],
        control_tag=control.kind,
        object_name=shown.attributes["name"],
        object_tag=shown.kind,
        data_key=_find_data_key(shown),
        schema=_read_schema(control, kind),
        score_threshold=_read_threshold(control),
        conditions=_read_conditions(control),
    )


def _find_object(control: _Tag, objects: Mapping[str, _Tag]) -> _Tag:
    names = [name.strip() for name in control.attributes["toname"].split(",") if name.strip()]
    if len(names) != 1:
        raise _CannotLearn("is not attached to exactly one object (toName)")
    if names[0] not in objects:
        raise _CannotLearn(f'is attached to "{names[0]}", which the config does not define')
    return objects[names[0]]


def _find_data_key(shown: _Tag) -> str:
    if shown.attributes.get("valuelist"):
        raise _CannotLearn("is attached to several images at once (valueList), which is not supported yet")
    reference = re.fullmatch(r"\$([^\s,$]+)", shown.attributes["value"].strip())
    if reference is None:
        raise _CannotLearn(f'is attached to a <{shown.name}> whose value is not one field of the task, like "$image"')
    return reference[1]


def _read_schema(control: _Tag, kind: _ControlTag) -> LabelSchema:
    attributes = control.attributes
    if attributes.get("value", "").startswith("$") or attributes.get("apiurl"):
        raise _CannotLearn("takes its labels from each task (value or apiUrl); only labels written in the config work")
    tags = [tag for tag in control.inside if tag.kind == kind.label_tag]
    nested = any(tag.parent is not None and tag.parent.kind == kind.label_tag for tag in tags)
    if nested or _is_true(attributes.get("allownested")):
        raise _CannotLearn("has labels inside labels, which is not supported yet")
    named: dict[str, _Tag] = {}
    for tag in tags:
        if tag.label_name:
            named.setdefault(tag.label_name, tag)
    if any(re.search(r"\$[\w\[\].{}]", name) for name in named):
        raise _CannotLearn("has a label that refers to a field of the task with $")
    if len(named) < 2:
        raise _CannotLearn(f"has {'only one label' if named else 'no labels'}; there is nothing to tell apart")
    labels = tuple(Label(name, tag.synonyms(named)) for name, tag in named.items())
    return LabelSchema(kind.objective(attributes), labels)


def _read_threshold(control: _Tag) -> float:
    written = control.attributes.get("model_score_threshold") or control.attributes.get("score_threshold") or "0"
    try:
        threshold = float(written)
    except ValueError:
        threshold = float("nan")
    if not 0 <= threshold <= 1:
        name = _quote(control.attributes["name"])
        raise _invalid(f"model_score_threshold of {name} must be a number from 0 to 1")
    return threshold


def _read_conditions(control: _Tag) -> tuple[Condition, ...]:
    conditions = []
    for tag in (control, *control.ancestors()):
        when = tag.attributes.get("visiblewhen", "choice-selected" if tag.attributes.get("whenchoicevalue") else "")
        if when == "region-selected":
            raise _CannotLearn("is only shown while a region is selected, so it is not about the whole item")
        if when in ("choice-selected", "choice-unselected"):
            choices = tuple(filter(None, tag.attributes.get("whenchoicevalue", "").split(",")))
            name = tag.attributes.get("whentagname") or None
            conditions.append(Condition(name, choices, is_negated=when == "choice-unselected"))
    return tuple(conditions)


def _is_true(text: str | None) -> bool:
    return text is not None and text.strip().lower() in ("true", "1", "yes")


# XML ------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tag:
    """One tag. As in the editor, the case of tag and attribute names does not matter."""

    name: str
    attributes: dict[str, str]
    parent: _Tag | None = field(repr=False)
    control: _Tag | None = field(repr=False)
    """The innermost control around it."""
    inside: list[_Tag] = field(default_factory=list, repr=False)
    """Of a control: the tags below it, less those of a control inside it."""

    @property
    def kind(self) -> str:
        return self.name.lower()

    @property
    def is_control(self) -> bool:
        return bool(self.attributes.get("name") and self.attributes.get("toname")) and self.kind != "filter"

    @property
    def is_object(self) -> bool:
        attributes = self.attributes
        has_value = bool(attributes.get("value") or attributes.get("valuelist"))
        return has_value and bool(attributes.get("name")) and not attributes.get("toname")

    @property
    def label_name(self) -> str:
        """Of a label: its name in results."""
        return self.attributes.get("alias") or self.attributes.get("value", "")

    def synonyms(self, names: Mapping[str, object]) -> tuple[str, ...]:
        """Of a label: what else a model may call it; the name people see in place of the alias is the last."""
        predicted = [text.strip() for text in self.attributes.get("predicted_values", "").split(",")]
        shown = self.attributes.get("value", "")
        if shown not in names:
            predicted.append(shown)
        return tuple(dict.fromkeys(filter(None, predicted)))

    def ancestors(self) -> Iterator[_Tag]:
        """Yield the tags around it, the innermost first."""
        tag = self.parent
        while tag is not None:
            yield tag
            tag = tag.parent


def _read_tags(xml: str) -> list[_Tag]:
    """Return all tags in the order of the text; the first is the <View> around them."""
    if len(xml) > MAX_BYTES or len(xml.encode(errors="replace")) > MAX_BYTES:
        raise _invalid(f"it is longer than {MAX_BYTES:,} bytes")
    if "<!DOCTYPE" in xml:  # entities, which can grow without bound or name files, need one
        raise _invalid("it has a DOCTYPE, which is not allowed")
    tags: list[_Tag] = []
    open_tags: list[_Tag] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(open_tags) == MAX_DEPTH:
            raise _invalid(f"its tags are nested more than {MAX_DEPTH} deep")
        parent = open_tags[-1] if open_tags else None
        control = None if parent is None else parent if parent.is_control else parent.control
        tag = _Tag(name, {key.lower(): value for key, value in attributes.items()}, parent, control)
        if control is not None:
            control.inside.append(tag)
        open_tags.append(tag)
        tags.append(tag)

    def end(_name: str) -> None:
        open_tags.pop()

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(xml.strip(), True)
    except expat.ExpatError as error:
        raise _invalid(f"{expat.ErrorString(error.code)} at line {error.lineno}, column {error.offset + 1}") from error
    except UnicodeEncodeError as error:
        raise _invalid("it contains a character that XML cannot hold") from error
    if tags[0].kind != "view":
        raise _invalid(f"its outermost tag is <{_quote(tags[0].name)[1:-1]}>, not <View>")
    return tags


def _invalid(why: str) -> Invalid:
    return Invalid(f"The label config cannot be used: {why}.", code="label_config_invalid")


def _quote(text: str) -> str:
    """Show a name in a reason phrase: short, and nothing but printable ASCII."""
    shown = "".join(char if " " <= char <= "~" else "?" for char in text)
    return f'"{shown if len(shown) <= 40 else shown[:37] + "..."}"'
