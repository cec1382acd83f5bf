"""How much of what the machine can predict is left after HTTP, storage and Label Studio's format?"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Self

from backend.services import Services
from backend.settings import Settings
from bench import load, samples, versions
from bench.report import Finding, at_least, at_most, show
from bench.samples import Sample
from bench.server import PROJECT, UID, Installation
from models import catalog, images

_BATCH = 100
"""Tasks in a request."""
_NUM_BATCHES = 4
_NUM_SINGLE = 100
_CHUNK = 8
_CACHED_SHARE = 10.0
_BATCH_SHARE = 90.0
_SINGLE_RATIO = 1.2
_REPEATS = 3
_PATIENCE_S = 300.0


def main() -> None:
    """Print the table."""
    photos = samples.photos()
    num = _NUM_BATCHES * _BATCH
    with Installation(samples.PHOTO_KINDS) as installation:
        installation.connect()
        versions.add(installation, photos, seed=0)
        tasks = _upload(installation, photos, start=1, num=num)
        requests = [installation.predict_request(tasks[start : start + _BATCH]) for start in range(0, num, _BATCH)]
        singles = _upload(installation, photos, start=num + 1, num=_NUM_SINGLE)
        fetched_s = asyncio.run(_seconds(installation, requests))
        repeated_s = asyncio.run(_seconds(installation, requests))
        asyncio.run(_seconds(installation, [installation.predict_request(singles)]))
        installation.label(tasks)
        bare_s, at_hand_s, job_s = [], [], []
        with _Bare(installation) as bare:
            files = _files(installation, singles)
            for _ in range(_REPEATS):
                bare_s.append(bare.seconds(_files(installation, tasks)))
                _forget(installation)
                at_hand_s.append(asyncio.run(_seconds(installation, requests)))
                _forget(installation)
                job_s.append(_job_seconds(installation, num))
            _forget(installation)
            bare_one_s, one_s = [], []
            for task, file in zip(singles, files, strict=True):
                bare_one_s.append(bare.seconds([file]))
                one_s.append(asyncio.run(_seconds(installation, [installation.predict_request([task])])))
    best_s = min(bare_s)
    show(
        f"Predictions, {num} photos; best of {_REPEATS} in turn, single ones: medians",
        [
            Finding("ONNX Runtime and decoding, without a server, all cores", f"{num / best_s:.0f} images/s"),
            at_least(
                f"/predict in batches of {_BATCH}, files at hand", 100 * best_s / min(at_hand_s), _BATCH_SHARE, "%"
            ),
            at_least("a prediction job, files at hand, written back", 100 * best_s / min(job_s), _BATCH_SHARE, "%"),
            Finding("/predict, files fetched from Label Studio", f"{num / fetched_s:.0f} images/s"),
            at_most(
                "the same batches again, of their first time (C-034)", 100 * repeated_s / fetched_s, _CACHED_SHARE, "%"
            ),
            Finding("… in images", f"{num / repeated_s:.0f} images/s"),
            Finding("one photo, ONNX Runtime and decoding: p50", f"{1000 * load.rank(sorted(bare_one_s), 0.5):.1f} ms"),
            Finding("one task over HTTP, unseen: p50", f"{1000 * load.rank(sorted(one_s), 0.5):.1f} ms"),
            Finding("… p95", f"{1000 * load.rank(sorted(one_s), 0.95):.1f} ms"),
            at_most("… p50, of ONNX Runtime and decoding", median(one_s) / median(bare_one_s), _SINGLE_RATIO, "×"),
        ],
    )


def _upload(installation: Installation, photos: list[Sample], *, start: int, num: int) -> list[dict[str, Any]]:
    """Put photos into Label Studio, each a file of its own; return their tasks."""
    tasks = []
    for number in range(start, start + num):
        name = f"{PROJECT}/{number:06}.jpg"
        # What follows the end of a JPEG is ignored by decoders, and makes it another file.
        installation.label_studio.uploads[name] = photos[number % len(photos)].content + number.to_bytes(4, "big")
        tasks.append(samples.task(number, f"/data/upload/{name}"))
    return tasks


async def _seconds(installation: Installation, requests: Sequence[bytes]) -> float:
    """Send requests one after the other; return how long all of them took."""
    started = time.perf_counter()
    for request in requests:
        answer = await load.ask(installation.port, request)
        results = answer.json()["results"] if answer.is_success else []
        if not results or not all(result["result"] for result in results):
            raise RuntimeError(f"not all tasks were predicted: {answer.status} {answer.body[:200]!r}")
    return time.perf_counter() - started


def _files(installation: Installation, tasks: Sequence[dict[str, Any]]) -> list[bytes]:
    names = [task["data"]["image"].removeprefix("/data/upload/") for task in tasks]
    return [installation.label_studio.uploads[name] for name in names]


def _forget(installation: Installation) -> None:
    """Let nothing be known about any task, here and in Label Studio."""
    installation.post("/delete", {"project": UID})
    installation.label_studio.predictions.clear()


def _job_seconds(installation: Installation, num: int) -> float:
    """Have all tasks predicted in the background; return how long the job was worked on."""
    job = installation.post(f"/tandem/projects/{UID}/predictions", {})
    deadline = time.monotonic() + _PATIENCE_S
    while job["state"] in {"queued", "running"} and time.monotonic() < deadline:
        time.sleep(0.2)
        job = installation.get(f"/tandem/predictions/{job['id']}")
    if (job["state"], job["num_done"]) != ("completed", num):
        raise RuntimeError(f"the prediction job did not do all: {job}")
    started, finished = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
    return (finished - started).total_seconds()


class _Bare:
    """The version in use, in this process and with nothing around it. A context manager."""

    def __init__(self, installation: Installation) -> None:
        self._services = Services.build(Settings(home=installation.server.home))
        project = self._services.projects.get(UID).project
        version = self._services.versions.named(project.id, installation.version())
        self._predictor = catalog.predictor_loader(version.family)(self._services.versions.checkpoint(version), "cpu")
        self._pool = ThreadPoolExecutor(os.cpu_count())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        self._services.close()

    def seconds(self, files: Sequence[bytes]) -> float:
        """Predict files; return how long all of them took."""
        with tempfile.TemporaryDirectory(prefix="tandem-bench-") as scratch:
            paths = [Path(scratch) / str(number) for number in range(len(files))]
            for path, content in zip(paths, files, strict=True):
                path.write_bytes(content)
            chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
            started = time.perf_counter()
            list(self._pool.map(self._predict, chunks))
            return time.perf_counter() - started

    def _predict(self, paths: Sequence[Path]) -> None:
        min_side_px = self._predictor.min_side_px
        self._predictor.predict([images.read(path, min_side_px=min_side_px) for path in paths])


if __name__ == "__main__":
    main()
