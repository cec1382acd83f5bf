"""Trainings that completed without training: runs whose version is a network made by hand."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from adapters.identifiers import spell
from backend.ids import new_id
from backend.projects.service import LabelSet
from backend.projects.tasks import SAID_HERE, Annotation, Task
from backend.services import Services
from backend.storage.columns import utc_now
from backend.storage.database import next_number
from backend.training.run import RunState, TrainingRun
from models.checkpoint import ONNX, WEIGHTS, Manifest, write_manifest
from models.families.object_detection.predict import Reading
from models.family import FitSettings
from models.labels import LabelSchema
from models.regions import Box, Region, to_json

GRID, SIDE_PX, CELL_PX = 8, 64, 8
"""The detector sees squares of `SIDE_PX`, as `GRID` × `GRID` cells."""
BOX_SIDE = 0.2
"""Of each box that it finds, as a fraction of the image."""
SHARPNESS = 8.0
COLOURS = ((230, 20, 20), (20, 230, 20))


def build_detector(folder: Path, schema: LabelSchema, *, min_score: float = 0.01) -> Path:
    """Write a checkpoint of object_detection that finds cells: the first label where they are red, the second green."""
    folder.mkdir(parents=True, exist_ok=True)
    to_logits = np.zeros((2, 3, 1, 1), dtype=np.float32)
    to_logits[0, :2, 0, 0] = SHARPNESS, -SHARPNESS
    to_logits[1, :2, 0, 0] = -SHARPNESS, SHARPNESS
    centre = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    boxes = np.full((1, 4, GRID, GRID), BOX_SIDE, dtype=np.float32)
    boxes[0, 0], boxes[0, 1] = centre[None, :], centre[:, None]
    constants = {
        "to_logits": to_logits,
        "bias": np.full(2, -SHARPNESS / 2, dtype=np.float32),
        "nothing": np.zeros((4, 3, 1, 1), dtype=np.float32),
        "boxes": boxes,
    }
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["images"], ["cells"], kernel_shape=[CELL_PX] * 2, strides=[CELL_PX] * 2),
            helper.make_node("Conv", ["cells", "to_logits", "bias"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], ["scores"]),
            helper.make_node("Conv", ["cells", "nothing"], ["zeros"]),
            helper.make_node("Add", ["zeros", "boxes"], ["shapes"]),
            helper.make_node("Concat", ["scores", "shapes"], ["output"], axis=1),
        ],
        "coloured_cells",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["B", 3, SIDE_PX, SIDE_PX])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["B", 6, GRID, GRID])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    (folder / ONNX).write_bytes(model.SerializeToString())
    (folder / WEIGHTS).write_bytes(b"")
    reading = Reading(SIDE_PX, SIDE_PX, False, (1.0, 1.0), min_score, 0.5, 0.9)
    write_manifest(
        folder,
        Manifest(
            family="object_detection",
            schema=schema,
            settings=FitSettings(),
            inputs=reading.to_json(),
            weights_source="none: made by a test",
            libraries={},
            metrics={"map_50": 1.0},
            held_out={},
        ),
    )
    return folder


def add_training(
    services: Services, label_set: LabelSet, checkpoint: Path, *, snapshot: str = "0" * 64, **fields: Any
) -> TrainingRun:
    """Add a run that has completed and made a version of a checkpoint."""
    files = services.versions.keep(checkpoint)
    with services.database.transaction() as session:
        run = TrainingRun(
            project_id=label_set.project_id,
            label_set_id=label_set.id,
            reason="test",
            family="object_detection",
            settings={"seed": 0},
            snapshot=snapshot,
            **fields,
        )
        session.add(run)
        session.flush()
        version = services.versions.register(label_set.id, files, run_id=run.id, snapshot=snapshot)
        run.state, run.version_id = RunState.COMPLETED.value, version.id
    return run


def paint(cells: Mapping[tuple[int, int], int], *, size: tuple[int, int] = (160, 80)) -> bytes:
    """Return an image file, black but for cells (column, row) of the detector's grid in the colour of a label."""
    width_px, height_px = size
    pixels = np.zeros((height_px, width_px, 3), dtype=np.uint8)
    for (column, row), label in cells.items():
        top, left = row * height_px // GRID, column * width_px // GRID
        pixels[top : top + height_px // GRID, left : left + width_px // GRID] = COLOURS[label]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def upload(
    services: Services,
    label_set: LabelSet,
    content: bytes,
    *,
    split: str | None = None,
    said: Sequence[Region] | None = None,
    external_id: str = "",
    size: tuple[int, int] = (160, 80),
) -> Task:
    """Add an image, and what is said about it; None: nobody has looked at it."""
    task_id = new_id()
    digest = services.blobs.put(content)
    with services.database.transaction() as session:
        task = Task(
            id=task_id,
            number=next_number(session, "task"),
            project_id=label_set.project_id,
            external_id=external_id or task_id,
            filename=f"{digest[:8]}.png",
            media={label_set.field: {"source": "upload", "sha256": digest}},
            content=digest,
            width_px=size[0],
            height_px=size[1],
            split=split,
        )
        session.add(task)
        session.flush()
        if said is not None:
            session.add(
                Annotation(
                    task_id=task.id,
                    label_set_id=label_set.id,
                    external_id=SAID_HERE,
                    regions=to_json(said),
                    updated_at=utc_now(),
                )
            )
    return task


def box_at(label: str, column: int, row: int, *, side: float = BOX_SIDE) -> Box:
    """Return the box that the detector finds for a cell."""
    return Box(label, (column + 0.5) / GRID, (row + 0.5) / GRID, side, side)


def path_of(run: TrainingRun) -> str:
    """Return the path of a training."""
    return f"/training/{spell('training_id', run.id)}"


def id_of(task: Task) -> str:
    """Return what agents call an image."""
    return spell("image_id", task.id)
