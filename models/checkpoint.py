"""The folder a fit leaves behind: what was learnt, how, from what, and how good it is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.family import FitSettings
from models.labels import LabelSchema
from models.regions import Region, from_json, to_json

MANIFEST = "manifest.json"
ONNX = "model.onnx"
"""What is served."""
WEIGHTS = "weights.pth"
"""The same weights as a torch state dictionary, for warm starts and download."""
FILES = (MANIFEST, ONNX, WEIGHTS)
ARRAYS = "arrays.npz"
"""What a family of one's own has learnt, in place of the ONNX file and the weights."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about a checkpoint but its weights.

    Attributes:
        family: Name of the family.
        schema: The labels it was trained with.
        settings: How it was fitted.
        inputs: What the family's predict.py must know, such as image side, mean and deviation; JSON.
        weights_source: Where the first weights came from, for people: "resnet18 from the folder /w (sha256 …)",
            "random: no pretrained weights were found".
        libraries: Versions of what computed the weights.
        metrics: On the held-out split; JSON. Empty where nothing was held out.
        held_out: Regions predicted for each held-out example by a model that never saw it, by example key.
    """

    family: str
    schema: LabelSchema
    settings: FitSettings
    inputs: Mapping[str, Any]
    weights_source: str
    libraries: Mapping[str, str]
    metrics: Mapping[str, Any]
    held_out: Mapping[str, tuple[Region, ...]]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest; whoever finds one may rely on the other files being there, so write it last."""
    stored = {
        "format": 1,
        "family": manifest.family,
        "schema": manifest.schema.to_json(),
        "settings": asdict(manifest.settings),
        "inputs": dict(manifest.inputs),
        "weights_source": manifest.weights_source,
        "libraries": dict(manifest.libraries),
        "metrics": dict(manifest.metrics),
        "held_out": {key: to_json(regions) for key, regions in sorted(manifest.held_out.items())},
    }
    partial = folder / (MANIFEST + ".partial")
    partial.write_text(json.dumps(stored, indent=1, sort_keys=True, allow_nan=False), encoding="utf-8")
    os.replace(partial, folder / MANIFEST)


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a checkpoint: its folder, or the file itself.

    Raises:
        FileNotFoundError: The fit never ended.
    """
    stored = json.loads((path / MANIFEST if path.is_dir() else path).read_text(encoding="utf-8"))
    return Manifest(
        family=stored["family"],
        schema=LabelSchema.from_json(stored["schema"]),
        settings=FitSettings(**stored["settings"]),
        inputs=stored["inputs"],
        weights_source=stored["weights_source"],
        libraries=stored["libraries"],
        metrics=stored["metrics"],
        held_out={key: from_json(regions) for key, regions in stored["held_out"].items()},
    )
