"""How does a classifier of whole images learn?

Stage 1 trains on the train split, less a part kept aside that says which epoch is best and how far to trust the scores,
and is measured on the held-out split. Stage 2, for small sets, trains again on everything and takes over that trust;
it is what ships, and the manifest says so.

With pretrained weights a backbone is fine-tuned, from a linear probe on. Without, a small network and a linear model
on classical descriptors learn side by side, and their logits are added: each errs where the other does not. Where
mirrored images keep their label, both look at the mirror image too.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models import checkpoint
from models.checkpoint import Manifest
from models.examples import Example, Split
from models.families.image_classification.predict import choices
from models.family import FamilyError, FitSettings, Progress, Report
from models.labels import LabelSchema, Objective
from models.learning import backbones, data, loop
from models.learning.backbones import Backbone
from models.learning.classifier import Classifier, Described, Mirrored, Network, fit_trust
from models.learning.compact import CompactResNet
from models.learning.descriptors import Descriptors
from models.learning.export import export
from models.learning.linear import classification_loss, fit_linear
from models.learning.machine import libraries, use_all_cores
from models.metrics import evaluate
from models.regions import Region

_REFIT_BELOW = 2000
"""Sets with fewer examples are learnt once more with all of them: there, each one counts."""
_ASIDE = 0.2
"""Share of the train split that stage 1 keeps aside."""
_NUM_PROBED = 600
"""Examples that decide whether mirrored images keep their label."""
_STATE = "partial"
_CHUNK = 64

# B batch, N examples, K labels, M parts, V views, F features, H height, W width
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
    """Learn labels of whole images; see `models.family.Fit`."""
    num_threads = use_all_cores()
    (folder / _STATE).mkdir(parents=True, exist_ok=True)
    report.progress(Progress("reading images", 0, 1, 0.0))
    usable = _usable(examples, schema, log=report.log)
    pretrained = backbones.load_pretrained(settings.backbone, folder=weights) if settings.is_pretrained else None
    side_px = _choose_side_px(settings, usable, pretrained, device=device)
    material = _load(usable, schema, side_px=side_px, device=device, log=report.log)
    is_refit = len(material.examples) < _REFIT_BELOW
    report.log(f"{len(material.examples)} images are learnt from at {side_px} × {side_px} pixels")

    learn, aside, held_out = _divide(material, settings.seed)
    recipe = _choose_recipe(settings, material, np.concatenate((learn, aside)), pretrained, device=device)
    trainer = _Trainer(material, recipe, pretrained, settings, device=device, report=report, state=folder / _STATE)
    report.log(f"first weights: {trainer.weights_source}")
    report.log(f"mirrored images are {'' if recipe.augmentation.is_flipped else 'not '}learnt from")
    first = trainer.train("evaluating", learn, aside, num_epochs=recipe.num_epochs, until=0.45 if is_refit else 0.9)
    trust = fit_trust(trainer.logits(first, aside), material.targets_NK[aside], is_single=material.is_single)
    metrics, predictions = _measure(trainer.classifier(first, trust), material, held_out, schema)
    shipped = first
    if is_refit:
        everything = np.arange(len(material.examples))
        shipped = trainer.train("training on all labels", everything, None, num_epochs=first.num_epochs, until=0.9)
        # Held-out examples are no longer needed for measuring, and may now say how far to trust the scores.
        unseen = np.concatenate((aside, held_out))
        trust = fit_trust(trainer.logits(first, unseen), material.targets_NK[unseen], is_single=material.is_single)

    report.progress(Progress("exporting", 0, 1, 0.9))
    served = trainer.classifier(shipped, trust).cpu()
    samples = [data.to_tensor(material.pixels_NHWC[start:end], device="cpu") for start, end in ((0, 2), (2, 3), (0, 7))]
    export(served, folder / checkpoint.ONNX, samples=[sample for sample in samples if len(sample)])
    torch.save(served.state_dict(), folder / checkpoint.WEIGHTS)
    checkpoint.write_manifest(
        folder,
        Manifest(
            family="image_classification",
            schema=schema,
            settings=settings,
            inputs={"side_px": side_px},
            weights_source=trainer.weights_source,
            libraries=libraries(num_threads),
            metrics={
                **metrics,
                "num_train": len(learn) + len(aside),
                "num_held_out": len(held_out),
                "num_epochs": shipped.num_epochs,
                "is_refit_on_all_labels": is_refit,
            },
            held_out=predictions,
        ),
    )
    shutil.rmtree(folder / _STATE)
    report.progress(Progress("exporting", 1, 1, 1.0))


@dataclass(frozen=True, slots=True)
class _Material:
    """Readable examples with their pixels (uint8) and targets (1 where a label applies), in the order of their keys."""

    examples: tuple[Example, ...]
    pixels_NHWC: npt.NDArray[np.uint8]
    targets_NK: Tensor
    is_single: bool
    device: str

    def pixels(self, indices: Sequence[int] | Indices) -> Tensor:
        return data.to_tensor(self.pixels_NHWC[np.asarray(indices)], device=self.device)

    def compute(self, function: Callable[[Tensor], Tensor], indices: Indices) -> Tensor:
        """Apply a function of pixels to many examples, without gradients."""
        with torch.no_grad():
            parts = [function(self.pixels(indices[at : at + _CHUNK])) for at in range(0, len(indices), _CHUNK)]
        return torch.cat(parts).float()


def _usable(examples: Sequence[Example], schema: LabelSchema, *, log: Callable[[str], None]) -> list[Example]:
    usable = []
    for example in sorted(examples, key=lambda example: example.key):
        if schema.objective is Objective.CLASSIFICATION and not any(r.label in schema.names for r in example.regions):
            log(f"{example.key} is skipped: it has no label of this label set")
        else:
            usable.append(example)
    if not usable:
        raise FamilyError("There are no labelled images yet.")
    return usable


def _load(
    examples: Sequence[Example], schema: LabelSchema, *, side_px: int, device: str, log: Callable[[str], None]
) -> _Material:
    decoded = data.decode(examples, width_px=side_px, height_px=side_px, log=log)
    if not decoded.examples:
        raise FamilyError("None of the labelled images can be read.")
    names = [{region.label for region in example.regions} for example in decoded.examples]
    targets_NK = torch.tensor([[float(label in chosen) for label in schema.names] for chosen in names])
    is_single = schema.objective is Objective.CLASSIFICATION
    counts = targets_NK[[example.split is Split.TRAIN for example in decoded.examples]].sum(0)
    num_train = sum(example.split is Split.TRAIN for example in decoded.examples)
    if is_single and int((counts > 0).sum()) < 2:
        raise FamilyError("At least two different labels are needed, and all labelled images have the same one.")
    if is_single and int((counts > 1).sum()) < 2:
        raise FamilyError("At least two labels need two images or more each; label some more images.")
    if not is_single and not bool(((counts > 1) & (counts < num_train)).any()):
        raise FamilyError(
            "At least one label must apply to two images or more and not to some other; label more images."
        )
    return _Material(decoded.examples, decoded.pixels_NHWC, targets_NK, is_single, device)


def _divide(material: _Material, seed: int) -> tuple[Indices, Indices, Indices]:
    """Return the examples to learn from, those kept aside (a stratified share of the train split), those held out."""
    order = np.random.default_rng((seed, 1)).permutation(len(material.examples))
    groups: dict[bytes, list[int]] = {}
    held_out: list[int] = []
    for index in order.tolist():
        if material.examples[index].split is Split.HELD_OUT:
            held_out.append(index)
        else:
            groups.setdefault(material.targets_NK[index].numpy().tobytes(), []).append(index)
    aside = [index for members in groups.values() for index in members[: int(len(members) * _ASIDE + 0.4)]]
    learn = [index for members in groups.values() for index in members[int(len(members) * _ASIDE + 0.4) :]]
    return (np.sort(np.array(part, dtype=np.int64)) for part in (learn, aside, held_out))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How a set is learnt; a function of the settings and the examples, never of the clock, so that it can be resumed.

    Attributes:
        num_epochs: At most.
        batch_size: See `loop.Schedule`.
        learning_rate: See `loop.Schedule`.
        patience: See `loop.Schedule`.
        augmentation: Of training images.
    """

    num_epochs: int
    batch_size: int
    learning_rate: float
    patience: int | None
    augmentation: data.Augmentation


