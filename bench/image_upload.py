"""What does it take to upload 1,000 images: how much memory, and how much longer than to write their files?"""

from __future__ import annotations

import io
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from bench.report import Finding, at_most, exactly, show
from tests.processes import RunningServer

_NUM_IMAGES = 1000
_AT_ONCE = 20
_GOAL_MB = 150.0


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as folder:
        server = RunningServer(Path(folder))
        server.start()
        try:
            findings = _measure(server, Path(folder) / "plain")
        finally:
            server.stop()
    show("Uploading 1,000 images", findings, "JPEG, 1280×960; each is decoded to its end and synced to disk")


def _measure(server: RunningServer, plain: Path) -> list[Finding]:
    _, said = server.say("keys", "create", "--user", "bench@example.com")
    key = next(line for line in said.splitlines() if line.startswith("mlp_live_"))
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"
    project = session.post(f"{server.url}/projects", json={"name": "bench"}, timeout=60).json()["data"]["id"]
    path = f"{server.url}/projects/{project}/images"
    files = list(_files(_NUM_IMAGES + _AT_ONCE))
    _upload(session, path, files[_NUM_IMAGES:])  # whatever is loaded once is loaded now
    pids = server.pids("adapters.cli.main web")
    idle_mb = sum(_mb(pid, "VmRSS") for pid in pids)
    started = time.perf_counter()
    for start in range(0, _NUM_IMAGES, _AT_ONCE):
        _upload(session, path, files[start : start + _AT_ONCE])
    upload_s = time.perf_counter() - started
    peak_mb = sum(_mb(pid, "VmHWM") for pid in pids)
    counted = session.get(f"{server.url}/projects/{project}", timeout=60).json()["data"]["imageCount"]
    plain_s = _write(files[:_NUM_IMAGES], plain)
    return [
        exactly("images in the project", counted, len(files)),
        at_most("memory of all web processes above idle, at its peak", peak_mb - idle_mb, _GOAL_MB, "MB"),
        Finding("uploaded in a second, 20 in a request", f"{_NUM_IMAGES / upload_s:.0f} images"),
        Finding("… written plainly in a second, each synced", f"{_NUM_IMAGES / plain_s:.0f} files"),
    ]


def _files(number: int) -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    rough = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(rough).resize((1280, 960)).save(buffer, "JPEG", quality=90)
    for index in range(number):
        yield buffer.getvalue() + index.to_bytes(4, "big")  # nobody reads what follows the end of a JPEG


def _upload(session: requests.Session, path: str, contents: list[bytes]) -> None:
    parts = [("files", (f"{index}.jpg", content)) for index, content in enumerate(contents)]
    answer = session.post(path, files=parts, timeout=300)
    answer.raise_for_status()
    if len(answer.json()["data"]["images"]) != len(contents):
        raise RuntimeError(f"not all images were taken: {answer.text[:200]}")


def _write(contents: list[bytes], folder: Path) -> float:
    folder.mkdir()
    started = time.perf_counter()
    for index, content in enumerate(contents):
        with (folder / f"{index}.jpg").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    return time.perf_counter() - started


def _mb(pid: int, kind: str) -> float:
    found = re.search(rf"^{kind}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


if __name__ == "__main__":
    main()
