"""Small functions that models import from `label_studio_ml.utils`."""

from __future__ import annotations

import difflib
import os
from collections import OrderedDict
from typing import Any
from urllib.parse import urlparse

from PIL import Image, ImageOps

DATA_UNDEFINED_NAME = "$undefined$"
"""The data key of tasks that were imported without column names."""


def get_single_tag_keys(
    parsed_label_config: dict[str, Any], control_type: str, object_type: str
) -> tuple[str, str, str, list[str]]:
    """Return control name, object name, data key and labels of a config with one control and one object."""
    assert len(parsed_label_config) == 1, "the label config should have exactly one control tag"
    from_name, info = next(iter(parsed_label_config.items()))
    assert info["type"] == control_type, f"the label config has <{info['type']}>, and <{control_type}> is expected"
    assert len(info["to_name"]) == 1
    assert len(info["inputs"]) == 1
    assert info["inputs"][0]["type"] == object_type
    return from_name, info["to_name"][0], info["inputs"][0]["value"], info["labels"]


def get_first_tag_keys(
    parsed_label_config: dict[str, Any], control_type: str, object_type: str
) -> tuple[str | None, dict[str, Any] | None]:
    """Return name and description of the first control of a type that is attached to an object of a type."""
    for from_name, info in parsed_label_config.items():
        if info["type"] == control_type and any(item["type"] == object_type for item in info["inputs"]):
            return from_name, info
    return None, None


def is_skipped(completion: dict[str, Any]) -> bool:
    """Say whether a task's only annotation was skipped."""
    if len(completion["annotations"]) != 1:
        return False
    annotation = completion["annotations"][0]
    return bool(annotation.get("skipped", False) or annotation.get("was_cancelled", False))


def get_choice(completion: dict[str, Any]) -> str:
    """Return the choice of a task's first annotation."""
    return str(completion["annotations"][0]["result"][0]["value"]["choices"][0])


def get_image_size(filepath: str | os.PathLike[str]) -> tuple[int, int]:
    """Return width and height of an image as people see it, after its EXIF rotation."""
    with Image.open(filepath) as image:
        return ImageOps.exif_transpose(image).size


def get_image_local_path(url: str, image_cache_dir: str | None = None, project_dir: str | None = None) -> str:
    """Return a file with the image that a URL of a task leads to (first generation)."""
    from label_studio_sdk._extensions.label_studio_tools.core.utils.io import get_local_path

    return str(get_local_path(url, cache_dir=image_cache_dir, project_dir=project_dir))


class InMemoryLRUDictCache:
    """Keeps the values that were used last."""

    def __init__(self, capacity: int = 1) -> None:
        self.cache: OrderedDict[Any, Any] = OrderedDict()
        self.capacity = capacity

    def __contains__(self, item: object) -> bool:
        return item in self.cache

    def get(self, key: Any) -> Any:
        """Return a value, or None."""
        if key in self.cache:
            self.cache.move_to_end(key)
        return self.cache.get(key)

    def put(self, key: Any, value: Any) -> None:
        """Keep a value, in place of the one that was not used for longest."""
        if key in self.cache:
            self.cache.move_to_end(key)
        elif len(self.cache) >= self.capacity:
            self.cache.popitem(last=False)
        self.cache[key] = value

    def __str__(self) -> str:
        return str(self.cache)


def match_labels(input: str, labels: list[str]) -> list[str]:
    """Return the most similar label for each line of a text."""
    return [
        max(labels, key=lambda label: difflib.SequenceMatcher(None, line, label).ratio()) for line in input.splitlines()
    ]


def is_valid_url(path: str) -> bool:
    """Say whether a text has a scheme and a host."""
    try:
        parts = urlparse(path)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc)


def is_preload_needed(url: str) -> bool:
    """Say whether a text of a task stands for a file: an upload, a storage object, a URL, or a path that exists."""
    if url.startswith(("upload", "/upload", "/data/upload", "s3:", "gs:", "azure-blob:")):
        return True
    return (url.startswith("/data/") and "?d=" in url) or is_valid_url(url) or os.path.exists(url)


def compare_nested_structures(
    a: Any,
    b: Any,
    path: str = "",
    rel: float = 1e-4,
    abs: float | None = None,
) -> None:
    """Assert that two JSON values are equal, numbers nearly so; for tests."""
    import pytest

    if isinstance(a, dict) and isinstance(b, dict):
        assert a.keys() == b.keys(), f"Keys mismatch at {path}"
        for key in a:
            compare_nested_structures(a[key], b[key], f"{path}.{key}", rel, abs)
    elif isinstance(a, list) and isinstance(b, list):
        assert len(a) == len(b), f"List size mismatch at {path}"
        for index, (left, right) in enumerate(zip(a, b, strict=True)):
            compare_nested_structures(left, right, f"{path}[{index}]", rel, abs)
    elif isinstance(a, float) and isinstance(b, float):
        assert a == pytest.approx(b, rel=rel, abs=abs), f"Mismatch at {path}"
    else:
        assert a == b, f"Mismatch at {path}"
