"""How are clicks answered by a Segment Anything network? An encoder sees the image once, a decoder each prompt.

Two layouts of ONNX files are known, by the names and shapes of their inputs and outputs, whatever the files are called:

- SAM, as `segment-anything` and MobileSAM export it: the image keeps its proportions in a corner of a square, and the
  decoder's masks cover that square.
- SAM 2: the image is squeezed to a square, and two finer feature maps go to the decoder as well.

Source: facebookresearch/segment-anything `scripts/export_onnx_model.py` and `utils/onnx.py` (SAM's decoder);
vietanhdev/samexporter `export_encoder.py` (SAM's encoder), `export_sam2.py` (SAM 2).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.clicks import Encoded, Prompts, Segment
from models.family import FamilyError
from models.images import Image, resize
from models.interactive import window
from models.interactive.window import Window
from models.regions import Point
from models.runtime import Session, Tensor

# C channels, H height, W width, N points, M masks

_Array = npt.NDArray[np.float32]

_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32) * 255
_SQUARE_PX = 1024
"""What both networks see, unless an encoder's input says otherwise."""
_FRAME_PX = (684, 1024)
"""Height and width for encoders that prepare images themselves: the published ones were traced, and so fixed, at this
size, whatever their free dimensions promise."""
_SHOWN_PX = 1024
"""Longer side of the masks that are returned."""
_NUM_STROKE_POINTS = 5
_OUTSIDE, _INSIDE, _TOP_LEFT, _BOTTOM_RIGHT, _PADDING = 0.0, 1.0, 2.0, 3.0, -1.0

_PROMPTS = {"point_coords", "point_labels", "mask_input", "has_mask_input"}
_FINER = {"high_res_feats_0", "high_res_feats_1"}


class Layout(StrEnum):
    """How the two files of a network work together."""

    SAM = "SAM"
    SAM_2 = "SAM 2"


_EMBEDDINGS: Mapping[Layout, frozenset[str]] = {
    Layout.SAM: frozenset({"image_embeddings"}),
    Layout.SAM_2: frozenset({"image_embed", *_FINER}),
}


@dataclass(frozen=True, slots=True)
class Embedded:
    """What an encoder made of an image.

    Attributes:
        features: By the decoder's names.
        frame: What the decoder's coordinates and masks cover; it may reach out of the image.
        shown: How masks are returned.
    """

    features: Mapping[str, _Array]
    frame: Window
    shown: Window

    @property
    def num_bytes(self) -> int:
        """About how much memory it holds."""
        return sum(array.nbytes for array in self.features.values())


