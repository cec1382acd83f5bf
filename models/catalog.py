"""The menu of model families; reading it imports none of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from models.family import Family, Fit, Predictor
from models.labels import LabelSchema, Objective

FAMILIES: tuple[Family, ...] = (
    Family(
        name="image_classification",
        objectives=frozenset({Objective.CLASSIFICATION, Objective.MULTI_LABEL}),
        summary="One or several labels for a whole image.",
    ),
)


def find_family(schema: LabelSchema) -> Family | None:
    """Return the family that learns what a schema asks for, or None."""
    fitting = (f for f in FAMILIES if schema.objective in f.objectives and f.medium is schema.medium)
    return next(fitting, None)


def get_family(name: str) -> Family:
    """Return the family of that name.

    Raises:
        KeyError: There is none.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    raise KeyError(f"no model family is called {name!r}; there are {', '.join(f.name for f in FAMILIES)}")


def fitter(name: str) -> Fit:
    """Import the training half of a family (this imports torch)."""
    # NOTE: OpenMP's threads otherwise spin while they wait for each other; where other processes want the same cores
    # (this server's own, for one) a training step was measured to take 10 to 40 times as long. Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    return cast(Fit, import_module(f"models.families.{get_family(name).name}.fit").fit)


def predictor_loader(name: str) -> Callable[[Path, str], Predictor]:
    """Import the serving half of a family: a function from (checkpoint folder, device) to a predictor. No torch."""
    module = import_module(f"models.families.{get_family(name).name}.predict")
    return cast("Callable[[Path, str], Predictor]", module.load)
