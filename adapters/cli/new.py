"""Files to begin with: `tandem new family NAME`."""

from __future__ import annotations

import re

import click

from adapters.cli.opening import read_settings

_TEMPLATE = '''"""{title}: tells images apart by their mean colour. Change what it learns and how it answers."""

import numpy as np

from models.family import FamilyError
from models.labels import Objective
from models.own import OwnFamily
from models.regions import Choice


def describe(image):
    """Return what is seen of an image: here its mean colour, shape (3,)."""
    return image.pixels.reshape(-1, 3).mean(0) / 255


class {class_name}(OwnFamily):
    """The label whose images have the nearest mean colour."""

    objectives = frozenset({{Objective.CLASSIFICATION}})
    summary = "Labels by mean colour."
    min_side_px = 64

    def learn(self, contents, regions, schema):
        """Return the mean colour of each label, in the order of the schema."""
        seen = np.array([describe(image) for image in contents])
        labels = np.array([said[0].label for said in regions])
        if len(set(labels)) < 2:
            raise FamilyError("At least two different labels are needed.")
        return {{"centres": np.array([seen[labels == n].mean(0) if n in labels else [9, 9, 9] for n in schema.names])}}

    def answer(self, arrays, content, schema):
        """Return the nearest label; the score falls with its distance compared with the others."""
        distances = np.linalg.norm(arrays["centres"] - describe(content), axis=1)
        scores = np.exp(-10 * distances) / np.exp(-10 * distances).sum()
        return [Choice(schema.names[int(scores.argmax())], float(scores.max()))]
'''


@click.group()
def new() -> None:
    """Write files to begin with."""


@new.command()
@click.argument("name")
def family(name: str) -> None:
    """Write a model family of your own, a small one that works, into TANDEM_HOME/families."""
    from backend.errors import Conflict, Invalid
    from models.catalog import FAMILIES

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise Invalid("a family's name is lower case letters, digits and underscores, like mean_colour")
    path = read_settings().home / "families" / f"{name}.py"
    if path.exists() or any(known.name == name for known in FAMILIES):
        raise Conflict(f"there is a family called {name!r} already")
    path.parent.mkdir(parents=True, exist_ok=True)
    title = name.replace("_", " ").capitalize()
    class_name = "".join(part.capitalize() for part in name.split("_"))
    path.write_text(_TEMPLATE.format(title=title, class_name=class_name), encoding="utf-8")
    click.echo(f"wrote {path}")
    click.echo("It learns single choices on images from the next training on; restart Tandem to have it noticed.")
