"""What tests predict with and on: tiny models that tell colours apart, images of one colour, Label Studio's bodies."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from flask.testing import FlaskClient
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from prometheus_client import REGISTRY

from backend.projects.service import LabelSet
from backend.services import Services
from backend.versions.registry import ModelVersion
from models.checkpoint import ONNX, WEIGHTS, Manifest, write_manifest
from models.family import FitSettings
from models.labels import LabelSchema, Objective

PROJECT = "7.1795203195"
CREATED_AT = "2026-11-20T19:33:15.123456Z"
"""When that project was created, as webhooks say it."""
COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}
CONFIG = """<View><Image name="photo" value="$img"/><Choices name="colour" toName="photo">
  <Choice value="red"/><Choice value="green"/></Choices></View>"""


def build_checkpoint(folder: Path, schema: LabelSchema, *, side_px: int = 8, sharpness: float = 20.0) -> Path:
    """Write a checkpoint of image_classification that needs no training: label k is as likely as channel k is bright.

    The labels should be up to three: for red, green and blue images, in this order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    num_labels = len(schema.labels)
    by_channel = np.eye(3, num_labels, dtype=np.float32) * sharpness
    bias = np.full(num_labels, -sharpness / 2, dtype=np.float32)
    last = "Softmax" if schema.objective is Objective.CLASSIFICATION else "Sigmoid"
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["means"]),
            helper.make_node("Gemm", ["means", "by_channel", "bias"], ["logits"]),
            helper.make_node(last, ["logits"], ["probabilities"]),
        ],
        "brightest_channel",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["B", 3, side_px, side_px])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["B", num_labels])],
        [numpy_helper.from_array(by_channel, "by_channel"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    (folder / ONNX).write_bytes(model.SerializeToString())
    (folder / WEIGHTS).write_bytes(b"")
    manifest = Manifest(
        family="image_classification",
        schema=schema,
        settings=FitSettings(),
        inputs={"side_px": side_px},
        weights_source="none: made by a test",
        libraries={},
        metrics={"accuracy": 1.0},
        held_out={},
    )
    write_manifest(folder, manifest)
    return folder


def add_version(services: Services, label_set: LabelSet, folder: Path, *, sharpness: float = 20.0) -> ModelVersion:
    """Give a label set a version of its own that answers from now on; other sharpness makes another version."""
    checkpoint = build_checkpoint(folder / f"sharpness-{sharpness}", label_set.schema, sharpness=sharpness)
    files = services.versions.keep(checkpoint)
    version = services.versions.register(label_set.id, files, run_id="01test", snapshot="0" * 64)
    services.versions.promote(version, reason="test")
    return version


def image_bytes(
    colour: str = "red", *, size: tuple[int, int] = (32, 24), form: str = "PNG", orientation: int = 1
) -> bytes:
    """Return an image file; with the EXIF orientation 6 a viewer shows it with width and height exchanged."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, COLOURS[colour]).save(file, form, exif=exif)
    return file.getvalue()


def data_url(content: bytes) -> str:
    """Return a URL that holds a file."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def task(task_id: int, image: bytes | str = "red") -> dict[str, Any]:
    """Return a task of a batch, with all fields of A.5; the image is a file's bytes, a colour or a URI."""
    uri = data_url(image_bytes(image)) if image in COLOURS else data_url(image) if isinstance(image, bytes) else image
    return {
        "id": task_id,
        "data": {"img": uri},
        "meta": {},
        "created_at": CREATED_AT,
        "updated_at": CREATED_AT,
        "is_labeled": False,
        "overlap": 1,
        "inner_id": task_id,
        "total_annotations": 0,
        "cancelled_annotations": 0,
        "total_predictions": 0,
        "comment_count": 0,
        "unresolved_comment_count": 0,
        "last_comment_updated_at": None,
        "project": 7,
        "updated_by": None,
        "file_upload": 12,
        "comment_authors": [],
        "annotations": [],
        "predictions": [],
    }


def setup_body(**changes: Any) -> dict[str, Any]:
    """Return the body of POST /setup (A.4); None leaves a field out."""
    body = {
        "project": PROJECT,
        "schema": CONFIG,
        "hostname": "http://localhost:8080",
        "access_token": "0f3c" * 10,
        "extra_params": {"threshold": 0.4},
    }
    return _changed(body, changes)


def predict_body(*tasks: dict[str, Any], context: Any = None, **changes: Any) -> dict[str, Any]:
    """Return the body of POST /predict (A.5); None leaves a field out."""
    params = {"login": None, "password": None, "context": context}
    return _changed({"tasks": list(tasks), "project": PROJECT, "label_config": CONFIG, "params": params}, changes)


def webhook_body(action: str, *, project: str = PROJECT, **items: Any) -> dict[str, Any]:
    """Return the body of POST /webhook (A.7), with a project's secrets in it as Label Studio sends them."""
    number = int(project.split(".")[0])
    return {
        "action": action,
        "project": {
            "id": number,
            "title": "Colours",
            "label_config": CONFIG,
            "created_at": CREATED_AT,
            "task_data_login": "viewer",
            "task_data_password": "hush-task-data",
            "token": "hush-project-token",
        },
        **items,
    }


def annotation(annotation_id: int, task_id: int, colour: str = "red") -> dict[str, Any]:
    """Return an annotation as events and exports carry it."""
    value = {"choices": [colour]}
    return {
        "id": annotation_id,
        "result": [{"id": "a", "from_name": "colour", "to_name": "photo", "type": "choices", "value": value}],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": CREATED_AT,
        "updated_at": CREATED_AT,
        "draft_created_at": None,
        "lead_time": 1.5,
        "import_id": None,
        "last_action": None,
        "bulk_created": False,
        "task": task_id,
        "project": 7,
        "completed_by": 1,
        "updated_by": 1,
        "parent_prediction": None,
        "parent_annotation": None,
        "last_created_by": None,
    }


def basic(user: str, password: str, *, encoding: str = "latin-1") -> dict[str, str]:
    """Return the header that Label Studio, whose HTTP client writes Latin-1, sends for a user and a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode()}


def _changed(body: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


TRAIN_BODY = {
    "project": PROJECT,
    "label_config": CONFIG,
    "annotations": [{**task(1), "annotations": [annotation(1, 1)]}],
}
POSTS: dict[str, dict[str, Any]] = {
    "setup": setup_body(),
    "predict": predict_body(task(1), task(2, "green")),
    "webhook": webhook_body("ANNOTATION_CREATED", annotation=annotation(1, 1), task=task(1)),
    "versions": {"project": PROJECT},
    "train": TRAIN_BODY,
    "job_status": {"job": "01j"},
    "validate": {"config": CONFIG},
    "delete": {"project": PROJECT},
    "duplicate_model": {"project_src": PROJECT, "project_dst": PROJECT},
}
"""A good body for each route that takes one."""


def predict(client: FlaskClient, *tasks: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    """Ask for predictions that must succeed; return one entry for each task."""
    response = client.post("/predict", data=json.dumps(predict_body(*tasks, **changes)))
    assert response.status_code == 200, response.status
    entries: list[dict[str, Any]] = response.get_json()["results"]
    assert len(entries) == len(tasks)
    return entries


def labels(entries: list[dict[str, Any]]) -> list[list[str]]:
    """Return what each entry says."""
    return [[label for item in entry["result"] for label in item["value"]["choices"]] for entry in entries]


def counted(name: str, **of: str) -> float:
    """Return a metric."""
    return REGISTRY.get_sample_value(name, of) or 0.0