def _choose_side_px(
    settings: FitSettings, examples: Sequence[Example], pretrained: Backbone | None, *, device: str
) -> int:
    if settings.image_px is not None:
        return max(32, round(settings.image_px / 8) * 8)  # what descriptors and networks can divide
    if pretrained is not None:
        return 224 if device == "cuda" else 128
    median_px = min(data.median_size_px(examples) or (96, 96))
    return 96 if median_px > 64 else 64 if median_px > 40 else 32


def _choose_recipe(
    settings: FitSettings, material: _Material, train: Indices, pretrained: Backbone | None, *, device: str
) -> _Recipe:
    side_px = material.pixels_NHWC.shape[1]
    # Passes of one image through the network that fit into a stage of about a minute on two cores.
    passes = 2_000 * (128 / side_px) ** 2 if pretrained is not None else 12_000 * min(1.0, (96 / side_px) ** 2)
    passes *= (20.0 if device == "cuda" else 1.0) * (settings.time_limit_s / 150 if settings.time_limit_s else 1.0)
    most = 30 if pretrained is not None else 100
    num_epochs = settings.max_epochs or int(np.clip(passes / len(train), 6, most))
    augmentation = data.Augmentation(
        min_area=0.5,
        rotation=15,
        shear=0.15,
        shift=0.05,
        light=0.15,
        is_flipped=_may_flip(material, train, settings.seed),
    )
    batch_size = int(np.clip(len(train) // 6, 2, 64 if device == "cuda" else 24))
    # A few dozen examples aside are too few to tell one late epoch from another: small sets are trained to the end.
    patience = None if len(material.examples) < _REFIT_BELOW else max(5, num_epochs // 3)
    return _Recipe(num_epochs, batch_size, 3e-4 if pretrained is not None else 3e-3, patience, augmentation)


def _may_flip(material: _Material, train: Indices, seed: int) -> bool:
    """Tell whether mirrored images keep their label: whether a quick model that learns from them too is no worse."""
    probed = train[np.random.default_rng((seed, 3)).permutation(len(train))[:_NUM_PROBED]]
    seen_NF = material.compute(Descriptors(), probed)
    mirrored_NF = material.compute(lambda pixels: Descriptors()(pixels.flip(3)), probed)
    targets_NK = material.targets_NK[probed].to(material.device)
    without, with_ = (
        fit_linear(views_VNF, targets_NK, is_single=material.is_single, seed=seed, strengths=(10.0,)).loss
        for views_VNF in (seen_NF[None], torch.stack((seen_NF, mirrored_NF)))
    )
    return with_ < 1.02 * without


@dataclass(frozen=True, slots=True)
class _Trained:
    parts: list[nn.Module]
    num_epochs: int


class _Trainer:
    def __init__(
        self,
        material: _Material,
        recipe: _Recipe,
        pretrained: Backbone | None,
        settings: FitSettings,
        *,
        device: str,
        report: Report,
        state: Path,
    ) -> None:
        self._material, self._recipe, self._pretrained = material, recipe, pretrained
        self._settings, self._device, self._report, self._state = settings, device, report, state
        self._fraction = 0.0
        self.weights_source = self._first_backbone().source

    def train(self, stage: str, learn: Indices, aside: Indices | None, *, num_epochs: int, until: float) -> _Trained:
        """Learn from some examples; others, if there are any, say when to stop.

        Args:
            stage: For people, and the name of the state file.
            learn: Examples to learn from.
            aside: Examples to validate on.
            num_epochs: At most.
            until: Fraction of the whole fit when this is done.
        """
        material, recipe, seed = self._material, self._recipe, self._settings.seed
        torch.manual_seed(seed)
        network = Network(self._first_backbone(), material.targets_NK.shape[1], dropout=0.2).to(self._device)
        targets_NK = material.targets_NK.to(self._device)
        parts: list[nn.Module] = [network]
        if self._pretrained is not None:
            features_NF = material.compute(network.eval().features, learn)
            network.head = self._fit_linear(features_NF[None], learn)
        else:
            parts.append(self._describe(learn))
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        def compute_loss(epoch: int, batch: Sequence[int]) -> Tensor:
            indices = learn[np.asarray(batch)].tolist()
            draws_BD = data.draw(seed, epoch, indices, device=self._device)
            pixels = data.augment(material.pixels(indices), recipe.augmentation, draws_BD)
            return classification_loss(
                network(pixels), targets_NK[indices], is_single=material.is_single, smoothing=0.05
            )

        def validate() -> Mapping[str, float]:
            assert aside is not None
            logits_NK, truths_NK = material.compute(network, aside), targets_NK[aside]
            # Calibrated: a network that is right, but too sure, is not worse for it.
            scale = fit_trust(logits_NK[..., None], truths_NK, is_single=material.is_single)[0]
            loss = classification_loss(logits_NK * scale, truths_NK, is_single=material.is_single)
            is_right = (
                logits_NK.argmax(1) == truths_NK.argmax(1) if material.is_single else (logits_NK > 0) == (truths_NK > 0)
            )
            return {"val_loss": float(loss), "val_accuracy": float(is_right.float().mean())}

        start = self._fraction

        def progressed(epoch: int, metrics: Mapping[str, float]) -> None:
            self._fraction = start + (until - start) * epoch / num_epochs
            self._report.progress(Progress(stage, epoch, num_epochs, self._fraction, metrics))

        outcome = loop.train(
            network,
            loop.Schedule(num_epochs, recipe.batch_size, recipe.learning_rate, patience=recipe.patience, seed=seed),
            num_examples=len(learn),
            compute_loss=compute_loss,
            validate=validate if aside is not None and len(aside) else None,
            device=self._device,
            state_path=self._state / f"{stage.replace(' ', '-')}.pt",
            progressed=progressed,
        )
        self._fraction = until
        if recipe.augmentation.is_flipped:
            parts = [Mirrored(part) for part in parts]
        return _Trained(parts, outcome.num_epochs)

    def logits(self, trained: _Trained, indices: Indices) -> Tensor:
        """Return what each part says about examples, shape (N, K, M)."""
        if not len(indices):
            return torch.zeros((0, self._material.targets_NK.shape[1], len(trained.parts)))
        logits = [self._material.compute(part.eval(), indices).cpu() for part in trained.parts]
        return torch.stack(logits, -1)

    def classifier(self, trained: _Trained, trust: list[float]) -> Classifier:
        """Put the parts together to what is served."""
        return Classifier(trained.parts, trust, is_single=self._material.is_single).to(self._device).eval()

    def _first_backbone(self) -> Backbone:
        if self._pretrained is not None:
            return copy.deepcopy(self._pretrained)
        if self._settings.backbone != "auto":
            return backbones.build_random(self._settings.backbone)
        network = CompactResNet(side_px=self._material.pixels_NHWC.shape[1])
        return Backbone(network, network.num_features, "random: no pretrained weights were found")

    def _describe(self, learn: Indices) -> nn.Module:
        views = [self._material.compute(Descriptors(), learn)]
        if self._recipe.augmentation.is_flipped:
            views.append(self._material.compute(lambda pixels: Descriptors()(pixels.flip(3)), learn))
        return Described(self._fit_linear(torch.stack(views), learn))

    def _fit_linear(self, features_VNF: Tensor, learn: Indices) -> nn.Module:
        targets_NK = self._material.targets_NK[learn].to(self._device)
        is_single = self._material.is_single
        return fit_linear(features_VNF, targets_NK, is_single=is_single, seed=self._settings.seed).layer


def _measure(
    classifier: Classifier, material: _Material, held_out: Indices, schema: LabelSchema
) -> tuple[Mapping[str, Any], dict[str, tuple[Region, ...]]]:
    if not len(held_out):
        return {}, {}
    answers = choices(material.compute(classifier, held_out).cpu().numpy(), schema)
    chosen = [material.examples[index] for index in held_out]
    predictions = {example.key: tuple(answer) for example, answer in zip(chosen, answers, strict=True)}
    return evaluate(schema, {example.key: example.regions for example in chosen}, predictions).metrics, predictions
