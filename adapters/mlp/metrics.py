"""How good a model is, as agents read it (mlp.md §3): the headline metric by the name that its task type gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.alias_generators import to_camel

_NAMES = {
    "map_50": "map50",
    "map_50_95": "map50_95",
    "map_at_overlap": "mapAtIou",
    "ap_50": "ap50",
    "ap_50_95": "ap50_95",
    "ap_at_overlap": "apAtIou",
    "mean_iou": "miou",
}
_OUR_OWN = {"primary", "num_examples"}
"""Figures that say the same as others here."""
_VALIDATED = "val_"


def describe_metrics(measured: Mapping[str, Any], *, split: str, num_images: int | None) -> dict[str, Any] | None:
    """Return what was measured; None where nothing was.

    Args:
        measured: As `models.metrics` returns it.
        split: On which images: "val" or "test".
        num_images: How many; None where that is not known.

    >>> describe_metrics({"mean_iou": 0.5, "per_class": {"cat": {"iou": 0.5}}}, split="val", num_images=3)
    {'miou': 0.5, 'perClass': [{'label': 'cat', 'iou': 0.5}], 'split': 'val', 'evaluatedImages': 3}
    """
    figures = _figures(measured)
    if not figures:
        return None
    per_class = [{"label": label, **_figures(of)} for label, of in measured.get("per_class", {}).items()]
    return {**figures, "perClass": per_class, "split": split, "evaluatedImages": num_images}


def best_so_far(history: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what the best epoch was validated with, on images of train that were kept aside; None before the first.

    >>> best_so_far([{"epoch": 1, "loss": 0.1, "val_loss": 0.9, "val_accuracy": 0.5}])
    {'loss': 0.9, 'accuracy': 0.5, 'perClass': [], 'split': 'val', 'evaluatedImages': None}
    """
    validated = [row for row in history if "val_loss" in row]
    if not validated:
        return None
    best = min(validated, key=lambda row: float(row["val_loss"]))
    own = {name.removeprefix(_VALIDATED): value for name, value in best.items() if name.startswith(_VALIDATED)}
    return describe_metrics(own, split="val", num_images=None)


def _figures(measured: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _NAMES.get(name) or to_camel(name): value
        for name, value in measured.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in _OUR_OWN
    }
