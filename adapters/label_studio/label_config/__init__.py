"""Label Studio's XML labelling config → what there is to learn, and where in a task it is."""

from __future__ import annotations

from functools import lru_cache

from adapters.label_studio.label_config.bindings import Binding, Condition, Control, LabelConfig, Unlearnable
from adapters.label_studio.label_config.learnable import CannotLearn, Surroundings, bind, max_rating
from adapters.label_studio.label_config.tags import MAX_BYTES, MAX_DEPTH, Tag, read_tags

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "Binding",
    "Condition",
    "Control",
    "LabelConfig",
    "Unlearnable",
    "parse",
]

_LABEL_TAGS = frozenset({"label", "choice"})


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
    tags = read_tags(xml)
    around = Surroundings(tags)
    controls: dict[str, Control] = {}
    bindings: list[Binding] = []
    unlearnable: list[Unlearnable] = []
    for tag in filter(lambda tag: tag.is_control, tags):
        name = tag.attributes["name"]
        try:
            if name in controls:
                raise CannotLearn("has the name of another control")
            controls[name] = _control(tag)
            if (binding := bind(tag, around)) is not None:
                bindings.append(binding)
        except CannotLearn as reason:
            unlearnable.append(Unlearnable(name, tag.name, str(reason)))
    return LabelConfig(tuple(bindings), tuple(unlearnable), controls)


def _control(tag: Tag) -> Control:
    labels = frozenset(label.label_name for label in tag.inside if label.kind in _LABEL_TAGS and label.label_name)
    is_known = bool(labels) and not tag.takes_labels_from_tasks
    return Control(
        name=tag.attributes["name"],
        tag=tag.kind,
        object_names=tag.object_names,
        labels=labels if is_known else None,
        max_rating=max_rating(tag),
    )
