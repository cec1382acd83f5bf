"""What the files of a checkpoint must say about themselves to be used without us."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from models.checkpoint import Manifest

_METADATA_PROPS = 14
"""Number of that field of a ModelProto; its entries have a key and a value, numbers 1 and 2 (onnx.proto)."""
_PLACES = "Outputs are over the whole image, on a grid; rows from top to bottom. "
_OUTPUTS = {
    "image_classification": "output: float32, N×K: the probability of each label, in the order of `labels`.",
    "image_regression": "output: float32, N×2: a number and its expected absolute error, both in units of "
    "`unit.deviation`, the number counted from `unit.mean`; see `reading`.",
    "object_detection": _PLACES + "output: float32, N×C×h×w: for each place K scores, raised to `powers` of `reading` "
    "where they say how sure it is; then the box of a thing centred about there: centre x and y as fractions of the "
    "image, width and height as shares of the root of the input's area, and, if `is_rotated`, the cosine and sine of "
    "twice the angle of the longer side. Peaks of the scores are things.",
    "semantic_segmentation": _PLACES + "output: float32, N×K×h×w: the probability of each label at each place, in the "
    "order of `labels`; if `is_exclusive` of `reading`, the background has the rest.",
    "instance_segmentation": _PLACES + "output: float32, N×(K+G)×h×w: the probability of each label, then for each of "
    "`groups` of `reading` how deep inside its thing a place lies, from 0 at the edge to 1 at the heart.",
    "key_points": _PLACES + "output: float32, N×K×h×w: a heat map for each label, whose peaks are points and their "
    "heights the scores.",
}
"""What the only output of a family's network means; K labels."""


def can_explain(family: str) -> bool:
    """Say whether networks of a family can be used without us: those that see images."""
    return family in _OUTPUTS


def explain(manifest: Manifest) -> dict[str, Any]:
    """Return what one must know to use a network of a family that `can_explain` knows.

    Returns:
        JSON: `inputSize` (height and width in pixels), `normalization`, `outputs` and `reading` (thresholds and units).
    """
    inputs = dict(manifest.inputs)
    side_px = inputs.pop("side_px", None)
    height_px, width_px = inputs.pop("height_px", side_px), inputs.pop("width_px", side_px)
    return {
        "inputSize": [height_px, width_px],
        "normalization": {
            "order": "RGB",
            "resize": "the upright image to inputSize, its aspect not kept, with an antialiased bilinear filter "
            "(PIL.Image.BILINEAR)",
            "scale": 1 / 255,
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
        },
        "outputs": _OUTPUTS[manifest.family],
        "reading": inputs,
    }


def onnx_with(content: bytes, metadata: Mapping[str, Any]) -> bytes:
    """Return an ONNX file with more metadata; what is not text is written as JSON.

    Source: protobuf encoding, "Last One Wins" (https://protobuf.dev/programming-guides/encoding/): serialized messages
    may be concatenated, and their repeated fields are, too. So nothing needs to be parsed.
    """
    entries = (
        _field(1, key.encode()) + _field(2, (value if isinstance(value, str) else json.dumps(value)).encode())
        for key, value in metadata.items()
    )
    return content + b"".join(_field(_METADATA_PROPS, entry) for entry in entries)


def _field(number: int, content: bytes) -> bytes:
    """Write a field of type LEN."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*digits, value))


def write_weights(source: Path, target: Path, facts: Mapping[str, Any]) -> None:
    """Put a file of weights as torch saves them into a dictionary: under "state_dict", beside JSON facts.

    What is written loads with `torch.load(…, weights_only=True)`, and is the same whenever it is written. torch is not
    needed: the tensors stay as they are, and the pickle that names them becomes a part of a larger one.

    Raises:
        ValueError: It is no such file.
    """
    try:
        with ZipFile(source) as stored, ZipFile(target, "w", ZIP_STORED) as written:
            for name in stored.namelist():
                content = stored.read(name)
                written.writestr(ZipInfo(name), _within(content, facts) if name.endswith("/data.pkl") else content)
    except BadZipFile as error:
        raise ValueError(f"{source} is not what torch saves") from error


def _within(pickled: bytes, facts: Mapping[str, Any]) -> bytes:
    items = b"".join(_opcodes(key) + _opcodes(value) for key, value in facts.items())
    begin, end = pickle.PROTO + b"\x02", pickle.STOP
    if not (pickled.startswith(begin) and pickled.endswith(end)):
        raise ValueError("the pickle is not of protocol 2")
    tensors = pickled[len(begin) : -len(end)]
    return begin + pickle.EMPTY_DICT + pickle.MARK + _opcodes("state_dict") + tensors + items + pickle.SETITEMS + end


def _opcodes(value: Any) -> bytes:
    """Pickle a value that has no part in common with others, less the frame around it.

    What it remembers for itself takes the numbers of what was remembered before, which is not asked for any more.
    """
    return pickle.dumps(value, protocol=2)[len(pickle.PROTO) + 1 : -len(pickle.STOP)]
