"""Several labelling configs → one: each control keeps its name, and what they show is shown once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

from adapters.label_studio.label_config.tags import read_tags

EMPTY = "<View></View>"
_Element = ElementTree.Element


def merge(document: str, controls: Mapping[str, str]) -> str:
    """Return a config with controls of other configs.

    A control that the config has is replaced where it stands. Otherwise all that is in the control's own config comes
    after what is there, less what shows something that is shown already.

    Args:
        document: The config to start from.
        controls: Configs by the name of the control that is taken from each.

    >>> box = '<View><Image name="i" value="$i"/><Rectangle name="box" toName="i"/></View>'
    >>> merge('<View><Image name="photo" value="$i"/></View>', {"box": box})
    '<View><Image name="photo" value="$i" /><Rectangle name="box" toName="photo" /></View>'

    Raises:
        Invalid: One of the configs cannot be read.
    """
    merged = _parse(document)
    for name, own in controls.items():
        part = _parse(own)
        control = _named(part, name)
        here = _named(merged, name)
        if control is not None and here is not None:
            _replace(merged, here, control)
        else:
            _append(merged, part)
    return ElementTree.tostring(merged, encoding="unicode")


def _parse(document: str) -> _Element:
    read_tags(document)  # refuses what could grow without bound
    return ElementTree.fromstring(document.strip())  # noqa: S314 - it was just read, and has no DOCTYPE


def _replace(root: _Element, here: _Element, control: _Element) -> None:
    parent = next(each for each in root.iter() if here in list(each))
    control.set(_spelling(control, "toName"), _get(here, "toName"))
    control.tail = here.tail
    parent[list(parent).index(here)] = control


def _append(root: _Element, part: _Element) -> None:
    """Add what a config holds; an object of the same name that shows something else gets another name."""
    shown = {_get(each, "name"): _get(each, "value") for each in _objects(root)}
    taken = {_get(each, "name") for each in root.iter()}
    for each in list(_objects(part)):
        name, value = _get(each, "name"), _get(each, "value")
        same = next((other for other, its_value in shown.items() if its_value == value), None)
        if same is None and name not in taken:
            continue
        new = same or next(f"{name}_{number}" for number in range(2, 1000) if f"{name}_{number}" not in taken)
        each.set(_spelling(each, "name"), new)
        for control in part.iter():
            if _get(control, "toName") == name:
                control.set(_spelling(control, "toName"), new)
        if same is not None:
            parent = next(around for around in part.iter() if each in list(around))
            parent.remove(each)
    root.extend(part)


def _objects(root: _Element) -> Iterator[_Element]:
    return (each for each in root.iter() if _get(each, "name") and _get(each, "value") and not _get(each, "toName"))


def _named(root: _Element, name: str) -> _Element | None:
    return next((each for each in root.iter() if _get(each, "name") == name and _get(each, "toName")), None)


def _get(element: _Element, attribute: str) -> str:
    return element.get(_spelling(element, attribute), "")


def _spelling(element: _Element, attribute: str) -> str:
    """Return an attribute's name as an element has it: its case does not matter to Label Studio."""
    return next((name for name in element.keys() if name.lower() == attribute.lower()), attribute)  # noqa: SIM118 - an element is no dict
