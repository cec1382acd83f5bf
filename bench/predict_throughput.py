"""How much of what the machine can predict is left after HTTP, storage and Label Studio's format?"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from backend.services import Services
from backend.settings import Settings
from bench import load, samples, versions
from bench.report import Finding, at_most, show
from bench.samples import Sample
from bench.server import PROJECT, UID, Installation
from models import catalog, images

_BATCH = 100
"""Tasks in a request."""
_NUM_BATCHES = 4
_NUM_SINGLE = 100
_CHUNK = 8
_CACHED_SHARE = 10.0


def main() -> None:
    """Print the table."""
    photos = samples.photos()
    with Installation(samples.PHOTO_KINDS) as installation:
        installation.connect()
        versions.add(installation, photos, seed=0)
        batches = [_upload(installation, photos, start=number * _BATCH, num=_BATCH) for number in range(_NUM_BATCHES)]
        singles = _upload(installation, photos, start=_NUM_BATCHES * _BATCH, num=_NUM_SINGLE)
        requests = [installation.predict_request(batch) for batch in batches]
        fetched_s = asyncio.run(_seconds(installation, requests))
        repeated_s = asyncio.run(_seconds(installation, requests))
        versions.add(installation, photos, seed=1)
        at_hand_s = asyncio.run(_seconds(installation, requests))
        single_s = [asyncio.run(_seconds(installation, [installation.predict_request([task])])) for task in singles]
        files = _files(installation)[: _NUM_BATCHES * _BATCH]
        bare_s = _bare(installation, files)
    num = _NUM_BATCHES * _BATCH
    single_s.sort()
    show(
        f"Predictions, {num} photos in batches of {_BATCH}",
        [
            Finding("ONNX Runtime and decoding, without a server, all cores", f"{num / bare_s:.0f} images/s"),
            Finding("/predict, files at hand", f"{num / at_hand_s:.0f} images/s ({bare_s / at_hand_s:.0%} of bare)"),
            Finding("/predict, files fetched from Label Studio", f"{num / fetched_s:.0f} images/s"),
            at_most(
                "the same batches again, of their first time (C-034)", 100 * repeated_s / fetched_s, _CACHED_SHARE, "%"
            ),
            Finding("… in images", f"{num / repeated_s:.0f} images/s"),
            Finding("one task, unseen: p50", f"{1000 * load.rank(single_s, 0.5):.1f} ms"),
            Finding("… p95", f"{1000 * load.rank(single_s, 0.95):.1f} ms"),
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


def _files(installation: Installation) -> list[bytes]:
    return [content for _, content in sorted(installation.label_studio.uploads.items())]


def _bare(installation: Installation, files: list[bytes]) -> float:
    """Predict files with the version in use, in this process; return how long all of them took."""
    services = Services.build(Settings(home=installation.server.home))
    try:
        version = services.versions.named(services.projects.get(UID).project.id, installation.version())
        with tempfile.TemporaryDirectory(prefix="tandem-bench-") as scratch:
            paths = [Path(scratch) / str(number) for number in range(len(files))]
            for path, content in zip(paths, files, strict=True):
                path.write_bytes(content)
            predictor = catalog.predictor_loader(version.family)(services.versions.checkpoint(version), "cpu")

            def predict(chunk: list[Path]) -> None:
                predictor.predict([images.read(path, min_side_px=predictor.min_side_px) for path in chunk])

            chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                started = time.perf_counter()
                list(pool.map(predict, chunks))
                return time.perf_counter() - started
    finally:
        services.close()


if __name__ == "__main__":
    main()
