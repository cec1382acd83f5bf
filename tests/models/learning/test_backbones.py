from pathlib import Path

import pytest
import torch

from models.family import ARCHITECTURES, FamilyError
from models.learning.backbones import build_random, load_pretrained
from models.learning.vision import load_torchvision


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty hub cache, and no way to the hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")


def save_weights(folder: Path, name: str, architecture: str = "resnet18", num_classes: int = 7) -> torch.Tensor:
    """Save random weights and return some of them."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(5)
    network = load_torchvision().models.get_model(architecture, weights=None, num_classes=num_classes)
    torch.save(network.state_dict(), folder / name)
    return next(network.parameters()).detach()


@pytest.mark.parametrize("name", ["resnet18.pth", "resnet18-f37072fd.pth"])
def test_weights_in_the_folder_are_found_whatever_their_head(tmp_path: Path, name: str) -> None:
    saved = save_weights(tmp_path / "weights", name)

    backbone = load_pretrained("auto", folder=tmp_path / "weights")

    assert backbone is not None
    assert torch.equal(next(backbone.features.parameters()), saved)
    assert backbone.features(torch.zeros(2, 3, 64, 64)).shape == (2, backbone.num_features)
    assert name in backbone.source
    assert "sha256" in backbone.source


def test_weights_in_the_hub_cache_are_found(tmp_path: Path) -> None:
    save_weights(tmp_path / "torch" / "hub" / "checkpoints", "mobilenet_v3_small-047dcff4.pth", "mobilenet_v3_small")

    backbone = load_pretrained("auto", folder=tmp_path)

    assert backbone is not None
    assert "hub cache" in backbone.source


def test_the_folder_goes_before_the_hub_cache(tmp_path: Path) -> None:
    save_weights(tmp_path / "weights", "resnet18.pth")
    save_weights(tmp_path / "torch" / "hub" / "checkpoints", "resnet18-f37072fd.pth")

    backbone = load_pretrained("resnet18", folder=tmp_path / "weights")

    assert backbone is not None
    assert str(tmp_path / "weights") in backbone.source


def test_what_is_no_state_dictionary_of_that_architecture_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "resnet18.pth").write_bytes(b"no weights")
    torch.save({"other": torch.zeros(1)}, tmp_path / "resnet18-1.pth")
    torch.save([1, 2], tmp_path / "resnet18-2.pth")
    save_weights(tmp_path, "resnet18-3.pth", "mobilenet_v3_small")

    assert load_pretrained("resnet18", folder=tmp_path) is None


def test_offline_without_weights_none_are_found(tmp_path: Path) -> None:
    assert load_pretrained("auto", folder=None) is None
    assert load_pretrained("resnet18", folder=tmp_path / "absent") is None


def test_weights_that_run_code_when_loaded_are_passed_over(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"conv1.weight": Payload()}, tmp_path / "resnet18.pth")

    assert load_pretrained("resnet18", folder=tmp_path) is None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_gives_features(architecture: str) -> None:
    backbone = build_random(architecture)

    features = backbone.features.eval()(torch.zeros(1, 3, 64, 64))

    assert features.shape == (1, backbone.num_features)
    assert "random" in backbone.source


def test_an_unknown_architecture_is_named_with_known_ones() -> None:
    with pytest.raises(FamilyError, match=r"alexandria.*resnet18"):
        build_random("alexandria")
    with pytest.raises(FamilyError, match="alexandria"):
        load_pretrained("alexandria", folder=None)
