"""Label Studio's XML → its tags, in order; whatever is sent is read or refused in one short line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from backend.errors import Invalid

MAX_BYTES = 1 << 20
"""Longer configs are refused; the largest that people use, with thousands of choices, have about 300 kB."""
MAX_DEPTH = 200
"""Tags nested deeper are refused; Label Studio itself stops at 256."""


@dataclass(slots=True)
class Tag:
    """One tag. As in the editor, the case of tag and attribute names does not matter.

    Attributes:
        name: As it is written.
        attributes: By name in lower case.
        parent: The tag around it.
        control: The innermost control around it.
        inside: Of a control: the tags below it, less those of a control inside it.
    """

    name: str
    attributes: dict[str, str]
    parent: Tag | None = field(repr=False)
    control: Tag | None = field(repr=False)
    inside: list[Tag] = field(default_factory=list, repr=False)

    @property
    def kind(self) -> str:
        """The name of the tag in lower case."""
        return self.name.lower()

    @property
    def is_control(self) -> bool:
        """Whether it asks for an answer."""
        return bool(self.attributes.get("name") and self.attributes.get("toname")) and self.kind != "filter"

    @property
    def is_object(self) -> bool:
        """Whether it shows something of a task."""
        attributes = self.attributes
        has_value = bool(attributes.get("value") or attributes.get("valuelist"))
        return has_value and bool(attributes.get("name")) and not attributes.get("toname")

    @property
    def object_names(self) -> tuple[str, ...]:
        """Of a control: the objects it is attached to."""
        return tuple(name.strip() for name in self.attributes["toname"].split(",") if name.strip())

    @property
    def label_name(self) -> str:
        """Of a label: its name in results."""
        return self.attributes.get("alias") or self.attributes.get("value", "")

    @property
    def takes_labels_from_tasks(self) -> bool:
        """Of a control: whether each task brings labels of its own."""
        return self.attributes.get("value", "").startswith("$") or bool(self.attributes.get("apiurl"))

    def is_set(self, attribute: str) -> bool:
        """Tell whether an attribute, in lower case, says yes."""
        return self.attributes.get(attribute, "").strip().lower() in ("true", "1", "yes")

    def ancestors(self) -> Iterator[Tag]:
        """Yield the tags around it, the innermost first."""
        tag = self.parent
        while tag is not None:
            yield tag
            tag = tag.parent


def read_tags(xml: str) -> list[Tag]:
    """Return all tags in the order of the text; the first is the <View> around them.

    Raises:
        Invalid: The text cannot be read; the message is one short line of Latin-1, fit for an HTTP reason phrase.
    """
    if len(xml) > MAX_BYTES or len(xml.encode(errors="replace")) > MAX_BYTES:
        raise invalid(f"it is longer than {MAX_BYTES:,} bytes")
    if "<!DOCTYPE" in xml:  # entities, which can grow without bound or name files, need one
        raise invalid("it has a DOCTYPE, which is not allowed")
    tags: list[Tag] = []
    open_tags: list[Tag] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(open_tags) == MAX_DEPTH:
            raise invalid(f"its tags are nested more than {MAX_DEPTH} deep")
        parent = open_tags[-1] if open_tags else None
        control = None if parent is None else parent if parent.is_control else parent.control
        tag = Tag(name, {key.lower(): value for key, value in attributes.items()}, parent, control)
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
        raise invalid(f"{expat.ErrorString(error.code)} at line {error.lineno}, column {error.offset + 1}") from error
    except UnicodeEncodeError as error:
        raise invalid("it contains a character that XML cannot hold") from error
    if tags[0].kind != "view":
        raise invalid(f"its outermost tag is <{quote(tags[0].name)[1:-1]}>, not <View>")
    return tags


def invalid(why: str) -> Invalid:
    """Return the error that refuses a config, with a short clause in ASCII."""
    return Invalid(f"The label config cannot be used: {why}.", code="label_config_invalid")


def quote(text: str) -> str:
    """Show a name in a reason phrase: short, and nothing but printable ASCII."""
    shown = "".join(char if " " <= char <= "~" else "?" for char in text)
    return f'"{shown if len(shown) <= 40 else shown[:37] + "..."}"'
