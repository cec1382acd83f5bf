"""How long does an import of 100,000 annotations take, and how much memory? Of boxes and of outlines, over HTTP."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from backend.projects.service import LabelSet
from backend.projects.tasks import Task
from backend.services import Services
from backend.settings import Settings
from bench.report import Finding, at_most, show
from bench.server import Installation
from models.labels import Objective
from tests.labelled_projects import make_label_set, make_project

_NUM_IMAGES = 10_000
_NUM_ANNOTATIONS = 100_000
_NUM_CORNERS = 12
_SIDES_PX = (640, 480)
_LABELS = ("car", "bus", "bicycle")
_GOAL_S = 60.0
_GOAL_MB = 300.0


def main() -> None:
    """Print the table."""
    findings: list[Finding] = []
    with Installation() as installation:
        settings = Settings(home=installation.server.home, database_url=f"sqlite:///{installation.database}")
        with closing(Services.build(settings)) as services:
            key, boxes, outlines = _prepare(services)
        for what, label_set, form, data in (
            ("boxes, COCO", boxes, "coco", _coco(with_outlines=False)),
            ("boxes, native", boxes, "native", _native()),
            (f"outlines of {_NUM_CORNERS} points, COCO", outlines, "coco", _coco(with_outlines=True)),
        ):
            findings += _measure(installation, key, label_set, what, {"format": form, "data": data})
    show(f"Import of {_NUM_ANNOTATIONS:,} annotations of {_NUM_IMAGES:,} images", findings)


def _prepare(services: Services) -> tuple[str, LabelSet, LabelSet]:
    """Make a user, and a project with images that are rows only; return the key and two label sets."""
    user = services.accounts.create_user("bench@example.com")
    _, key = services.accounts.mint(user, "bench")
    project = make_project(services, services.accounts.authenticate(key).workspace_ids[0])
    width_px, height_px = _SIDES_PX
    with services.database.transaction() as session:
        session.add_all(
            Task(
                number=1_000_000 + number,
                project_id=project.id,
                external_id=str(number),
                filename=f"{number}.jpg",
                width_px=width_px,
                height_px=height_px,
            )
            for number in range(_NUM_IMAGES)
        )
    boxes = make_label_set(services, project, Objective.DETECTION, _LABELS, name="boxes")
    outlines = make_label_set(services, project, Objective.INSTANCE_SEGMENTATION, _LABELS, name="outlines")
    return key, boxes, outlines


def _boxes() -> Iterator[tuple[int, int, list[float]]]:
    """Yield image, label and box; the same with each call."""
    drawn = random.Random(0)  # noqa: S311
    for number in range(_NUM_ANNOTATIONS):
        sides = [round(drawn.uniform(10, 100), 2) for _ in range(2)]
        corner = [round(drawn.uniform(0, 300), 2) for _ in range(2)]
        yield number % _NUM_IMAGES, drawn.randrange(len(_LABELS)), [*corner, *sides]


def _coco(*, with_outlines: bool) -> dict[str, Any]:
    width_px, height_px = _SIDES_PX
    return {
        "images": [
            {"id": number, "file_name": f"{number}.jpg", "width": width_px, "height": height_px}
            for number in range(_NUM_IMAGES)
        ],
        "categories": [{"id": index, "name": name} for index, name in enumerate(_LABELS)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": label,
                "bbox": box,
                "iscrowd": 0,
                "segmentation": [_outline(box)] if with_outlines else [],
            }
            for number, (image, label, box) in enumerate(_boxes())
        ],
    }


def _outline(box: Sequence[float]) -> list[float]:
    """Return points along the upper edge of a box, and its lower corners."""
    x, y, width, height = box
    num = _NUM_CORNERS - 2
    top = [(x + width * step / (num - 1), y + (step % 2) * height / 3) for step in range(num)]
    return [round(each, 2) for point in [*top, (x + width, y + height), (x, y + height)] for each in point]


def _native() -> dict[str, Any]:
    said: list[list[dict[str, Any]]] = [[] for _ in range(_NUM_IMAGES)]
    for image, label, box in _boxes():
        said[image].append({"label": _LABELS[label], "bbox": box})
    return {"images": [{"filename": f"{number}.jpg", "annotations": each} for number, each in enumerate(said)]}


def _measure(
    installation: Installation, key: str, label_set: LabelSet, what: str, body: dict[str, Any]
) -> list[Finding]:
    content = json.dumps(body).encode()
    before = {pid: _mb(pid, "VmRSS") for pid in installation.web_pids()}
    for pid in before:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # its peak is what it has now
    started = time.perf_counter()
    answer = requests.post(
        f"{installation.server.url}/label-sets/lbs_{label_set.id}/annotations/import",
        data=content,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        timeout=600,
    )
    seconds = time.perf_counter() - started
    answer.raise_for_status()
    created = answer.json()["data"]["created"]
    grown = max(_mb(pid, "VmHWM") - before[pid] for pid in before)
    return [
        at_most(f"{what}, {len(content) / 2**20:.0f} MiB", seconds, _GOAL_S, "s"),
        at_most("… peak memory of its process above idle", grown, _GOAL_MB, "MB", digits=0),
        Finding("… annotations created", f"{created:,}", f"{_NUM_ANNOTATIONS:,}", created == _NUM_ANNOTATIONS),
    ]


def _mb(pid: int, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    main()
