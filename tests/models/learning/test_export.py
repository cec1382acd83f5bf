from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from models.learning.compact import CompactResNet
from models.learning.export import ExportDiffers, export
from models.runtime import Session


class Shaky(nn.Module):
    """Computes something else whenever it is not being traced."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean((2, 3)) + (0.0 if torch.onnx.is_in_onnx_export() else 1.0)


def batches(*sizes: int, side_px: int = 32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(size, 3, side_px, side_px, generator=generator) for size in sizes]


def test_the_file_computes_what_the_network_computes_on_batches_of_any_size(tmp_path: Path) -> None:
    network = CompactResNet(side_px=32, width=4).eval()

    export(network, tmp_path / "model.onnx", samples=batches(1, 3))

    session = Session(tmp_path / "model.onnx", device="cpu")
    for pixels in batches(1, 2, 9):
        (computed,) = session.run({"images": pixels.numpy()})
        np.testing.assert_allclose(computed, network(pixels).detach().numpy(), atol=1e-5)


def test_an_input_may_be_named_and_be_free_in_other_dimensions_than_the_batch(tmp_path: Path) -> None:
    class Sum(nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features.sum((1, 2))[:, None]

    export(Sum(), tmp_path / "model.onnx", samples=[torch.ones(3, 4, 2)], name="features", free=(0, 1))

    (computed,) = Session(tmp_path / "model.onnx", device="cpu").run({"features": np.ones((1, 9, 2), np.float32)})
    assert computed.tolist() == [[18]]


def test_the_file_is_alone_and_valid(tmp_path: Path) -> None:
    export(CompactResNet(side_px=32, width=4), tmp_path / "model.onnx", samples=batches(2))

    onnx.checker.check_model(str(tmp_path / "model.onnx"))
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_file_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportDiffers, match="differs"):
        export(Shaky(), tmp_path / "model.onnx", samples=batches(2))

    assert not (tmp_path / "model.onnx").exists()
