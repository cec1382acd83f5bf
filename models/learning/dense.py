"""How does a U-Net learn where things are? What the families share that answer with places in an image.

All images are squeezed to one canvas. The train split is learnt and measured on the held-out split; then, for small
sets, training goes on for a while with everything: that is what ships, and the manifest says so.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models import checkpoint
from models.checkpoint import Manifest
from models.examples import Example, Split
from models.family import FamilyError, FitSettings, Progress, Report
from models.labels import LabelSchema
from models.learning import backbones, data, loop
from models.learning.backbones import Backbone
from models.learning.export import export
from models.learning.machine import libraries, use_all_cores
from models.learning.unet import UNet
from models.metrics import evaluate
from models.regions import Region

_REFIT_BELOW = 2000
"""Sets with fewer examples go on learning with all of them: there, each one counts."""
_REFIT_SHARE = 0.4
"""Epochs of that, as a share of the epochs before."""
_STATE = "partial"
_CHUNK = 8

# B batch, N examples, C channels, H height, W width
Maps = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Job:
    """The arguments of a fit; see `models.family.Fit`."""

    examples: Sequence[Example]
    schema: LabelSchema
    settings: FitSettings
    device: str
    report: Report
    folder: Path
    weights: Path | None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a family wants its sets learnt; all of it may depend on the examples, none of it on the clock.

    Attributes:
        family: Its name.
        side_px: Root of the area of the canvas, where images are that large and the settings do not say otherwise.
        num_passes: Passes of one image of that area, forth and back, in the first stage on a CPU, where the settings
            name no time limit; about 100 s of work on two cores.
        max_epochs: Small sets are not learnt for longer.
        learning_rate: See `loop.Schedule`.
        batch_size: At most.
        widths: Of the small U-Net; see `UNet`.
        stride: Of the maps.
        augmentation: Of training images and, through `Target.loss`, of what is to be found in them.
    """

    family: str
    side_px: int
    num_passes: int
    augmentation: data.Augmentation
    max_epochs: int = 100
    learning_rate: float = 3e-3
    batch_size: int = 8
    widths: tuple[int, ...] = (16, 32, 64, 96, 128)
    stride: int = 2


@dataclass(frozen=True, slots=True)
class Canvas:
    """Readable examples, in the order of their keys, with their images squeezed to one size (uint8)."""

    examples: tuple[Example, ...]
    pixels_NHWC: npt.NDArray[np.uint8]
    device: str

    @property
    def width_px(self) -> int:
        """Of every image; a multiple of 32."""
        return int(self.pixels_NHWC.shape[2])

    @property
    def height_px(self) -> int:
        """Of every image; a multiple of 32."""
        return int(self.pixels_NHWC.shape[1])

    def pixels(self, indices: Sequence[int]) -> Tensor:
        """Return images as floats in [0, 1], shape (B, 3, H, W), on the device."""
        return data.to_tensor(self.pixels_NHWC[np.asarray(indices, dtype=np.int64)], device=self.device)


