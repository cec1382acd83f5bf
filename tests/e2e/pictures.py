"""Real pictures to label: scikit-learn's handwritten digits, and photos of household waste."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

DATA = Path(os.environ.get("TANDEM_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


@dataclass(frozen=True)
class Picture:
    """An image file, and what a person would say about it."""

    name: str
    label: str
    content: bytes

    @property
    def data_url(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.content).decode()


def digits(number: int) -> list[Picture]:
    """Return the first of scikit-learn's 8 × 8 digits in a shuffled order that is always the same."""
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))[:number]
    return [Picture(f"{index:04}.png", str(bunch.target[index]), _png(bunch.images[index])) for index in order.tolist()]


def trash(part: str) -> list[Picture]:
    """Return the photos of one part ("train" or "test") of cls_trash; skip where they are not there."""
    folder = DATA / "cls_trash" / part
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing; TANDEM_TEST_DATA says where the data sets are")
    return [Picture(path.name, path.parent.name, path.read_bytes()) for path in sorted(folder.glob("*/*.jpg"))]


def labels_of(pictures: Iterable[Picture]) -> list[str]:
    return sorted({picture.label for picture in pictures})


def label_config(labels: Iterable[str]) -> str:
    """Return a labelling configuration that asks for one of these labels."""
    choices = "".join(f'<Choice value="{label}"/>' for label in labels)
    return (
        f'<View><Choices name="kind" toName="image" choice="single" showInLine="true">{choices}</Choices>'
        '<Image name="image" value="$image"/></View>'
    )


def choice(label: str) -> list[dict[str, object]]:
    """Return the result of an annotation that says a label."""
    value = {"choices": [label]}
    return [{"id": "said", "from_name": "kind", "to_name": "image", "type": "choices", "value": value}]


def accuracy(pictures: Iterable[Picture], said: Mapping[str, str | None]) -> float:
    """Return how many of the pictures were told right; `said` has labels by picture name."""
    right = [said[picture.name] == picture.label for picture in pictures]
    return sum(right) / len(right)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray((pixels * (255 / 16)).round().astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
