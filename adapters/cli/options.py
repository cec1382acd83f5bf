"""JSON Schema ⇄ the command line: a verb's arguments as parameters of click, and what somebody wrote as JSON."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from adapters.cli.remote import Remote, commands
from adapters.verbs import Argument, Place, Verb

NULL = object()
"""What the word `null` stands for, where nothing is a value."""
_IGNORED = "Ignored."
_NAMED = {
    "project_id": "PROJECT is an id, or a name.",
    "workspace_id": "WORKSPACE is an id, or a name.",
    "label_set_id": "LABEL_SET is an id, or PROJECT/NAME.",
}


@dataclass(frozen=True, slots=True)
class _Field:
    """A part of what a verb takes that has a parameter of its own.

    Attributes:
        path: Where it is in what is given: the argument's name, and names inside of it.
        schema: Without references and without `null`.
    """

    path: tuple[str, ...]
    place: Place
    schema: Mapping[str, Any]
    is_required: bool
    is_nullable: bool

    @property
    def words(self) -> tuple[str, ...]:
        """What people call it."""
        return self.path[1:] if self.place is Place.WHOLE_BODY else self.path

    @property
    def parameter(self) -> str:
        """What functions call it."""
        return "_".join(map(_snake, self.words))


def options_of(command: str, *, leave_out: Collection[str] = ()) -> Callable[[Any], Any]:
    """Return a decorator that gives a hand-written command the parameters of the verb whose place it takes.

    Args:
        command: The verb's words.
        leave_out: Names of arguments that the command takes in its own way.
    """

    def decorate(function: Any) -> Any:
        vars(function).setdefault("__click_params__", []).extend(
            reversed(parameters(commands()[command], leave_out=leave_out))
        )
        return function

    return decorate


def parameters(verb: Verb, *, leave_out: Collection[str] = ()) -> list[click.Parameter]:
    """Return the parameters of click that a verb's arguments come to: parts of the path by position, others by name."""
    fields = [field for field in _fields(verb) if field.path[0] not in leave_out]
    return [_positional(field) if field.place is Place.PATH else _option(verb, field) for field in fields]


def described(verb: Verb) -> str:
    """Return what there is to say about a verb, with our words for its arguments."""
    flags = {f"`{field.words[-1]}`": f"`{_flags(field)[0].split('/')[0]}`" for field in _fields(verb)}
    text = "\n\n".join(filter(None, [verb.summary, " ".join(_explain(verb)), verb.description]))
    return re.sub("`[^`]+`", lambda found: flags.get(found[0], found[0]), text)


def example(verb: Verb) -> str:
    """Return a command line that works, or "" where the declaration of the verb shows none."""
    said = verb.operation.example
    if not said or verb.command != verb.operation.command:
        return ""
    fields = list(_fields(verb))
    words = [verb.command, *(_metavar(field) for field in fields if field.place is Place.PATH)]
    for field in fields:
        if field.place is not Place.PATH and len(field.words) == 1 and field.words[0] in said:
            value = said[field.words[0]]
            flags = _flags(field)
            if isinstance(value, bool):
                words.append(flags[0].split("/")[not value])
            else:
                is_words = isinstance(value, list) and all(isinstance(item, str) for item in value)
                words += [f"{flags[0]} {shlex.quote(_written(item))}" for item in (value if is_words else [value])]
    return " ".join(words)


