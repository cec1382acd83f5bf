"""How does an ONNX file become a checkpoint that is served like any other?"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models import checkpoint
from models.checkpoint import Manifest
from models.family import FamilyError, FitSettings
from models.images import Image
from models.imported.layouts import LAYOUTS, Array, Candidates, guess
from models.imported.preparing import Fit, Preparation
from models.labels import Label, LabelSchema, Objective
from models.runtime import Session

_USUAL_SIDE_PX = {Objective.DETECTION: 640}
"""Of an input whose size the file leaves open."""
_IMAGENET = Preparation(0, 0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def import_onnx(
    file: Path,
    folder: Path,
    objective: Objective,
    *,
    names: Sequence[str] = (),
    layout: str | None = None,
    changes: dict[str, Any] | None = None,
    min_score: float | None = None,
) -> Manifest:
    """Write a checkpoint for an ONNX file that was trained elsewhere.

    Args:
        file: One file; weights kept beside it are not supported.
        folder: Where the checkpoint goes.
        objective: DETECTION, CLASSIFICATION or MULTI_LABEL.
        names: The model's labels in its order; empty where the file says them (`names` in its metadata).
        layout: One of `LAYOUTS`; None: found out by running it on a grey image.
        changes: What differs from the layout's usual `Preparation`.
        min_score: Boxes, or labels of MULTI_LABEL, with a smaller score are not answered; None: 0.25 and 0.5.

    Raises:
        FamilyError: The file cannot be used; the message says why and what to do.
    """
    if objective not in (Objective.DETECTION, Objective.CLASSIFICATION, Objective.MULTI_LABEL):
        raise FamilyError(f"An ONNX model can answer boxes or choices, not {objective.value.replace('_', ' ')}.")
    session = _open(file)
    names = list(names) or _names_in(session)
    is_detector = objective is Objective.DETECTION
    preparation = _preparation(session, objective, layout, changes or {})
    outputs = _probe(session, preparation)
    inputs: dict[str, Any] = {"min_score": min_score if min_score is not None else 0.25 if is_detector else 0.5}
    if is_detector:
        found = layout or guess(outputs, preparation.width_px, preparation.height_px)
        if found is None:
            shapes = ", ".join(str(output.shape) for output in outputs)
            raise FamilyError(f"The outputs {shapes} are of no known layout; say which one: {', '.join(LAYOUTS)}.")
        preparation = _preparation(session, objective, found, changes or {})
        num_labels = _decoded(found, _probe(session, preparation), preparation).scores_NK.shape[1]
        inputs["layout"] = found
        is_counted = not LAYOUTS[found].is_chosen
    else:
        num_labels, is_counted = outputs[0].size, True
        inputs["is_probability"] = _is_probability(outputs[0], objective)
    if not names or (is_counted and len(names) != num_labels):
        said = f"{len(names)} names were given" if names else "the file does not name them"
        raise FamilyError(
            f"The model has {num_labels} labels and {said}; give a file with one name per line, in order."
        )
    schema = LabelSchema(objective, tuple(Label(name) for name in _unique(names)))
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, folder / checkpoint.ONNX)
    manifest = Manifest(
        family="onnx_detector" if is_detector else "onnx_classifier",
        schema=schema,
        settings=FitSettings(),
        inputs={"preparation": preparation.to_json(), **inputs},
        weights_source=f"imported from {file.name}",
        libraries={},
        metrics={},
        held_out={},
    )
    checkpoint.write_manifest(folder, manifest)
    return manifest


def _open(file: Path) -> Session:
    try:
        session = Session(file, device="cpu")
    except Exception as error:  # ONNX Runtime raises many kinds, all of which say: not loadable
        raise FamilyError(f"{file.name} cannot be loaded by ONNX Runtime ({type(error).__name__}).") from error
    shape = session.inputs[0].shape if session.inputs else ()
    if len(session.inputs) != 1 or len(shape) not in (3, 4) or shape[-3] not in (3, None):
        said = ", ".join(f"{one.name} {list(one.shape)}" for one in session.inputs)
        raise FamilyError(f"The model should take one image of shape (1, 3, height, width), not {said}.")
    return session


def _names_in(session: Session) -> list[str]:
    try:
        said = ast.literal_eval(session.metadata.get("names", "{}"))
    except (ValueError, SyntaxError):
        return []
    return [str(said[key]) for key in sorted(said)] if isinstance(said, dict) else [str(name) for name in said]


def _preparation(session: Session, objective: Objective, layout: str | None, changes: dict[str, Any]) -> Preparation:
    usual = _USUAL_SIDE_PX.get(objective, 224)
    height_px, width_px = (side or usual for side in session.inputs[0].shape[-2:])
    if objective is not Objective.DETECTION:
        base = _IMAGENET
    else:
        base = LAYOUTS[layout].preparation if layout else Preparation(0, 0, Fit.CENTRE)
    return replace(base, **{"width_px": width_px, "height_px": height_px, **changes})


def _probe(session: Session, preparation: Preparation) -> list[Array]:
    grey = np.full((64, 64, 3), 128, dtype=np.uint8)
    pixels, _ = preparation.prepare(Image(grey, 64, 64))
    try:
        return session.run({session.inputs[0].name: pixels})
    except Exception as error:  # likewise, for a model that cannot be computed
        raise FamilyError(
            f"The model does not run on an image of {preparation.width_px} × {preparation.height_px} pixels "
            f"({type(error).__name__})."
        ) from error


def _decoded(layout: str, outputs: Sequence[Array], preparation: Preparation) -> Candidates:
    try:
        return LAYOUTS[layout].decode(outputs, preparation.width_px, preparation.height_px)
    except (ValueError, IndexError, StopIteration) as error:
        shapes = ", ".join(str(output.shape) for output in outputs)
        raise FamilyError(f"The outputs {shapes} are not those of the layout {layout}.") from error


def _is_probability(output: Array, objective: Objective) -> bool:
    values = output.astype(np.float64).ravel()
    is_within = bool((values >= -1e-3).all() and (values <= 1 + 1e-3).all())
    return is_within and (objective is Objective.MULTI_LABEL or abs(float(values.sum()) - 1) < 0.02)


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names, those that occur again with a number behind them: labels are told apart by name."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique
