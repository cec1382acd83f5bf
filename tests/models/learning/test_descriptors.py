import numpy as np
import pytest
import torch

from models.learning.descriptors import Descriptors


def describe(pixels: torch.Tensor) -> torch.Tensor:
    return Descriptors()(pixels)


def noise(side_px: int, *, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, side_px, side_px, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("side_px", [32, 40, 96, 128])
def test_descriptors_have_one_length_and_are_finite_for_every_size(side_px: int) -> None:
    described = describe(torch.cat((noise(side_px), torch.zeros(1, 3, side_px, side_px))))

    assert described.shape == (3, 445)
    assert torch.isfinite(described).all()
    assert float(described.min()) >= 0
    assert float(described.max()) <= 1.01


def test_an_image_is_described_alike_alone_and_in_a_batch() -> None:
    pixels = noise(32, count=5)

    assert torch.allclose(describe(pixels)[3:4], describe(pixels[3:4]), atol=1e-6)


def test_colour_histograms_hold_all_pixels() -> None:
    colours = describe(noise(32))[:, : 49 + 56].square()

    np.testing.assert_allclose(colours[:, :49].sum(1), 1, atol=1e-4)
    np.testing.assert_allclose(colours[:, 49:].sum(1), 1, atol=1e-4)


def test_stripes_of_two_directions_differ_and_a_uniform_pattern_is_one() -> None:
    across = (torch.arange(32) % 8 < 4).float().expand(1, 3, 32, 32)
    down = across.transpose(2, 3)

    assert float((describe(across) - describe(down)).abs().max()) > 0.2
    texture = describe(torch.zeros(1, 3, 32, 32))[0, 105 + 128 + 12 :][:30].square().reshape(3, 10)
    np.testing.assert_allclose(texture[:, 0], 1, atol=1e-4)  # nothing is brighter than the centre
