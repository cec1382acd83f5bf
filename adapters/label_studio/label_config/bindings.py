"""What a labelling config says once it is read: which schema is attached where."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.labels import LabelSchema


@dataclass(frozen=True, slots=True)
class Condition:
    """When Label Studio shows a control: `visibleWhen`, `whenTagName`, `whenChoiceValue`, `whenLabelValue` in one.

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
        schema: What may be answered. Names are those valid in results: a label's alias where it has one; for a
            <Taxonomy> a path, see `paths`. Where regions have no names, the control's own name stands for all of them.
        labels_name: The <Labels> control that names its regions, where it is not the control itself (split form).
        is_per_region: Whether it is asked for each region that is drawn on the object, not once for all of it.
        score_threshold: Answers with a smaller score are not given.
        conditions: All must hold for Label Studio to show the control; where it is asked for each region, for that one.
        is_address: Whether the field of a text holds the address of the text.
        author_key: In a dialogue, the key of who speaks.
        phrase_key: In a dialogue, the key of what is said.
    """

    control_name: str
    control_tag: str
    object_name: str
    object_tag: str
    data_key: str
    schema: LabelSchema
    labels_name: str | None = None
    is_per_region: bool = False
    score_threshold: float = 0.0
    conditions: tuple[Condition, ...] = ()
    is_address: bool = False
    author_key: str = "author"
    phrase_key: str = "text"

    @property
    def has_names(self) -> bool:
        """Of a control that draws regions: whether they are given names; those of a lone <Rectangle> are not."""
        return self.labels_name is not None or self.control_tag.endswith("labels")

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
class Control:
    """Any control, learnable or not, with what Label Studio's own validation asks of its results.

    Attributes:
        name: `from_name`.
        tag: Lower case.
        object_names: Possible `to_name`s, in order.
        labels: Possible labels; None: any, because the config does not say.
        max_rating: Of a <Rating>.
    """

    name: str
    tag: str
    object_names: tuple[str, ...]
    labels: frozenset[str] | None
    max_rating: int = 5


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """A labelling config as models see it; the controls are in the order of the XML.

    Attributes:
        bindings: What is learnt.
        unlearnable: What is not, and why.
        controls: All controls, by name.
    """

    bindings: tuple[Binding, ...]
    unlearnable: tuple[Unlearnable, ...]
    controls: Mapping[str, Control] = field(default_factory=dict, compare=False)

    @property
    def content_key(self) -> str:
        """Identify what there is to learn: it changes with controls, data keys and labels, not with layout or hints."""
        content = [
            [b.control_name, b.object_name, b.object_tag, b.data_key, b.is_per_region, b.schema.to_json()]
            for b in self.bindings
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
