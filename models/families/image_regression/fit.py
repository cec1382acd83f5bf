"""How does a number for a whole image get learnt?

As in image classification: a network (a pretrained backbone, or a small one of our own) and a linear model on classical
descriptors learn side by side; how much each counts, and how far answers are off, is read from examples kept aside.
Then, for small sets, both learn again from everything; that is what ships, and the manifest says so.

Images are distorted little, as crops would change counts and sizes, and mirrored only where that does no harm.
"""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import checkpoint
from models.checkpoint import Manifest
from models.examples import Example, Split
from models.families.image_regression.predict import Unit, numbers
from models.family import FamilyError, FitSettings, Progress, Report
from models.labels import LabelSchema
from models.learning import backbones, data, loop
from models.learning.backbones import Backbone
from models.learning.classifier import Described, Mirrored, Network
from models.learning.compact import CompactResNet
from models.learning.descriptors import Descriptors
from models.learning.export import export
from models.learning.machine import libraries, use_all_cores
from models.learning.regressor import Regressor, fit_mix, fit_ridge
from models.metrics import evaluate
from models.regions import Number, Region

_REFIT_BELOW = 2000
"""Sets with fewer examples are learnt once more with all of them: there, each one counts."""
_ASIDE = 0.2
"""Share of the train split that stage 1 keeps aside."""
_TOLERANCE = 0.1
"""Share of the range of the labels, where numbers have no step."""
_STATE = "partial"
_CHUNK = 64

# B batch, N examples, M parts, V views, F features, H height, W width
Indices = npt.NDArray[np.int64]


def fit(
    examples: Sequence[Example],
    schema: LabelSchema,
    settings: FitSettings,
    *,
    device: str,
    report: Report,
    folder: Path,
    weights: Path | None,
) -> None:
    """Learn numbers of whole images; see `models.family.Fit`."""
    num_threads = use_all_cores()
    (folder / _STATE).mkdir(parents=True, exist_ok=True)
    report.progress(Progress("reading images", 0, 1, 0.0))
    usable = _usable(examples, log=report.log)
    pretrained = backbones.load_pretrained(settings.backbone, folder=weights) if settings.is_pretrained else None
    side_px = _choose_side_px(settings, usable, pretrained, device=device)
    material = _load(usable, schema, side_px=side_px, device=device, log=report.log)
    is_refit = len(material.examples) < _REFIT_BELOW
    report.log(f"{len(material.examples)} images are learnt from at {side_px} × {side_px} pixels")

    learn, aside, held_out = _divide(material, settings.seed)
    trainer = _Trainer(material, pretrained, settings, device=device, report=report, state=folder / _STATE)
    report.log(f"first weights: {trainer.weights_source}")
    num_epochs = trainer.num_epochs(len(learn) + len(aside))
    parts = trainer.train("evaluating", learn, num_epochs=num_epochs, until=0.45 if is_refit else 0.9)
    mix = fit_mix(trainer.numbers(parts, aside), material.targets_N[aside])
    metrics, predictions = _measure(Regressor(parts, mix).eval(), material, held_out, schema)
    if is_refit:
        # Held-out examples are no longer needed for measuring, and may now say how far answers are off.
        unseen = np.concatenate((aside, held_out))
        mix = fit_mix(trainer.numbers(parts, unseen), material.targets_N[unseen])
        everything = np.arange(len(material.examples))
        parts = trainer.train("training on all labels", everything, num_epochs=num_epochs, until=0.9)

    report.progress(Progress("exporting", 0, 1, 0.9))
    served = Regressor(parts, mix).cpu().eval()
    samples = [data.to_tensor(material.pixels_NHWC[start:end], device="cpu") for start, end in ((0, 2), (2, 3), (0, 7))]
    export(served, folder / checkpoint.ONNX, samples=[sample for sample in samples if len(sample)])
    torch.save(served.state_dict(), folder / checkpoint.WEIGHTS)
    counts = {"num_train": len(learn) + len(aside), "num_held_out": len(held_out), "num_epochs": num_epochs}
    checkpoint.write_manifest(
        folder,
        Manifest(
            family="image_regression",
            schema=schema,
            settings=settings,
            inputs={"side_px": side_px, "unit": material.unit.to_json()},
            weights_source=trainer.weights_source,
            libraries=libraries(num_threads),
            metrics={**metrics, **counts, "is_refit_on_all_labels": is_refit},
            held_out=predictions,
        ),
    )
    shutil.rmtree(folder / _STATE)
    report.progress(Progress("exporting", 1, 1, 1.0))


