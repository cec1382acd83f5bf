"""A picture with a disc to point at, and what an annotator's editor sends and gets when one does."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from builders import predict_body, task
from flask.testing import FlaskClient
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image

from adapters.label_studio.label_config import parse
from adapters.label_studio.results import decode
from models.outlines import fill
from models.regions import Box, Mask, Polygon

WIDTH, HEIGHT = 320, 240
CENTRE, RADIUS = (120, 100), 50
"""In pixels: a light disc on dark ground; a second, smaller one is far from it."""
LABELS = {
    "keypointlabels": "KeyPointLabels",
    "rectanglelabels": "RectangleLabels",
    "ellipselabels": "EllipseLabels",
    "polygonlabels": "PolygonLabels",
    "brushlabels": "BrushLabels",
    "bitmasklabels": "BitmaskLabels",
}


def config(*kinds: str, labels: tuple[str, ...] = ("Nut", "Bolt")) -> str:
    """Return a config with one control of each kind, named like its tag."""
    inside = "".join(f'<Label value="{label}"/>' for label in labels)
    controls = "".join(f'<{LABELS[kind]} name="{kind}" toName="photo">{inside}</{LABELS[kind]}>' for kind in kinds)
    return f'<View><Image name="photo" value="$img"/>{controls}</View>'


POINTS_TO_MASKS = config("keypointlabels", "brushlabels")


def disc() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.hypot(x - CENTRE[0], y - CENTRE[1]) < RADIUS


def photo(*, orientation: int = 1) -> bytes:
    """Return a picture with some noise, so that no two pixels are quite the same."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    pixels = np.full((HEIGHT, WIDTH, 3), 40.0)
    pixels[disc()] = (210, 190, 60)
    pixels[np.hypot(x - 260, y - 60) < 20] = (210, 190, 60)
    pixels = np.clip(pixels + draw.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    return file.getvalue()


def item(kind: str, value: dict[str, Any], *, name: str = "kA1", label: str = "Nut", **extra: Any) -> dict[str, Any]:
    return {
        "id": name,
        "from_name": kind,
        "to_name": "photo",
        "type": kind,
        "origin": "manual",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {**value, kind: [label]},
        **extra,
    }


def click(x: float = CENTRE[0], y: float = CENTRE[1], **extra: Any) -> dict[str, Any]:
    """Return a smart key point at a pixel."""
    return item("keypointlabels", {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 0.3}, **extra)


def rectangle(*, margin: float = 8, **extra: Any) -> dict[str, Any]:
    """Return a smart rectangle around the disc."""
    (x, y), reach = CENTRE, RADIUS + margin
    value = {"x": 100 * (x - reach) / WIDTH, "y": 100 * (y - reach) / HEIGHT}
    return item(
        "rectanglelabels",
        {**value, "width": 200 * reach / WIDTH, "height": 200 * reach / HEIGHT, "rotation": 0},
        **extra,
    )


def ask(
    client: FlaskClient, xml: str, context: object, *tasks: dict[str, Any], project: str | None = None
) -> dict[str, Any]:
    sent = tasks or (task(1, photo()),)
    changes = {} if project is None else {"project": project}
    body = predict_body(*sent, label_config=xml, context=context, **changes)
    response = client.post("/predict", data=json.dumps(body))
    assert response.status_code == 200
    found: dict[str, Any] = response.get_json()
    return found


def suggested(client: FlaskClient, xml: str, *items: dict[str, Any], **of: Any) -> dict[str, Any]:
    """Ask with prompts that must find one region; return it."""
    found = ask(client, xml, {"result": list(items)}, **of)
    [entry] = found["results"]
    assert "detail" not in found, found["detail"]
    [region] = entry["result"]
    assert not LabelInterface(xml).validate_prediction(
        {"result": [region], "score": entry["score"]}, return_errors=True
    )
    return region


def drawn(region: dict[str, Any], xml: str) -> np.ndarray:
    """Return which pixels a suggestion covers."""
    [binding] = [binding for binding in parse(xml).bindings if binding.control_name == region["from_name"]]
    regions = decode([region], binding).regions
    assert regions is not None
    [shape] = regions
    if isinstance(shape, Mask):
        return shape.to_array()
    if isinstance(shape, Polygon):
        return fill(shape.points, WIDTH, HEIGHT)
    assert isinstance(shape, Box)
    if region["type"] == "ellipselabels":
        assert shape.rotation == 0
        y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        return ((x / WIDTH - shape.x) / shape.width) ** 2 + ((y / HEIGHT - shape.y) / shape.height) ** 2 < 0.25
    return fill(shape.corners, WIDTH, HEIGHT)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())
