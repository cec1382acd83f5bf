"""ONNX Runtime sessions: providers and threads. The only file that knows what executes a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

_TYPES: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a file.

    Attributes:
        name: As the file calls it.
        shape: None where a size is free.
        type: As ONNX Runtime writes it, such as "tensor(float)".
    """

    name: str
    shape: tuple[int | None, ...]
    type: str


class Session:
    """A loaded ONNX file. Safe to call from several threads.

    One thread computes one call (measured on CPU: many calls side by side beat one call on many threads).
    """

    def __init__(self, path: Path, *, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        wanted = ["CUDAExecutionProvider"] if device == "cuda" else []
        self._session = onnxruntime.InferenceSession(str(path), options, providers=[*wanted, "CPUExecutionProvider"])
        self.num_bytes = path.stat().st_size
        self.device = "cuda" if "CUDAExecutionProvider" in self._session.get_providers() else "cpu"
        self.inputs = tuple(_describe(one) for one in self._session.get_inputs())
        self.outputs = tuple(_describe(one) for one in self._session.get_outputs())
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
        """Compute all outputs, in the order of the file; inputs get the type that the file asks for.

        Where the file has one input, it may be given under any name: what files of earlier releases call it differs.
        """
        if len(self.inputs) == len(inputs) == 1:
            inputs = {self.inputs[0].name: next(iter(inputs.values()))}
        types = {one.name: _TYPES.get(one.type, np.float32) for one in self.inputs}
        fed = {name: np.asarray(value, dtype=types.get(name)) for name, value in inputs.items()}
        return list(self._session.run(None, fed))


def _describe(one: Any) -> Tensor:
    return Tensor(one.name, tuple(size if isinstance(size, int) else None for size in one.shape), one.type)