@dataclass(frozen=True, slots=True)
class _Material:
    """Readable examples with their pixels (uint8) and standardized numbers, in the order of their keys."""

    examples: tuple[Example, ...]
    pixels_NHWC: npt.NDArray[np.uint8]
    targets_N: Tensor
    unit: Unit
    device: str

    def pixels(self, indices: Sequence[int] | Indices) -> Tensor:
        return data.to_tensor(self.pixels_NHWC[np.asarray(indices)], device=self.device)

    def compute(self, function: Callable[[Tensor], Tensor], indices: Indices) -> Tensor:
        """Apply a function of pixels to many examples, without gradients."""
        with torch.no_grad():
            parts = [function(self.pixels(indices[at : at + _CHUNK])) for at in range(0, len(indices), _CHUNK)]
        return torch.cat(parts).float()


def _usable(examples: Sequence[Example], *, log: Callable[[str], None]) -> list[Example]:
    usable = []
    for example in sorted(examples, key=lambda example: example.key):
        if _value(example) is None:
            log(f"{example.key} is skipped: it has no number")
        else:
            usable.append(example)
    if not usable:
        raise FamilyError("There are no images with a number yet.")
    return usable


def _value(example: Example) -> float | None:
    values = (region.value for region in example.regions if isinstance(region, Number) and math.isfinite(region.value))
    return next(values, None)


def _choose_side_px(
    settings: FitSettings, examples: Sequence[Example], pretrained: Backbone | None, *, device: str
) -> int:
    if settings.image_px is not None:
        return max(32, round(settings.image_px / 8) * 8)  # what descriptors and networks can divide
    if pretrained is not None:
        return 224 if device == "cuda" else 128
    median_px = min(data.median_size_px(examples) or (96, 96))
    return 96 if median_px > 64 else 64 if median_px > 40 else 32


def _load(
    examples: Sequence[Example], schema: LabelSchema, *, side_px: int, device: str, log: Callable[[str], None]
) -> _Material:
    decoded = data.decode(examples, width_px=side_px, height_px=side_px, log=log)
    if not decoded.examples:
        raise FamilyError("None of the labelled images can be read.")
    values_N = np.array([_value(example) for example in decoded.examples], dtype=np.float64)
    is_train_N = np.array([example.split is Split.TRAIN for example in decoded.examples])
    if not is_train_N.any():
        raise FamilyError("There are no labelled images to learn from yet; all there are were set aside for measuring.")
    train_N = values_N[is_train_N]
    if len(set(train_N.tolist())) < 2:
        raise FamilyError("All labelled images have the same number, so there is nothing to tell apart; label others.")
    step = schema.scale.step if schema.scale else None
    tolerance = step / 2 if step else _TOLERANCE * float(np.ptp(train_N))
    unit = Unit(float(train_N.mean()), float(train_N.std()), tolerance)
    targets_N = torch.tensor((values_N - unit.mean) / unit.deviation, dtype=torch.float32)
    return _Material(decoded.examples, decoded.pixels_NHWC, targets_N, unit, device)


def _divide(material: _Material, seed: int) -> tuple[Indices, Indices, Indices]:
    """Return the examples to learn from, those kept aside (of small and large numbers alike), those held out."""
    is_train_N = np.array([example.split is Split.TRAIN for example in material.examples])
    train, held_out = np.flatnonzero(is_train_N), np.flatnonzero(~is_train_N)
    shuffled = np.random.default_rng((seed, 1)).permutation(train)
    ordered = shuffled[np.argsort(material.targets_N.numpy()[shuffled], kind="stable")]
    is_aside_N = np.arange(len(ordered)) % round(1 / _ASIDE) == 2
    return np.sort(ordered[~is_aside_N]), np.sort(ordered[is_aside_N]), held_out