class SamSegmenter:
    """A pair of ONNX files; see `models.clicks.ClickSegmenter`.

    Attributes:
        layout: Which of the known ones.
        key: Changes with either file.
        num_bytes: Of both files.
    """

    def __init__(self, folder: Path, *, device: str) -> None:
        """Load the encoder and the decoder in a folder.

        Raises:
            FamilyError: The folder does not hold exactly one pair of a known layout.
        """
        paths = sorted(folder.glob("*.onnx"))
        sessions = {path: _open(path, device) for path in paths}
        pairs = [
            (layout, encoder, decoder)
            for layout in Layout
            for encoder in paths
            for decoder in paths
            if _is_encoder(sessions[encoder], layout) and _is_decoder(sessions[decoder], layout)
        ]
        if len(pairs) != 1:
            raise FamilyError(_complaint(folder, sessions, len(pairs)))
        self.layout, encoder, decoder = pairs[0]
        self._encoder, self._decoder = sessions[encoder], sessions[decoder]
        stats = [(path.name, path.stat()) for path in (encoder, decoder)]
        self.key: Hashable = ("sam", *((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats))
        self.num_bytes: int = self._encoder.num_bytes + self._decoder.num_bytes

    def encode(self, image: Image) -> Embedded:
        """Prepare an image; this is what takes long."""
        tensor, frame, fit_px = self._prepare(image)
        outputs = self._encoder.run({self._encoder.inputs[0].name: tensor})
        by_name = _named(self._encoder, outputs)
        zoom = min(1.0, _SHOWN_PX / max(fit_px))
        shown = Window(0.0, 0.0, 1.0, 1.0, max(1, round(fit_px[0] * zoom)), max(1, round(fit_px[1] * zoom)))
        return Embedded({name: by_name[name] for name in _EMBEDDINGS[self.layout]}, frame, shown)

    def segment(self, encoded: Encoded, prompts: Prompts) -> Segment | None:
        """Return the thing pointed at; None where the network sees nothing."""
        assert isinstance(encoded, Embedded)
        points, labels = _to_points(prompts)
        coords_N2 = encoded.frame.to_px(points) - 0.5  # both decoders add half a pixel
        if self.layout is Layout.SAM and _TOP_LEFT not in labels:
            coords_N2, labels = np.concatenate((coords_N2, [[0.0, 0.0]])), [*labels, _PADDING]
        fed: dict[str, npt.NDArray[Any]] = {
            **encoded.features,
            "point_coords": coords_N2[None],
            "point_labels": np.array([labels]),
            "mask_input": np.zeros((1, 1, encoded.frame.height_px // 4, encoded.frame.width_px // 4)),
            "has_mask_input": np.zeros(1),
            "orig_im_size": np.array([encoded.frame.height_px, encoded.frame.width_px]),
        }
        outputs = self._decoder.run({tensor.name: fed[tensor.name] for tensor in self._decoder.inputs})
        by_name = _named(self._decoder, outputs)
        # SAM's large masks are made for sizes that were fixed when it was traced; the small ones are always right.
        logits_MHW = by_name.get("low_res_masks", by_name["masks"])[0]
        scores_M = by_name["iou_predictions"][0]
        best = _choose(scores_M, num_points=len(points))
        height, width = logits_MHW.shape[1:]
        seen = Window(encoded.frame.left, encoded.frame.top, encoded.frame.right, encoded.frame.bottom, width, height)
        inside_HW = seen.transfer(logits_MHW[best], encoded.shown) > 0
        if not inside_HW.any():
            return None
        return encoded.shown.segment(inside_HW, score=round(min(1.0, max(0.0, float(scores_M[best]))), 4))

    def _prepare(self, image: Image) -> tuple[npt.NDArray[np.float32], Window, tuple[int, int]]:
        """Return the encoder's input, what of the image it shows, and the image's width and height in it."""
        shape = self._encoder.inputs[0].shape
        height, width = image.pixels.shape[:2]
        if self.layout is Layout.SAM_2:
            height_px, width_px = shape[2] or _SQUARE_PX, shape[3] or _SQUARE_PX
            squeezed = resize(image.pixels, width_px=width_px, height_px=height_px)
            zoom = _SHOWN_PX / max(width, height)
            fit_px = max(1, round(width * zoom)), max(1, round(height * zoom))
            return _normalized(squeezed)[None], Window(0.0, 0.0, 1.0, 1.0, width_px, height_px), fit_px
        is_raw = len(shape) == 3
        height_px, width_px = (
            (shape[0] or _FRAME_PX[0], shape[1] or _FRAME_PX[1])
            if is_raw
            else (shape[2] or _SQUARE_PX, shape[3] or _SQUARE_PX)
        )
        zoom = min(width_px / width, height_px / height)
        fit_px = max(1, round(width * zoom)), max(1, round(height * zoom))
        fitted = resize(image.pixels, width_px=fit_px[0], height_px=fit_px[1])
        side_px = max(width_px, height_px)
        frame = Window(0.0, 0.0, side_px / fit_px[0], side_px / fit_px[1], side_px, side_px)
        if is_raw:
            framed = np.zeros((height_px, width_px, 3), np.float32)
            framed[: fit_px[1], : fit_px[0]] = fitted
            return framed, frame, fit_px
        square = np.zeros((1, 3, height_px, width_px), np.float32)
        square[0, :, : fit_px[1], : fit_px[0]] = _normalized(fitted)
        return square, frame, fit_px


def _open(path: Path, device: str) -> Session:
    try:
        return Session(path, device=device)
    except Exception as error:  # ONNX Runtime raises many kinds, all of which say: not loadable
        raise FamilyError(f"{path.name} is not an ONNX file that can be loaded: {error}") from error


def _named(session: Session, outputs: Sequence[_Array]) -> dict[str, _Array]:
    return dict(zip((output.name for output in session.outputs), outputs, strict=True))


def _is_encoder(session: Session, layout: Layout) -> bool:
    outputs = {output.name for output in session.outputs}
    ranks = (3, 4) if layout is Layout.SAM else (4,)
    return len(session.inputs) == 1 and len(session.inputs[0].shape) in ranks and _EMBEDDINGS[layout] <= outputs


def _is_decoder(session: Session, layout: Layout) -> bool:
    inputs = {tensor.name for tensor in session.inputs}
    needed = _EMBEDDINGS[layout] | _PROMPTS
    return needed <= inputs <= needed | {"orig_im_size"} and {"masks", "iou_predictions"} <= {
        output.name for output in session.outputs
    }


def _complaint(folder: Path, sessions: Mapping[Path, Session], num_pairs: int) -> str:
    wanted = (
        "an encoder with the output image_embeddings (SAM, MobileSAM) or image_embed, high_res_feats_0 and "
        "high_res_feats_1 (SAM 2), and the decoder of the same network"
    )
    if not sessions:
        return f"There is no .onnx file in {folder}; expected {wanted}."
    if num_pairs:
        return f"{folder} holds {num_pairs} pairs of encoder and decoder; keep one of them there."
    found = "; ".join(
        f"{path.name} has inputs {_names(session.inputs)} and outputs {_names(session.outputs)}"
        for path, session in sessions.items()
    )
    return f"No two files in {folder} fit together: expected {wanted}. {found}."


def _names(tensors: Sequence[Tensor]) -> str:
    return ", ".join(tensor.name for tensor in tensors)


def _normalized(pixels_HWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    normal_HWC = (pixels_HWC.astype(np.float32) - _MEAN) / _DEVIATION
    return np.ascontiguousarray(normal_HWC.transpose(2, 0, 1))


def _to_points(prompts: Prompts) -> tuple[list[Point], list[float]]:
    """Return prompts as the decoder knows them: points with labels; one box, as two corners, comes last."""
    inside = [*prompts.inside, *(point for mask in prompts.masks for point in _along(mask.to_array()))]
    points = [*inside, *prompts.outside]
    labels = [_INSIDE] * len(inside) + [_OUTSIDE] * len(prompts.outside)
    if prompts.boxes:
        left, top, right, bottom = window.bounds_of(Prompts(boxes=prompts.boxes), None)
        points += [(left, top), (right, bottom)]
        labels += [_TOP_LEFT, _BOTTOM_RIGHT]
    return points, labels


def _along(stroke_HW: npt.NDArray[np.bool_]) -> list[Point]:
    """Return a few points in the middle of a stroke, far from each other."""
    if not stroke_HW.any():
        return []
    height, width = stroke_HW.shape
    depths_HW = cv2.distanceTransform(np.pad(stroke_HW.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rows, columns = np.nonzero(stroke_HW)
    depths_N = depths_HW[rows, columns]
    nearest_N = np.full(len(rows), np.inf)
    chosen: list[Point] = []
    at = int(depths_N.argmax())
    while len(chosen) < _NUM_STROKE_POINTS and nearest_N[at] > 0:
        chosen.append(((float(columns[at]) + 0.5) / width, (float(rows[at]) + 0.5) / height))
        nearest_N = np.minimum(nearest_N, np.hypot(rows - rows[at], columns - columns[at]))
        at = int((np.minimum(nearest_N, 1e6) * np.minimum(depths_N, depths_N.mean())).argmax())
    return chosen


def _choose(scores_M: _Array, *, num_points: int) -> int:
    """Return which of the offered masks to take.

    Four masks are one for unambiguous prompts and three guesses (whole, part, part of a part) for a single click.
    """
    if len(scores_M) == 4:
        return 0 if num_points > 1 else 1 + int(scores_M[1:].argmax())
    return int(scores_M.argmax())
