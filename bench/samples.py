"""What do the benchmarks label? Handwritten digits, and photos of household waste, as files and as tasks."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits

DIGITS = tuple(str(digit) for digit in range(10))
PHOTO_KINDS = ("cardboard", "glass", "metal", "paper", "plastic", "trash")
_PHOTO_SIZE_PX = (512, 384)


@dataclass(frozen=True, slots=True)
class Sample:
    """An image file and its label."""

    content: bytes
    label: str


def config(labels: tuple[str, ...]) -> str:
    """Return a labelling configuration: one choice per image."""
    choices = "".join(f'<Choice value="{label}"/>' for label in labels)
    return f'<View><Image name="image" value="$image"/><Choices name="kind" toName="image">{choices}</Choices></View>'


def digit(index: int, *, side_px: int = 8) -> Sample:
    """Return one of scikit-learn's 1,797 digits as PNG, scaled up where asked for."""
    pixels, labels = _digits()
    file = io.BytesIO()
    Image.fromarray(pixels[index]).resize((side_px, side_px), Image.Resampling.BILINEAR).save(file, "PNG")
    return Sample(file.getvalue(), str(labels[index]))


def digits(num: int, *, start: int = 0, side_px: int = 8) -> list[Sample]:
    """Return some digits."""
    return [digit(index, side_px=side_px) for index in range(start, start + num)]


def photos() -> list[Sample]:
    """Return JPEG photos of 512 × 384 pixels: cls_trash in TANDEM_TEST_DATA (../shared/data), or noise as large."""
    folder = Path(os.environ.get("TANDEM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "cls_trash"
    if found := sorted(folder.glob("*/*/*.jpg")):
        return [Sample(path.read_bytes(), path.parent.name) for path in found]
    draw = np.random.default_rng(0)
    return [Sample(_noise(draw), kind) for kind in PHOTO_KINDS for _ in range(32)]


def task(task_id: int, image: str, *, label: str | None = None) -> dict[str, Any]:
    """Return a task as Label Studio lists it, with an annotation where a label is given."""
    made: dict[str, Any] = {"id": task_id, "data": {"image": image}, "annotations": []}
    if label is not None:
        value = {"choices": [label]}
        result = [{"id": "a", "from_name": "kind", "to_name": "image", "type": "choices", "value": value}]
        made["annotations"] = [{"id": task_id, "result": result, "was_cancelled": False}]
    return made


def labelled(samples: list[Sample], *, start: int = 1) -> list[dict[str, Any]]:
    """Return annotated tasks whose images are in data: URLs."""
    return [task(number, data_url(sample), label=sample.label) for number, sample in enumerate(samples, start)]


def data_url(sample: Sample) -> str:
    """Return a URL that holds a PNG."""
    return "data:image/png;base64," + base64.b64encode(sample.content).decode()


@cache
def _digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    found = load_digits()
    return (found.images * 15.9).astype(np.uint8), found.target


def _noise(draw: np.random.Generator) -> bytes:
    width_px, height_px = _PHOTO_SIZE_PX
    coarse = draw.integers(0, 256, (height_px // 16, width_px // 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(_PHOTO_SIZE_PX, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()
