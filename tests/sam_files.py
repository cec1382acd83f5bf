"""A pair of ONNX files with the inputs and outputs of Segment Anything, without training: they always see a disc."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SIDE_PX = 64
_MASK_PX = 16


def write_sam(folder: Path) -> Path:
    """Write an encoder and a decoder into a folder; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    image = _tensor("x", 1, 3, _SIDE_PX, _SIDE_PX)
    encoder = helper.make_graph(
        [helper.make_node("AveragePool", ["x"], ["image_embeddings"], kernel_shape=[16, 16], strides=[16, 16])],
        "encoder",
        [image],
        [_tensor("image_embeddings", 1, 3, 4, 4)],
    )
    y, x = np.mgrid[:_MASK_PX, :_MASK_PX] + 0.5
    logits = np.where(np.hypot(x - _MASK_PX / 2, y - _MASK_PX / 2) < 6, 8, -8).astype(np.float32)
    decoder = helper.make_graph(
        [
            helper.make_node("Identity", ["disc"], ["low_res_masks"]),
            helper.make_node("Identity", ["disc"], ["masks"]),
            helper.make_node("Identity", ["quality"], ["iou_predictions"]),
        ],
        "decoder",
        [
            _tensor("image_embeddings", 1, 3, 4, 4),
            _tensor("point_coords", 1, "N", 2),
            _tensor("point_labels", 1, "N"),
            _tensor("mask_input", 1, 1, "H", "W"),
            _tensor("has_mask_input", 1),
            _tensor("orig_im_size", 2),
        ],
        [
            _tensor("masks", 1, 1, _MASK_PX, _MASK_PX),
            _tensor("iou_predictions", 1, 1),
            _tensor("low_res_masks", 1, 1, _MASK_PX, _MASK_PX),
        ],
        [
            numpy_helper.from_array(logits[None, None], "disc"),
            numpy_helper.from_array(np.array([[0.875]], np.float32), "quality"),
        ],
    )
    for name, graph in (("encoder", encoder), ("decoder", decoder)):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    return folder


def _tensor(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
