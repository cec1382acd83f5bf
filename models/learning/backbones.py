"""Which network is trained, and where do its first weights come from?

Pretrained weights are looked for in the folder given, then in torch's hub cache, then on the hub if it can be reached
quickly. Offline, without any, the weights are random, and the caller is told which it was.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.family import ARCHITECTURES, FamilyError
from models.learning.vision import load_torchvision

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_ANSWER_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network that turns normalized images into features.

    Attributes:
        features: Shapes (B, 3, H, W) → (B, num_features).
        num_features: See above.
        source: Where its weights are from, for people.
    """

    features: nn.Module
    num_features: int
    source: str


def load_pretrained(architecture: str, *, folder: Path | None) -> Backbone | None:
    """Return a torchvision classifier with pretrained weights, less its last layer, or None where none are found.

    Args:
        architecture: A torchvision classification model, or "auto" for the first of `ARCHITECTURES` that is found.
        folder: Looked into before torch's hub cache. A file counts if it is called like the architecture, or begins
            with it and a hyphen (`resnet18-f37072fd.pth`). What does not hold the right weights is passed over.

    Raises:
        FamilyError: There is no such architecture.
    """
    wanted = ARCHITECTURES if architecture == "auto" else (architecture,)
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    places = {"the folder": folder, "the torch hub cache": hub}
    for where, place in places.items():
        for name, path in _candidates(place, wanted):
            network = _load(name, path)
            if network is not None:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                return _without_last_layer(network, f"{name} from {where} {path.parent} ({path.name}, sha256 {digest})")
    downloaded = _download(wanted[0], hub)
    network = _load(wanted[0], downloaded) if downloaded is not None else None
    if network is None:
        return None
    return _without_last_layer(network, f"{wanted[0]} downloaded from {_weights_url(wanted[0])}")


def build_random(architecture: str) -> Backbone:
    """Return a torchvision classifier with random weights, less its last layer.

    Raises:
        FamilyError: There is no such architecture.
    """
    return _without_last_layer(_build(architecture), f"random {architecture}: no pretrained weights were found")


def _without_last_layer(network: nn.Module, source: str) -> Backbone:
    name, last = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    network.set_submodule(name, nn.Identity())
    return Backbone(network, last.in_features, source)


def _candidates(place: Path | None, architectures: Iterable[str]) -> Iterator[tuple[str, Path]]:
    files = sorted(place.glob("*.pth")) if place is not None else []
    for name in architectures:
        for path in files:
            if path.stem == name or path.stem.startswith(f"{name}-"):
                yield name, path


def _build(architecture: str) -> nn.Module:
    models = load_torchvision().models
    if architecture not in models.list_models(module=models):
        raise FamilyError(
            f"There is no backbone called {architecture!r}; try auto or one of {', '.join(ARCHITECTURES)}."
        )
    network: nn.Module = models.get_model(architecture, weights=None)
    return network


def _load(architecture: str, path: Path) -> nn.Module | None:
    """Fill a network from a file, all but the last layer, whose size may differ; None where the file does not fit."""
    network = _build(architecture)
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        return None
    own = network.state_dict()
    head = set(list(own)[-2:])  # the weight and bias of the last layer
    if not isinstance(stored, dict) or not all(_fits(stored.get(key), own[key]) for key in own.keys() - head):
        return None
    network.load_state_dict({key: own[key] if key in head else stored[key] for key in own})
    return network


def _fits(stored: object, own: Tensor) -> bool:
    return isinstance(stored, Tensor) and stored.shape == own.shape


def _weights_url(architecture: str) -> str:
    return str(load_torchvision().models.get_model_weights(architecture).DEFAULT.url)


def _download(architecture: str, hub: Path) -> Path | None:
    """Fetch weights into the hub cache; None where the hub does not answer within seconds or sends something else."""
    _build(architecture)  # an unknown name is an error even offline
    url = _weights_url(architecture)
    if not _answers(url):
        return None
    hub.mkdir(parents=True, exist_ok=True)
    path = hub / url.rsplit("/", 1)[-1]
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_TIMEOUT_S) as answer, partial.open("wb") as file:  # noqa: S310
            digest = hashlib.sha256()
            for chunk in _chunks(answer):
                digest.update(chunk)
                file.write(chunk)
        if not digest.hexdigest().startswith(path.stem.rsplit("-", 1)[-1]):
            return None
        partial.replace(path)
    except (OSError, urllib.error.URLError):
        return None
    finally:
        partial.unlink(missing_ok=True)
    return path


def _chunks(answer: object) -> Iterable[bytes]:
    while chunk := answer.read(1 << 20):  # type: ignore[attr-defined]
        yield chunk


def _answers(url: str) -> bool:
    # In a thread of its own: no timeout applies to a name server that does not answer.
    is_there = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 (the address is torchvision's)
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_TIMEOUT_S):  # noqa: S310
                is_there.set()
        except (OSError, urllib.error.URLError):
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_ANSWER_TIMEOUT_S)
    return is_there.is_set()
