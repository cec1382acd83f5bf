"""The menu of model families; reading it imports none of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, cast

from models.family import Family, Fit, Predictor
from models.labels import LabelSchema, Medium, Objective

log = logging.getLogger(__name__)

FAMILIES: tuple[Family, ...] = (
    Family(
        name="image_classification",
        objectives=frozenset({Objective.CLASSIFICATION, Objective.MULTI_LABEL}),
        summary="One or several labels for a whole image.",
    ),
    Family(
        name="object_detection",
        objectives=frozenset({Objective.DETECTION}),
        summary="Boxes around things, upright or rotated.",
    ),
    Family(
        name="image_regression",
        objectives=frozenset({Objective.REGRESSION}),
        summary="One number for a whole image.",
    ),
    Family(
        name="key_points",
        objectives=frozenset({Objective.KEY_POINTS}),
        summary="Named points in an image.",
    ),
    Family(
        name="semantic_segmentation",
        objectives=frozenset({Objective.SEMANTIC_SEGMENTATION}),
        summary="Masks, one for each label.",
    ),
    Family(
        name="instance_segmentation",
        objectives=frozenset({Objective.INSTANCE_SEGMENTATION}),
        summary="Outlines, one for each thing.",
    ),
    Family(
        name="click_segmentation",
        objectives=frozenset({Objective.CLICK_SEGMENTATION}),
        summary="The outline of what an annotator points at.",
    ),
    Family(
        name="text_classification",
        objectives=frozenset({Objective.CLASSIFICATION, Objective.MULTI_LABEL}),
        summary="One or several labels for a whole text.",
        medium=Medium.TEXT,
    ),
    Family(name="onnx_detector", objectives=frozenset(), summary="Boxes by an ONNX model that was trained elsewhere."),
    Family(
        name="onnx_classifier", objectives=frozenset(), summary="Labels by an ONNX model that was trained elsewhere."
    ),
    Family(
        name="text_regression",
        objectives=frozenset({Objective.REGRESSION}),
        summary="One number for a whole text.",
        medium=Medium.TEXT,
    ),
    Family(
        name="sequence_labels",
        objectives=frozenset({Objective.SPANS}),
        summary="Labelled parts of a text, which may overlap.",
        medium=Medium.TEXT,
    ),
)


_own: dict[str, tuple[Family, Any]] = {}


def add_folder(folder: Path) -> None:
    """Add the families of one's own in a folder, one in each Python file; see `models.own`. They are asked first.

    A file that cannot be used is logged and left out: it must not keep the others from answering.
    """
    for path in sorted(folder.glob("*.py")) if folder.is_dir() else []:
        name = path.stem
        if name in _own or any(family.name == name for family in FAMILIES):
            continue
        try:
            _own[name] = _load_own(name, path)
        except Exception:
            log.exception("own family left out", extra={"file": path.name})


def _load_own(name: str, path: Path) -> tuple[Family, Any]:
    own = import_module("models.own")
    spec = spec_from_file_location(f"tandem_own_families.{name}", path)
    assert spec is not None and spec.loader is not None  # noqa: PT018 - a path that ends in .py has both
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    classes: list[Any] = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, own.OwnFamily) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise TypeError(f"{path.name} has {len(classes)} subclasses of OwnFamily; one is expected")
    return classes[0].line(name), classes[0]()


def find_family(schema: LabelSchema) -> Family | None:
    """Return the family that learns what a schema asks for, or None."""
    own = (family for family, _ in _own.values())
    fitting = (f for f in (*own, *FAMILIES) if schema.objective in f.objectives and f.medium is schema.medium)
    return next(fitting, None)


def get_family(name: str) -> Family:
    """Return the family of that name.

    Raises:
        KeyError: There is none.
    """
    known = {family.name: family for family in (*FAMILIES, *(own for own, _ in _own.values()))}
    if name not in known:
        raise KeyError(f"no model family is called {name!r}; there are {', '.join(known)}")
    return known[name]


def fitter(name: str) -> Fit:
    """Import the training half of a family (this imports torch)."""
    # NOTE: OpenMP's threads otherwise spin while they wait for each other; where other processes want the same cores
    # (this server's own, for one) a training step was measured to take 10 to 40 times as long. Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if name in _own:
        return cast(Fit, import_module("models.own").OwnFit(name, _own[name][1]))
    return cast(Fit, import_module(f"models.families.{get_family(name).name}.fit").fit)


def predictor_loader(name: str) -> Callable[[Path, str], Predictor]:
    """Import the serving half of a family: a function from (checkpoint folder, device) to a predictor. No torch."""
    if name in _own:
        predictor = import_module("models.own").OwnPredictor
        return lambda folder, _: cast(Predictor, predictor(_own[name][1], folder))
    module = import_module(f"models.families.{get_family(name).name}.predict")
    return cast("Callable[[Path, str], Predictor]", module.load)
