"""Label sets → Label Studio's XML labelling config: written, taken apart, changed with their labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from xml.etree import ElementTree

from models.labels import LabelSchema, Objective

IMAGE = "image"
"""What written configs call the image, and the field of a task's data that it is in."""

_CONTROLS = {
    Objective.DETECTION: "RectangleLabels",
    Objective.INSTANCE_SEGMENTATION: "PolygonLabels",
    Objective.SEMANTIC_SEGMENTATION: "BrushLabels",
    Objective.KEY_POINTS: "KeyPointLabels",
    Objective.CLASSIFICATION: "Choices",
    Objective.MULTI_LABEL: "Choices",
}
_PALETTE = (
    "#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#f032e6", "#9a6324", "#808000", "#000075",
    "#ffe119", "#42d4f4", "#bfef45", "#fabed4", "#dcbeff", "#800000", "#aaffc3", "#ffd8b1", "#a9a9a9", "#000000",
)  # fmt: skip
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


def color_of(index: int) -> str:
    """Return the colour of a label for which nobody chose one.

    >>> color_of(0), color_of(20)
    ('#e6194b', '#e6194b')
    """
    return _PALETTE[index % len(_PALETTE)]


def control_name_for(title: str) -> str:
    """Return what a control may be called whose label set people call so.

    >>> control_name_for("Cars & buses"), control_name_for("画像"), control_name_for("image")
    ('Cars-buses', 'labels', 'image-labels')
    """
    name = re.sub(r"[^A-Za-z0-9_]+", "-", title).strip("-")[:60] or "labels"
    return f"{name}-labels" if name == IMAGE else name


def write(schema: LabelSchema, control_name: str, *, colors: Mapping[str, str]) -> str:
    """Return the config of one label set about images.

    >>> from models.labels import Label
    >>> print(write(LabelSchema(Objective.DETECTION, (Label("cat"),)), "pets", colors={"cat": "#ff8800"}))
    <View>
      <Image name="image" value="$image" />
      <RectangleLabels name="pets" toName="image">
        <Label value="cat" background="#ff8800" />
      </RectangleLabels>
    </View>
    """
    root = ElementTree.Element("View")
    ElementTree.SubElement(root, "Image", name=IMAGE, value=f"${IMAGE}")
    attributes = {"name": control_name, "toName": IMAGE}
    if _CONTROLS[schema.objective] == "Choices":
        attributes["choice"] = "multiple" if schema.objective is Objective.MULTI_LABEL else "single"
    control = ElementTree.SubElement(root, _CONTROLS[schema.objective], attributes)
    for name in schema.names:
        _add_label(control, name, colors.get(name))
    return _text(root)


def extract(document: str, control_name: str, *, labels_name: str | None = None) -> str:
    """Return a config without the controls other than this one, and the one that names what it draws, if there is."""
    root = _parse(document)
    for parent, tag in _inside(root):
        if _is_control(tag) and tag.attrib["name"] not in (control_name, labels_name):
            parent.remove(tag)
    return _text(root)


def relabel(
    document: str,
    control_name: str,
    names: Sequence[str],
    *,
    renamed: Mapping[str, str],
    colors: Mapping[str, str],
) -> str:
    """Return a config in which a control has other labels: renamed in their place, added at the end, or gone.

    Args:
        document: The config.
        control_name: The control that has the labels inside it.
        names: All labels afterwards.
        renamed: New names by old ones.
        colors: "#rrggbb" by name afterwards, where they shall change.
    """
    root = _parse(document)
    control = next(tag for tag in root.iter() if _get(tag, "name") == control_name)
    written: set[str] = set()
    for parent, tag in _inside(control):
        name = _get(tag, "alias") or _get(tag, "value")
        if name is None:
            continue
        name = renamed.get(name, name)
        if name not in names:
            parent.remove(tag)
            continue
        written.add(name)
        tag.attrib = {key: value for key, value in tag.attrib.items() if key.lower() not in ("alias", "value")}
        tag.attrib = {"value": name, **tag.attrib}
        if name in colors:
            tag.set("background", colors[name])
    for name in names:
        if name not in written:
            _add_label(control, name, colors.get(name))
    return _text(root)


@lru_cache(maxsize=64)
def colors_in(document: str) -> Mapping[str, str]:
    """Return the colours that a config chooses, by label."""
    found = {}
    for tag in _parse(document).iter():
        color = _get(tag, "background") or ""
        if _COLOR.fullmatch(color):
            found[_get(tag, "alias") or _get(tag, "value") or ""] = color.lower()
    return found


def _add_label(control: ElementTree.Element, name: str, color: str | None) -> None:
    kind = "Choice" if control.tag.lower() in ("choices", "taxonomy") else "Label"
    background = {"background": color} if color else {}
    ElementTree.SubElement(control, kind, {"value": name, **background})


def _parse(document: str) -> ElementTree.Element:
    return ElementTree.fromstring(document.strip())  # noqa: S314 - it was read before, and has no DOCTYPE


def _inside(root: ElementTree.Element) -> list[tuple[ElementTree.Element, ElementTree.Element]]:
    """Return all tags below one, each with the tag around it."""
    return [(parent, tag) for parent in root.iter() for tag in parent]


def _get(tag: ElementTree.Element, name: str) -> str | None:
    """Return an attribute, whose case does not matter in Label Studio."""
    return next((value for key, value in tag.attrib.items() if key.lower() == name), None)


def _is_control(tag: ElementTree.Element) -> bool:
    return bool(_get(tag, "name") and _get(tag, "toname"))


def _text(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")