class _Trainer:
    def __init__(
        self,
        material: _Material,
        pretrained: Backbone | None,
        settings: FitSettings,
        *,
        device: str,
        report: Report,
        state: Path,
    ) -> None:
        self._material, self._pretrained, self._settings = material, pretrained, settings
        self._device, self._report, self._state = device, report, state
        self._fraction = 0.0
        self.weights_source = self._first_backbone().source

    def num_epochs(self, num_examples: int) -> int:
        """Return how many epochs fit into a stage of about half a minute on two cores."""
        settings, is_pretrained = self._settings, self._pretrained is not None
        side_px = self._material.pixels_NHWC.shape[1]
        passes = 1_000 * (128 / side_px) ** 2 if is_pretrained else 8_000 * min(1.0, (96 / side_px) ** 2)
        passes *= 20.0 if self._device == "cuda" else 1.0
        passes *= settings.time_limit_s / 75 if settings.time_limit_s else 1.0
        return settings.max_epochs or int(np.clip(passes / num_examples, 6, 20 if is_pretrained else 80))

    def train(self, stage: str, learn: Indices, *, num_epochs: int, until: float) -> list[nn.Module]:
        """Learn from some examples; `stage` is for people and names the state, `until`: fraction of all when done."""
        material, seed = self._material, self._settings.seed
        targets_N = material.targets_N.to(self._device)
        described, is_flipped = self._describe(learn)
        augmentation = data.Augmentation(
            min_area=0.9, rotation=5, shear=0.05, shift=0.03, light=0.03, is_flipped=is_flipped
        )
        torch.manual_seed(seed)
        network = Network(self._first_backbone(), 1, dropout=0.1).to(self._device)
        if self._pretrained is not None:
            features_NF = material.compute(network.eval().features, learn)
            network.head = fit_ridge(features_NF[None], targets_N[learn], seed=seed).layer.requires_grad_(True)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        def compute_loss(epoch: int, batch: Sequence[int]) -> Tensor:
            indices = learn[np.asarray(batch)].tolist()
            pixels = data.augment(
                material.pixels(indices), augmentation, data.draw(seed, epoch, indices, device=self._device)
            )
            return functional.smooth_l1_loss(network(pixels).float()[:, 0], targets_N[indices], beta=0.3)

        start = self._fraction

        def progressed(epoch: int, metrics: Mapping[str, float]) -> None:
            self._fraction = start + (until - start) * epoch / num_epochs
            self._report.progress(Progress(stage, epoch, num_epochs, self._fraction, metrics))

        batch_size = int(np.clip(len(learn) // 6, 2, 64 if self._device == "cuda" else 24))
        rate = 3e-4 if self._pretrained is not None else 3e-3
        loop.train(
            network,
            loop.Schedule(num_epochs, batch_size, rate, seed=seed),
            num_examples=len(learn),
            compute_loss=compute_loss,
            validate=None,
            device=self._device,
            state_path=self._state / f"{stage.replace(' ', '-')}.pt",
            progressed=progressed,
        )
        self._fraction = until
        parts = [network, described]
        return [Mirrored(part) for part in parts] if is_flipped else parts

    def numbers(self, parts: list[nn.Module], indices: Indices) -> Tensor:
        """Return what each part says about examples, shape (N, M)."""
        if not len(indices):
            return torch.zeros((0, len(parts)))
        return torch.cat([self._material.compute(part.eval(), indices).cpu() for part in parts], 1)

    def _describe(self, learn: Indices) -> tuple[nn.Module, bool]:
        """Return a linear model on descriptors, and whether mirrored images keep their number: if they do no harm."""
        material, seed = self._material, self._settings.seed
        targets_N = material.targets_N[learn].to(self._device)
        seen_NF = material.compute(Descriptors(), learn)
        mirrored_NF = material.compute(lambda pixels: Descriptors()(pixels.flip(3)), learn)
        without = fit_ridge(seen_NF[None], targets_N, seed=seed)
        with_ = fit_ridge(torch.stack((seen_NF, mirrored_NF)), targets_N, seed=seed)
        is_flipped = with_.loss < 1.02 * without.loss
        return Described((with_ if is_flipped else without).layer).to(self._device), is_flipped

    def _first_backbone(self) -> Backbone:
        if self._pretrained is not None:
            return copy.deepcopy(self._pretrained)
        if self._settings.backbone != "auto":
            return backbones.build_random(self._settings.backbone)
        network = CompactResNet(side_px=self._material.pixels_NHWC.shape[1])
        return Backbone(network, network.num_features, "random: no pretrained weights were found")


def _measure(
    regressor: nn.Module, material: _Material, held_out: Indices, schema: LabelSchema
) -> tuple[Mapping[str, Any], dict[str, tuple[Region, ...]]]:
    if not len(held_out):
        return {}, {}
    answers = numbers(material.compute(regressor, held_out).cpu().numpy(), schema, material.unit)
    chosen = [material.examples[index] for index in held_out]
    predictions = {example.key: tuple(answer) for example, answer in zip(chosen, answers, strict=True)}
    return evaluate(schema, {example.key: example.regions for example in chosen}, predictions).metrics, predictions
