"""What does a fit compute with? The cores, and the libraries whose versions decide the last bits of the weights."""

from __future__ import annotations

import os
from importlib.metadata import version

import torch


def use_all_cores() -> int:
    """Let torch use the cores that this process may use, and return how many: it decides the order of sums."""
    num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(num_threads)
    return num_threads


def libraries(num_threads: int) -> dict[str, str]:
    """Return the versions of what computes weights, for the manifest."""
    names = ("torch", "torchvision", "numpy", "pillow", "onnx")
    return {**{name: version(name) for name in names}, "num_threads": str(num_threads)}
