"""How does a trained network become the ONNX file that is served?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.runtime import Session

INPUT = "images"
"""Name of the only input of a network that sees images: float32, shape (B, 3, H, W), in [0, 1]."""
_OUTPUT = "output"
_OPSET = 18
TOLERANCE = 1e-3
"""Largest difference between outputs of torch and of the ONNX file that is accepted; outputs are probabilities."""


class ExportDiffers(RuntimeError):
    """The ONNX file does not compute what the network computes."""


def export(
    network: nn.Module, path: Path, *, samples: Sequence[Tensor], name: str = INPUT, free: Sequence[int] = (0,)
) -> None:
    """Write a network as one ONNX file with a free batch size, and check that it computes the same.

    Args:
        network: Takes and returns one tensor whose first dimension is the batch.
        path: The file to write.
        samples: Batches to compare on, of different sizes, real examples among them; the first one is traced.
        name: Of the input.
        free: Dimensions of the input that differ from call to call.

    Raises:
        ExportDiffers: An output of the file differs by more than `TOLERANCE`.
    """
    network = network.to("cpu").eval()
    traced = samples[0].cpu()
    if len(traced) < 2:  # the exporter would take a batch of one for a constant
        traced = torch.cat((traced, traced))
    partial = path.with_suffix(".partial.onnx")
    with warnings.catch_warnings():
        # The exporter by tracing is deprecated, but writes in 0.3 s what the newer one writes in 5: a third of a small
        # fit. Its warnings about constants in the trace are answered by the check below.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (traced,),
            str(partial),
            input_names=[name],
            output_names=[_OUTPUT],
            dynamic_axes={name: {at: f"free{at}" if at else "batch" for at in free}, _OUTPUT: {0: "batch"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    _check(network, partial, samples, name)
    partial.replace(path)


def _check(network: nn.Module, path: Path, samples: Sequence[Tensor], name: str) -> None:
    session = Session(path, device="cpu")
    for sample in samples:
        with torch.no_grad():
            expected = network(sample.cpu()).numpy()
        (computed,) = session.run({name: sample.cpu().numpy()})
        difference = float(np.abs(expected - computed).max()) if expected.shape == computed.shape else np.inf
        if not difference <= TOLERANCE:  # also catches NaN
            raise ExportDiffers(
                f"the ONNX file's output of shape {computed.shape} differs from torch's of shape {expected.shape} "
                f"by {difference:.2g} on a batch of {len(sample)}; at most {TOLERANCE} is accepted"
            )