def given(remote: Remote, verb: str | Verb, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what somebody wrote as the arguments of a verb: ids in place of names, and nothing that was left out.

    Args:
        remote: Who knows the ids.
        verb: Or the words of its command.
        values: By parameter, as click has read them; others are passed over.
    """
    verb = commands()[verb] if isinstance(verb, str) else verb
    found: dict[str, Any] = {}
    for field in _fields(verb):
        value = values.get(field.parameter)
        if value is None or value == ():
            continue
        if field.schema.get("type") == "array" and isinstance(value, tuple):
            value = [item for items in value for item in items]
        if value is NULL:
            value = None
        elif isinstance(value, str):
            value = _identify(remote, field.path[-1], value, found)
        inside = found
        for name in field.path[:-1]:
            inside[name] = dict(inside.get(name) or {})
            inside = inside[name]
        inside[field.path[-1]] = value
    return found


def _explain(verb: Verb) -> list[str]:
    """Return a sentence for each part of the path that may be a name."""
    return [_NAMED[field.parameter] for field in _fields(verb) if field.parameter in _NAMED and field.is_required]


def _identify(remote: Remote, argument: str, named: str, found: Mapping[str, Any]) -> str:
    if argument == "labelSetId" and "projectId" in found and "/" not in named and not named.startswith("lbs_"):
        named = f"{found['projectId']}/{named}"
    return remote.find(argument, named)


def _fields(verb: Verb) -> Iterator[_Field]:
    for argument in verb.arguments:
        yield from _fields_of(argument, verb.definitions)


def _fields_of(argument: Argument, definitions: Mapping[str, Any]) -> Iterator[_Field]:
    schema, is_nullable = _plain(argument.schema, definitions)
    inner = {name: _plain(each, definitions) for name, each in schema.get("properties", {}).items()}
    if argument.place is not Place.WHOLE_BODY:
        yield _Field((argument.name,), argument.place, schema, argument.is_required, is_nullable)
        inner = {name: each for name, each in inner.items() if each[0].get("type") not in ("object", "array")}
    for name, (found, may_be_null) in inner.items():
        is_required = argument.place is Place.WHOLE_BODY and name in schema.get("required", [])
        if found.get("description") != _IGNORED:
            yield _Field((argument.name, name), argument.place, found, is_required, may_be_null)


def _plain(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return a schema without references and without `null`, and whether `null` was allowed."""
    found = dict(schema)
    if "$ref" in found:
        found = {**definitions[found.pop("$ref").rpartition("/")[2]], **found}
    choices = found.get("anyOf", [])
    others = [each for each in choices if each.get("type") != "null"]
    if len(others) == 1:
        del found["anyOf"]
        found = {**_plain(others[0], definitions)[0], **found}
    if "items" in found:
        found["items"] = _plain(found["items"], definitions)[0]
    return found, len(others) < len(choices)


def _positional(field: _Field) -> click.Argument:
    return click.Argument([field.parameter], metavar=_metavar(field), type=_type(field))


def _metavar(field: _Field) -> str:
    noun = field.parameter.removesuffix("_id")
    return "BACKEND" if noun == "id" else noun.upper()


def _option(verb: Verb, field: _Field) -> click.Option:
    kind = field.schema.get("type")
    is_list = kind == "array"
    takes_null = field.is_nullable and verb.operation.method == "PATCH" and not is_list
    help_ = _help(field, takes_null=takes_null)
    names = [*_flags(field), field.parameter]
    if kind == "boolean":
        return click.Option(names, is_flag=True, default=None, help=help_)
    type_ = _type(field)
    return click.Option(
        names,
        type=_OrNull(type_) if takes_null else type_,
        multiple=is_list,
        required=field.is_required,
        help=help_,
    )


def _flags(field: _Field) -> list[str]:
    written = ".".join(_snake(word).replace("_", "-") for word in field.words)
    kind = field.schema.get("type")
    if kind == "boolean":
        return [f"--{written}/--no-{written}"]
    if written.endswith("-id"):
        return [f"--{written.removesuffix('-id')}", f"--{written}"]
    if kind == "array" and written.endswith("s"):
        return [f"--{written.removesuffix('s')}", f"--{written}"]
    return [f"--{written}"]


def _help(field: _Field, *, takes_null: bool) -> str:
    said = field.schema.get("description", "")
    default = field.schema.get("default")
    notes = [
        said if said.endswith((".", "")) and said else f"{said}.",
        "May be repeated." if field.schema.get("type") == "array" else "",
        "`null`: nothing." if takes_null and "`null`" not in said else "",
        f"[default: {_written(default)}]" if default not in (None, "", [], {}) else "",
    ]
    return " ".join(note for note in notes if note and note != ".")


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _type(field: _Field) -> click.ParamType[Any]:
    if field.schema.get("type") == "array":
        return _Items(field.schema.get("items", {}))
    return _scalar(field.schema) or _Json()


def _scalar(schema: Mapping[str, Any]) -> click.ParamType[Any] | None:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    is_open = {"min_open": "exclusiveMinimum" in schema, "max_open": "exclusiveMaximum" in schema}
    match schema:
        case {"enum": list(values)}:
            return click.Choice([str(value) for value in values])
        case {"type": "integer"}:
            return click.IntRange(low, high, **is_open)
        case {"type": "number"}:
            return click.FloatRange(low, high, **is_open)
        case {"type": "string"}:
            return click.STRING
    return None


class _Json(click.ParamType[Any]):
    """JSON, or with `@` the file that it is in; `@-` is standard input."""

    name = "json|@file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        if not isinstance(value, str):
            return value
        source, text = "It", value
        if value.startswith("@"):
            source = "standard input" if value == "@-" else value[1:]
            try:
                with click.open_file(value[1:], encoding="utf-8") as file:
                    text = file.read()
            except (OSError, UnicodeDecodeError) as error:
                self.fail(f"{value[1:]} cannot be read: {getattr(error, 'strerror', None) or error}", param, ctx)
        try:
            return json.loads(text)
        except ValueError as error:
            self.fail(f"{source} is not JSON: {error}. In a shell, put JSON into single quotes.", param, ctx)


class _Items(_Json):
    """One item of a list, or JSON with several.

    A word stands for an object that needs nothing but this word.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        choices = schema.get("anyOf", [schema])
        self._scalar = next(filter(None, map(_scalar, choices)), None)
        required = schema.get("required", [])
        self._key = required[0] if len(required) == 1 else ""
        if self._scalar:
            self.name = self._scalar.name if len(choices) == 1 else f"{self._scalar.name}|json|@file"
        elif self._key:
            self.name = f"{self._key}|json|@file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        """See `click.ParamType`."""
        is_json = not isinstance(value, str) or value.lstrip().startswith(("[", "{", "@"))
        if is_json:
            found = super().convert(value, param, ctx)
            return found if isinstance(found, list) else [found]
        if self._scalar:
            return [self._scalar.convert(value, param, ctx)]
        return [{self._key: value}] if self._key else [super().convert(value, param, ctx)]


class _OrNull(click.ParamType[Any]):
    """What another type takes, or the word `null`."""

    def __init__(self, other: click.ParamType[Any]) -> None:
        self._other = other
        self.name = other.name

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """See `click.ParamType`."""
        shown = self._other.get_metavar(param, ctx)
        return shown.replace("]", "|null]") if shown else f"{self.name.upper()}|null"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        return NULL if value in ("null", NULL) else self._other.convert(value, param, ctx)


def _snake(camel: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", camel).lower()
