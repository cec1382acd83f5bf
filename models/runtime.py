"""ONNX Runtime sessions: providers and threads. The only file that knows what executes a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime


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

    def run(self, inputs: Mapping[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
        """Compute all outputs, in the order of the file."""
        return list(self._session.run(None, dict(inputs)))
