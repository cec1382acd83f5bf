"""How is torchvision imported on a torch without CUDA libraries?

torchvision's wheel links its native operators against CUDA; on a CPU build of torch they do not load, and the import
of torchvision fails because `torchvision::nms` is not defined. `load_torchvision` defines the two operators that the
detection models need in plain torch first. Import torchvision nowhere else.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_libraries: list[torch.library.Library] = []
"""Operators live as long as the library object that defined them."""


def load_torchvision() -> ModuleType:
    """Return torchvision; with its native operators where they load, else with nms and roi_align in plain torch.

    Raises:
        ModuleNotFoundError: torchvision is not installed.
    """
    if "torchvision" not in sys.modules and not _load_native_operators():
        _define_operators()
        import torchvision

        boxes, roi = sys.modules["torchvision.ops.boxes"], sys.modules["torchvision.ops.roi_align"]
        boxes._assert_has_ops = roi._assert_has_ops = _accept  # type: ignore[attr-defined]
        # NOTE: torchvision's own eager fallback of roi_align takes more than 20 GB.
        roi.is_compile_supported = _is_never_compiled  # type: ignore[attr-defined]
    import torchvision

    return cast(ModuleType, torchvision)


def _load_native_operators() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("torchvision is not installed")
    is_native = False
    for library in Path(spec.origin).parent.glob("_C*.so"):  # _C.so before 0.29, _C_stable.so since
        try:
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
            is_native = True
        except OSError:
            continue
    return is_native


def _define_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        library.impl(name, nms, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    library.define(  # type: ignore[no-untyped-call]
        "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
        "int sampling_ratio, bool aligned) -> Tensor",
    )
    library.impl("roi_align", roi_align, "CompositeImplicitAutograd")  # type: ignore[no-untyped-call]
    _libraries.append(library)


def _accept() -> None:  # a def, not a lambda: TorchScript compiles it
    pass


def _is_never_compiled(device: object) -> bool:
    return False


def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Return the indices of the boxes that non-maximum suppression keeps, best first; as torchvision.ops.nms."""
    order = torch.sort(scores.detach().float(), descending=True, stable=True).indices
    x1, y1, x2, y2 = dets.detach().float()[order].cpu().numpy().T
    area = (x2 - x1) * (y2 - y1)
    is_suppressed = np.zeros(len(area), dtype=np.bool_)
    kept: list[int] = []
    for i in range(len(area)):
        if is_suppressed[i]:
            continue
        kept.append(i)
        width = np.minimum(x2[i], x2[i + 1 :]) - np.maximum(x1[i], x1[i + 1 :])
        height = np.minimum(y2[i], y2[i + 1 :]) - np.maximum(y1[i], y1[i + 1 :])
        overlap = width.clip(0) * height.clip(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            is_suppressed[i + 1 :] |= overlap / (area[i] + area[i + 1 :] - overlap) > iou_threshold
    return order[torch.as_tensor(kept, dtype=torch.long, device=order.device)]


def roi_align(
    features: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Pool each region of interest to a fixed grid; as torchvision.ops.roi_align.

    Args:
        features: Shape (N, C, H, W).
        rois: Shape (R, 5): index of the image, then x1, y1, x2, y2.
        spatial_scale: Factor from the coordinates of `rois` to those of `features`.
        pooled_height: Rows of the result.
        pooled_width: Columns of the result.
        sampling_ratio: Samples per cell and direction; 0 (adaptive) is approximated by 2.
        aligned: Whether coordinates are shifted by half a pixel.
    """
    _, channels, height, width = features.shape
    num_rois = rois.shape[0]
    if num_rois == 0:
        return features.new_zeros((0, channels, pooled_height, pooled_width)) + features.sum() * 0
    samples = sampling_ratio if sampling_ratio > 0 else 2
    corners = rois[:, 1:].to(features.dtype) * spatial_scale - (0.5 if aligned else 0.0)
    roi_width, roi_height = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    if not aligned:
        roi_width, roi_height = roi_width.clamp(min=1), roi_height.clamp(min=1)

    def steps(cells: int) -> Tensor:
        count = cells * samples
        return (torch.arange(count, device=features.device, dtype=features.dtype) + 0.5) / count

    y = corners[:, 1, None] + steps(pooled_height) * roi_height[:, None]
    x = corners[:, 0, None] + steps(pooled_width) * roi_width[:, None]
    is_inside = ((y >= -1) & (y <= height))[:, :, None] & ((x >= -1) & (x <= width))[:, None, :]
    y = y.clamp(0, height - 1) * (2 / max(height - 1, 1)) - 1
    x = x.clamp(0, width - 1) * (2 / max(width - 1, 1)) - 1
    shape = (num_rois, pooled_height * samples, pooled_width * samples)
    grid = torch.stack((x[:, None, :].expand(shape), y[:, :, None].expand(shape)), -1)
    order, parts = [], []
    for image in range(features.shape[0]):
        for part in torch.nonzero(rois[:, 0].long() == image).flatten().split(128):  # type: ignore[no-untyped-call]  # bounds the memory
            if not part.numel():
                continue
            cells = grid[part].reshape(1, part.numel() * shape[1], shape[2], 2)
            sampled = functional.grid_sample(
                features[image : image + 1], cells, padding_mode="border", align_corners=True
            )
            sampled = sampled.view(channels, part.numel(), *shape[1:]) * is_inside[part].to(features.dtype)
            parts.append(functional.avg_pool2d(sampled.transpose(0, 1), samples))
            order.append(part)
    return torch.cat(parts)[torch.argsort(torch.cat(order))]
