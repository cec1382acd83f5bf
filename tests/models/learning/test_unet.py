from pathlib import Path

import pytest
import torch

from models.learning.backbones import build_random
from models.learning.export import export
from models.learning.unet import UNet

SMALL = (4, 8, 8, 12)


def images(num: int = 2, channels: int = 3, width: int = 64, height: int = 32) -> torch.Tensor:
    return torch.rand(num, channels, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_maps_have_the_stride_that_was_asked_for(stride: int) -> None:
    network = UNet(5, widths=SMALL, stride=stride).eval()

    assert network(images()).shape == (2, 5, 32 // stride, 64 // stride)
    assert network.multiple == 8


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v3_small", "convnext_tiny"])
def test_a_backbone_gives_maps_of_the_same_size(architecture: str, stride: int) -> None:
    network = UNet(5, backbone=build_random(architecture), stride=stride).eval()

    with torch.no_grad():
        maps = network(images())

    assert maps.shape == (2, 5, 32 // stride, 64 // stride)
    assert network.multiple == 32


def test_further_channels_reach_the_network() -> None:
    network = UNet(1, widths=SMALL, num_inputs=4).eval()
    plain = images(channels=4)
    marked = plain.clone()
    marked[:, 3] += 1

    assert not torch.allclose(network(plain), network(marked))


def test_a_map_sees_beyond_its_pixel() -> None:
    network = UNet(1, widths=SMALL).eval()
    plain = images(1)
    marked = plain.clone()
    marked[..., 40:44] = 0

    moved = (network(plain) - network(marked)).abs()[0, 0].amax(0)

    assert moved[30:40].max() > 0


def test_a_network_can_be_exported_for_any_batch_size(tmp_path: Path) -> None:
    network = torch.nn.Sequential(UNet(2, widths=SMALL, stride=2), torch.nn.Sigmoid()).eval()

    export(network, tmp_path / "net.onnx", samples=[images(2), images(1), images(3)])  # raises where they differ

    assert (tmp_path / "net.onnx").stat().st_size > 1000


def test_all_weights_learn() -> None:
    network = UNet(2, widths=SMALL, stride=2)

    network(images()).square().mean().backward()

    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_a_dark_pale_image_differs_from_a_bright_one_in_half_of_the_input_only() -> None:
    network = UNet(1, widths=SMALL).eval()
    with torch.no_grad():
        network.down.blocks[0][0].weight[:, :3] = 0  # the colours as they are

    maps = network(torch.cat((images(1), 0.1 + images(1) / 4)))

    assert torch.allclose(maps[0], maps[1], atol=1e-2)