class Target(Protocol):
    """What a family wants the maps to say."""

    @property
    def num_outputs(self) -> int:
        """Channels of the maps."""

    def loss(self, maps_BCHW: Tensor, indices: Sequence[int], theta_B23: Tensor) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            maps_BCHW: What the network says about the distorted images.
            indices: Which examples of the canvas they are.
            theta_B23: How they were distorted, see `data.draw_warp`, `data.warp` and `data.warp_points`.
        """

    def head(self) -> nn.Module:
        """Return what turns maps into the output that is served (a sigmoid, say); it is exported with the network."""

    def regions(self, output_BCHW: Maps, indices: Sequence[int]) -> list[list[Region]]:
        """Read the served output for some examples, exactly as predict.py does."""

    def inputs(self) -> Mapping[str, Any]:
        """Return what predict.py must know besides `width_px` and `height_px`; asked for after `tune`."""

    def tune(self, output_NCHW: Maps, indices: Sequence[int]) -> None:
        """Choose thresholds on examples that the network was not trained on; not called where there are none."""


def fit(job: Job, recipe: Recipe, aim: Callable[[Canvas], Target]) -> None:
    """Learn, measure, export and leave a checkpoint.

    Args:
        job: What `Fit` was called with.
        recipe: How.
        aim: Makes the target for the examples that can be read.

    Raises:
        FamilyError: There is nothing that can be learnt from.
    """
    num_threads = use_all_cores()
    (job.folder / _STATE).mkdir(parents=True, exist_ok=True)
    job.report.progress(Progress("reading images", 0, 1, 0.0))
    canvas = _read(job, recipe)
    target = aim(canvas)
    pretrained = (
        backbones.load_pretrained(job.settings.backbone, folder=job.weights) if job.settings.is_pretrained else None
    )
    trainer = _Trainer(job, recipe, canvas, target, pretrained)
    train, held_out = (
        [index for index, example in enumerate(canvas.examples) if example.split is split]
        for split in (Split.TRAIN, Split.HELD_OUT)
    )
    if not train:
        raise FamilyError("There are no labelled images to learn from yet; all there are were set aside for measuring.")
    is_refit = bool(held_out) and len(canvas.examples) < _REFIT_BELOW
    num_epochs = trainer.num_epochs(len(train))
    job.report.log(
        f"{len(canvas.examples)} images are learnt from at {canvas.width_px} × {canvas.height_px} pixels; "
        f"first weights: {trainer.weights_source}"
    )
    trainer.train("evaluating", train, num_epochs, recipe.learning_rate, until=0.65 if is_refit else 0.9)
    metrics, predictions = _measure(job.schema, trainer, held_out)
    if is_refit:
        everything = list(range(len(canvas.examples)))
        more = max(1, round(num_epochs * _REFIT_SHARE))
        trainer.train("training on all labels", everything, more, recipe.learning_rate / 2, until=0.9)

    job.report.progress(Progress("exporting", 0, 1, 0.9))
    served = trainer.served().cpu()
    num_samples = len(canvas.examples)
    samples = [
        canvas.pixels(list(range(start, min(end, num_samples)))).cpu() for start, end in ((0, 2), (0, 1), (0, 3))
    ]
    export(served, job.folder / checkpoint.ONNX, samples=samples)
    torch.save(served.state_dict(), job.folder / checkpoint.WEIGHTS)
    counts = {"num_train": len(train), "num_held_out": len(held_out), "num_epochs": num_epochs}
    checkpoint.write_manifest(
        job.folder,
        Manifest(
            family=recipe.family,
            schema=job.schema,
            settings=job.settings,
            inputs={"width_px": canvas.width_px, "height_px": canvas.height_px, **target.inputs()},
            weights_source=trainer.weights_source,
            libraries=libraries(num_threads),
            metrics={**metrics, **counts, "is_refit_on_all_labels": is_refit},
            held_out=predictions,
        ),
    )
    shutil.rmtree(job.folder / _STATE)
    job.report.progress(Progress("exporting", 1, 1, 1.0))


def _read(job: Job, recipe: Recipe) -> Canvas:
    examples = sorted(job.examples, key=lambda example: example.key)
    if not examples:
        raise FamilyError("There are no labelled images yet.")
    size_px = data.median_size_px(examples)
    if size_px is None:
        raise FamilyError("None of the labelled images can be read.")
    side_px = job.settings.image_px or min(recipe.side_px, round((size_px[0] * size_px[1]) ** 0.5))
    aspect = float(np.clip(size_px[0] / size_px[1], 0.4, 2.5))
    width_px, height_px = (max(32, round(side_px * ratio / 32) * 32) for ratio in (aspect**0.5, aspect**-0.5))
    decoded = data.decode(examples, width_px=width_px, height_px=height_px, log=job.report.log)
    if not decoded.examples:
        raise FamilyError("None of the labelled images can be read.")
    return Canvas(decoded.examples, decoded.pixels_NHWC, job.device)


def _measure(
    schema: LabelSchema, trainer: _Trainer, held_out: Sequence[int]
) -> tuple[Mapping[str, Any], dict[str, tuple[Region, ...]]]:
    if not held_out:
        return {}, {}
    output_NCHW = trainer.output(held_out)
    trainer.target.tune(output_NCHW, held_out)
    found = trainer.target.regions(output_NCHW, held_out)
    chosen = [trainer.canvas.examples[index] for index in held_out]
    predictions = {example.key: tuple(regions) for example, regions in zip(chosen, found, strict=True)}
    return evaluate(schema, {example.key: example.regions for example in chosen}, predictions).metrics, predictions


class _Trainer:
    def __init__(self, job: Job, recipe: Recipe, canvas: Canvas, target: Target, pretrained: Backbone | None) -> None:
        self._job, self._recipe = job, recipe
        self.canvas, self.target = canvas, target
        self._is_pretrained = pretrained is not None
        self._fraction = 0.0
        torch.manual_seed(job.settings.seed)
        self._network = UNet(target.num_outputs, backbone=pretrained, widths=recipe.widths, stride=recipe.stride)
        self._network.to(job.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weights_source = pretrained.source if pretrained else "random: no pretrained weights were found"

    def num_epochs(self, num_examples: int) -> int:
        settings, recipe = self._job.settings, self._recipe
        area = self.canvas.width_px * self.canvas.height_px / recipe.side_px**2
        passes = recipe.num_passes / area * (settings.time_limit_s / 150 if settings.time_limit_s else 1.0)
        passes *= 20 if self._job.device == "cuda" else 0.5 if self._is_pretrained else 1
        return settings.max_epochs or int(np.clip(passes / num_examples, 4, recipe.max_epochs))

    def train(self, stage: str, learn: Sequence[int], num_epochs: int, learning_rate: float, *, until: float) -> None:
        """Learn from some examples, from the present weights on; `until`: fraction of the whole fit when it is done."""
        canvas, augmentation, seed = self.canvas, self._recipe.augmentation, self._job.settings.seed

        def compute_loss(epoch: int, batch: Sequence[int]) -> Tensor:
            indices = [learn[index] for index in batch]
            draws_BD = data.draw(seed, epoch, indices, device=self._job.device)
            theta_B23 = data.draw_warp(augmentation, draws_BD)
            pixels = data.relight(data.warp(canvas.pixels(indices), theta_B23), augmentation, draws_BD)
            return self.target.loss(self._network(pixels), indices, theta_B23)

        start = self._fraction

        def progressed(epoch: int, metrics: Mapping[str, float]) -> None:
            self._fraction = start + (until - start) * epoch / num_epochs
            self._job.report.progress(Progress(stage, epoch, num_epochs, self._fraction, metrics))

        batch_size = int(np.clip(len(learn) // 6, 2, self._recipe.batch_size))
        rate = learning_rate / 6 if self._is_pretrained else learning_rate
        loop.train(
            self._network,
            loop.Schedule(num_epochs, batch_size, rate, seed=seed),
            num_examples=len(learn),
            compute_loss=compute_loss,
            validate=None,
            device=self._job.device,
            state_path=self._job.folder / _STATE / f"{stage.replace(' ', '-')}.pt",
            progressed=progressed,
        )
        self._fraction = until

    def served(self) -> nn.Module:
        """Return what is exported."""
        return nn.Sequential(self._network, self.target.head()).eval()

    def output(self, indices: Sequence[int]) -> Maps:
        """Return the served output for examples, shape (N, C, H, W)."""
        served = self.served().to(self._job.device)
        with torch.no_grad():
            parts = [
                served(self.canvas.pixels(indices[at : at + _CHUNK])).float().cpu().numpy()
                for at in range(0, len(indices), _CHUNK)
            ]
        return np.concatenate(parts)
