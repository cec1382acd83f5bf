"""How long does an annotator wait after a click on a large photo, and how much of it is ours?"""

from __future__ import annotations

import io
import json
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from flask.testing import FlaskClient
from PIL import Image
from prometheus_client import REGISTRY

from adapters.label_studio.results import rle
from adapters.web import create_app
from backend.services import Services
from backend.settings import Settings
from backend.storage import migrations
from bench.report import Finding, at_most, exactly, show
from models.regions import Mask

_SIZE_PX = (4000, 3000)
_CELL_PX, _RADIUS_PX = 500, 190
"""The photo shows rows of discs; one is clicked on, the others may have been drawn."""
_NUM_CLICKS = 40
_NUM_DRAWN = 100
_KINDS = {"brushlabels": "BrushLabels", "bitmasklabels": "BitmaskLabels", "polygonlabels": "PolygonLabels"}


def main() -> None:
    """Print the table."""
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as folder:
        home = Path(folder)
        (home / "photo.jpg").write_bytes(_photo())
        settings = Settings(home=home, device="cpu", local_files_root=home)
        migrations.upgrade(settings.database)
        with closing(Services.build(settings)) as services:
            client = create_app(settings, services).test_client()
            for kind in _KINDS:
                findings += _measure(client, kind)
    show(f"A click on a photo of {_SIZE_PX[0]} × {_SIZE_PX[1]} pixels, image encoded before", findings)


def _measure(client: FlaskClient, kind: str) -> list[Finding]:
    _click(client, kind, 0, drawn=[])
    encodings = _metric("tandem_click_encodings_total")
    drawn = [_drawn(kind, number) for number in range(_NUM_DRAWN)]
    plain, crowded = [], []
    for number in range(_NUM_CLICKS):  # in turns, so that whatever else the machine does disturbs both alike
        plain.append(_click(client, kind, number, drawn=[]))
        crowded.append(_click(client, kind, number, drawn=drawn))
    waited, ours = zip(*plain, strict=True)
    ratio = _quantile([total for total, _ in crowded], 0.5) / _quantile(waited, 0.5)
    return [
        at_most(f"{kind}: p95", _quantile(waited, 0.95), 150, "ms"),
        Finding("… p50", f"{_quantile(waited, 0.5):.1f} ms"),
        at_most("… ours, not the segmenter's, p95", _quantile(ours, 0.95), 20, "ms"),
        Finding("… p50", f"{_quantile(ours, 0.5):.1f} ms"),
        at_most(f"… with {_NUM_DRAWN} regions drawn, p50, times as long", ratio, 1.1, "", digits=2),
        exactly("… images decoded or encoded", int(_metric("tandem_click_encodings_total") - encodings), 0),
    ]


def _click(client: FlaskClient, kind: str, number: int, *, drawn: list[dict[str, Any]]) -> tuple[float, float]:
    """Return how long an answer took, and how long without the segmenter, in milliseconds."""
    value = {"x": (12.5 * (number % 8) + 6.25), "y": 100 / 6 * (number % 6) + 100 / 12, "width": 0.3}
    prompt = _item("keypointlabels", {**value, "keypointlabels": ["Nut"]}, f"click-{number}")
    annotations = [{"id": 1, "result": drawn[: len(drawn) // 2]}]
    body = json.dumps(
        {
            "tasks": [
                {
                    "id": 1,
                    "data": {"image": "/data/local-files/?d=photo.jpg"},
                    "annotations": annotations,
                    "drafts": [{"id": 1, "result": drawn[len(drawn) // 2 :]}],
                }
            ],
            "project": "7.1795203195",
            "label_config": _config(kind),
            "params": {"login": None, "password": None, "context": {"result": [prompt]}},
        }
    )
    in_segmenter = _metric("tandem_click_seconds_sum")
    started = time.perf_counter()
    response = client.post("/predict", data=body)
    waited = time.perf_counter() - started
    if not response.get_json()["results"][0]["result"]:
        raise RuntimeError(f"a click found nothing: {response.get_json()}")
    in_segmenter = _metric("tandem_click_seconds_sum") - in_segmenter
    return waited * 1000, (waited - in_segmenter) * 1000


def _config(kind: str) -> str:
    controls = {"keypointlabels": "KeyPointLabels", kind: _KINDS[kind]}.items()
    tags = "".join(f'<{tag} name="{name}" toName="photo"><Label value="Nut"/></{tag}>' for name, tag in controls)
    return f'<View><Image name="photo" value="$image"/>{tags}</View>'


def _item(kind: str, value: dict[str, Any], name: str) -> dict[str, Any]:
    size = {"original_width": _SIZE_PX[0], "original_height": _SIZE_PX[1], "image_rotation": 0}
    return {"id": name, "from_name": kind, "to_name": "photo", "type": kind, "origin": "manual", "value": value, **size}


def _drawn(kind: str, number: int) -> dict[str, Any]:
    """Return a region that was drawn earlier, as an annotation holds it."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x, y = (250 + _CELL_PX * (number % 8)), (250 + _CELL_PX * (number % 6))
    if kind == "polygonlabels":
        points = np.stack((x + _RADIUS_PX * np.cos(angles), y + _RADIUS_PX * np.sin(angles)), 1)
        return _item(kind, {"points": (points * 100 / _SIZE_PX).tolist(), "closed": True, kind: ["Nut"]}, f"r{number}")
    if kind == "bitmasklabels":
        return _item(kind, {"imageDataURL": "data:image/png;base64," + 20_000 * "A", kind: ["Nut"]}, f"r{number}")
    rows = np.arange(y - _RADIUS_PX, y + _RADIUS_PX)
    half = np.sqrt(_RADIUS_PX**2 - (rows + 0.5 - y) ** 2).astype(int)
    starts, ends = rows * _SIZE_PX[0] + x - half, rows * _SIZE_PX[0] + x + half
    edges = np.concatenate(([0], np.stack((starts, ends), 1).ravel(), [_SIZE_PX[0] * _SIZE_PX[1]]))
    mask = Mask("", *_SIZE_PX, tuple(np.diff(edges).tolist()))
    return _item(kind, {"format": "rle", "rle": rle.encode(mask.runs), kind: ["Nut"]}, f"r{number}")


def _photo() -> bytes:
    draw = np.random.default_rng(0)
    cell = np.full((_CELL_PX, _CELL_PX, 3), 60.0)
    y, x = np.mgrid[:_CELL_PX, :_CELL_PX] + 0.5
    cell[np.hypot(x - _CELL_PX / 2, y - _CELL_PX / 2) < _RADIUS_PX] = (200, 170, 90)
    pixels = np.tile(cell, (6, 8, 1))
    noise = draw.normal(0, 12, (_SIZE_PX[1] // 4, _SIZE_PX[0] // 4, 3)).repeat(4, 0).repeat(4, 1)
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


def _quantile(values: Any, quantile: float) -> float:
    return float(np.quantile(list(values), quantile)) if quantile != 0.5 else statistics.median(values)


def _metric(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


if __name__ == "__main__":
    main()
