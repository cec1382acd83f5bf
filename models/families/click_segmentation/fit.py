"""How does a click segmenter learn from the outlines that people drew?

For each drawn thing, clicks and boxes are simulated, and the classical segmenter answers them. A small U-Net learns to
correct these answers. It is measured on held-out things beside the classical one, on the same clicks; only where it is
better by more than chance does it say so. Stage 2 trains again on everything; that is what ships.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import checkpoint, images
from models.checkpoint import Manifest
from models.clicks import Prompts, Segment
from models.examples import Example, Split
from models.families.click_segmentation.predict import NUM_INPUTS, STRIDE, LearnedSegmenter, look, view_around
from models.family import FamilyError, FitSettings, Progress, Report
from models.interactive import simulated
from models.interactive.classical import ClassicalSegmenter, Reduced
from models.interactive.window import Inside, Window
from models.labels import LabelSchema
from models.learning import data, loop
from models.learning.export import export
from models.learning.machine import libraries, use_all_cores
from models.learning.unet import UNet
from models.metrics import clicks
from models.regions import Box, Mask, Polygon, Region

_SIDE_PX = 128
_WIDTHS = (12, 24, 48, 64)
_NUM_PASSES = 1500
"""Of one simulated prompt through the network, in each stage: less than half a minute on two cores."""
_NUM_PROMPTS = 450
"""Simulated for all things together; each takes the classical segmenter about a tenth of a second."""
_MIN_PROMPTS = 60
_MAX_MEASURED = 16
_TRUTH_PX = 1024
"""Longer side of the image in which truths are drawn."""
_MIN_AREA_PX = 12
"""Smaller things, in that image, are not learnt from."""
_STATE = "partial"

# B batch, N simulated prompts, C channels, H height, W width
Maps = npt.NDArray[np.uint8]


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
    """Learn to find what is pointed at; see `models.family.Fit`. Pretrained weights are not used."""
    num_threads = use_all_cores()
    state = folder / _STATE
    state.mkdir(parents=True, exist_ok=True)
    report.progress(Progress("simulating clicks", 0, 1, 0.0))
    usable = sorted((example for example in examples if _drawn(example.regions)), key=lambda example: example.key)
    train = [example for example in usable if example.split is Split.TRAIN]
    held_out = [example for example in usable if example.split is Split.HELD_OUT]
    side_px = 16 * max(2, round((settings.image_px or _SIDE_PX) / 16))
    share = min(1.0, settings.time_limit_s / 90) if settings.time_limit_s else 1.0
    num_prompts = max(_MIN_PROMPTS, round(_NUM_PROMPTS * share))
    lessons = _simulate(train, side_px=side_px, seed=settings.seed, num_prompts=num_prompts, log=report.log)
    if len(lessons.inputs_NCHW) == 0:
        raise FamilyError("There are no outlines to learn from yet: draw polygons or masks around some things.")
    trainer = _Trainer(settings, device=device, report=report, state=state)
    report.log(f"{lessons.num_things} things are learnt from, with {len(lessons.inputs_NCHW)} simulated prompts")

    manifest = Manifest(
        family="click_segmentation",
        schema=schema,
        settings=settings,
        inputs={"side_px": side_px},
        weights_source="random: corrects the classical segmenter",
        libraries=libraries(num_threads),
        metrics={},
        held_out={},
    )
    shipped, everything = trainer.train("evaluating", lessons, start=0.1, until=0.45), lessons
    metrics = _measure(shipped, manifest, state / "measured", held_out, lessons, log=report.log)
    if metrics["num_things"]:
        num_more = max(_MIN_PROMPTS, num_prompts // 4)
        more = _simulate(held_out, side_px=side_px, seed=settings.seed, num_prompts=num_more, log=report.log)
        everything = lessons.join(more)
        shipped = trainer.train("training on all outlines", everything, start=0.55, until=0.95)
    report.progress(Progress("exporting", 0, 1, 0.95))
    _export(shipped, folder, everything)
    numbers = {"num_train": lessons.num_things, "num_held_out": metrics["num_things"]}
    is_refit = everything is not lessons
    checkpoint.write_manifest(
        folder, replace(manifest, metrics={**metrics, **numbers, "is_refit_on_all_labels": is_refit})
    )
    shutil.rmtree(state)
    report.progress(Progress("exporting", 1, 1, 1.0))


@dataclass(frozen=True, slots=True)
class _Lessons:
    """Simulated prompts, with what the network sees and what it should answer.

    Attributes:
        inputs_NCHW: uint8, see `predict.look`.
        truths_NHW: uint8, 255 in the thing.
        num_things: How many things they point at.
    """

    inputs_NCHW: Maps
    truths_NHW: Maps
    num_things: int

    def join(self, other: _Lessons) -> _Lessons:
        """Return both."""
        return _Lessons(
            np.concatenate((self.inputs_NCHW, other.inputs_NCHW)),
            np.concatenate((self.truths_NHW, other.truths_NHW)),
            self.num_things + other.num_things,
        )


def _drawn(regions: Sequence[Region]) -> list[Polygon | Mask]:
    """Return the regions that have an outline; a box says nothing about one."""
    return [region for region in regions if isinstance(region, Polygon | Mask)]


def _simulate(
    examples: Sequence[Example], *, side_px: int, seed: int, num_prompts: int, log: Callable[[str], None]
) -> _Lessons:
    """Simulate about so many prompts: two boxes for each thing, and one to five clicks."""
    chosen = _choose(examples, num_prompts // 3, seed)
    num_chosen = sum(len(regions) for _, regions in chosen)
    num_clicks = int(np.clip(num_prompts // max(1, num_chosen) - 2, 1, 5))
    classical = ClassicalSegmenter()
    draw = np.random.default_rng((seed, 5))
    inputs: list[Maps] = []
    truths: list[Maps] = []
    num_things = 0
    for encoded, truth_HW in _look_at(chosen, classical, log=log):
        num_things += 1
        for prompts, hint in _answered(classical, encoded, truth_HW, num_clicks=num_clicks, draw=draw):
            view = view_around(encoded, prompts, hint, side_px=side_px)
            whole = Window(0.0, 0.0, 1.0, 1.0, truth_HW.shape[1], truth_HW.shape[0])
            truth = whole.transfer(truth_HW, view) * view.within()
            inputs.append(look(encoded, prompts, hint, view))
            truths.append(np.round(truth * 255).astype(np.uint8))
    if not inputs:
        empty = np.zeros((0, NUM_INPUTS, side_px, side_px), np.uint8)
        return _Lessons(empty, empty[:, 0], 0)
    return _Lessons(np.stack(inputs), np.stack(truths), num_things)


def _answered(
    classical: ClassicalSegmenter, encoded: Reduced, truth_HW: Inside, *, num_clicks: int, draw: np.random.Generator
) -> Iterator[tuple[Prompts, Segment | None]]:
    """Yield prompts with their answers: a tight box, one drawn by a hasty hand, and clicks, each mending the last."""
    tight = simulated.box_around(truth_HW)
    box = tight.boxes[0]
    dx, dy, dw, dh = draw.normal(0, 0.05, 4)
    hasty = Box("", box.x + dx * box.width, box.y + dy * box.height, box.width * (1.05 + dw), box.height * (1.05 + dh))
    for boxed in (tight, Prompts(boxes=(hasty,))):
        yield boxed, classical.segment(encoded, boxed)
    prompts = simulated.first_click(truth_HW)
    for _ in range(num_clicks):
        answer = classical.segment(encoded, prompts)
        yield prompts, answer
        prompts = simulated.next_click(prompts, truth_HW, simulated.draw(answer, truth_HW))


def _choose(examples: Sequence[Example], most: int, seed: int) -> list[tuple[Example, list[Polygon | Mask]]]:
    """Return things by their images; where there are many, some, from as many images as can be."""
    things = [(number, region) for number, example in enumerate(examples) for region in _drawn(example.regions)]
    order = np.random.default_rng((seed, 6)).permutation(len(things))[:most]
    by_example: dict[int, list[Polygon | Mask]] = {}
    for index in sorted(order.tolist()):
        by_example.setdefault(things[index][0], []).append(things[index][1])
    return [(examples[number], regions) for number, regions in by_example.items()]


def _look_at(
    chosen: Sequence[tuple[Example, Sequence[Polygon | Mask]]],
    classical: ClassicalSegmenter,
    *,
    log: Callable[[str], None],
) -> Iterator[tuple[Reduced, Inside]]:
    """Yield each thing: its image, and where it is in it. Unreadable images and tiny things are left out."""
    for example, regions in chosen:
        try:
            image = images.read_part(example.path, example.part)
        except images.BadImage as error:
            log(f"{example.key} is skipped: {error}")
            continue
        encoded = classical.encode(image)
        zoom = min(1.0, _TRUTH_PX / max(image.width_px, image.height_px))
        whole = Window(0.0, 0.0, 1.0, 1.0, max(1, round(image.width_px * zoom)), max(1, round(image.height_px * zoom)))
        for region in regions:
            truth_HW = _truth(region, whole)
            if int(truth_HW.sum()) >= _MIN_AREA_PX:
                yield encoded, truth_HW


def _truth(region: Polygon | Mask, whole: Window) -> Inside:
    if isinstance(region, Polygon):
        return whole.fill(region.points)
    try:
        stored_HW = region.to_array()
    except ValueError:  # runs of another size: nothing can be said about where they belong
        return np.zeros((whole.height_px, whole.width_px), bool)
    return np.asarray(whole.cut(stored_HW.view(np.uint8) * np.uint8(255)) > 127)


class _Corrector(nn.Module):
    """What the classical segmenter found, and how far to depart from it: probabilities, at a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet(1, widths=_WIDTHS, stride=STRIDE, num_inputs=NUM_INPUTS)
        self.trust = nn.Parameter(torch.tensor(2.0))

    def logits(self, maps_BCHW: Tensor) -> Tensor:
        hint_B1HW = functional.avg_pool2d(maps_BCHW[:, NUM_INPUTS - 1 :], STRIDE)
        logits: Tensor = self.unet(maps_BCHW) + self.trust * (2 * hint_B1HW - 1)
        return logits

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        return self.logits(maps_BCHW).sigmoid()


def _loss(logits_B1HW: Tensor, truths_B1HW: Tensor) -> Tensor:
    """Return cross entropy plus one less the soft Dice coefficient."""
    entropy = functional.binary_cross_entropy_with_logits(logits_B1HW, truths_B1HW)
    found = logits_B1HW.sigmoid()
    shared, both = (found * truths_B1HW).sum((1, 2, 3)), (found + truths_B1HW).sum((1, 2, 3))
    return entropy + (1 - (2 * shared + 1) / (both + 1)).mean()


class _Trainer:
    def __init__(self, settings: FitSettings, *, device: str, report: Report, state: Path) -> None:
        self._settings, self._device, self._report, self._state = settings, device, report, state

    def train(self, stage: str, lessons: _Lessons, *, start: float, until: float) -> _Corrector:
        settings, num = self._settings, len(lessons.inputs_NCHW)
        torch.manual_seed(settings.seed)
        network = _Corrector().to(self._device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        passes = _NUM_PASSES * (settings.time_limit_s / 90 if settings.time_limit_s else 1.0)
        passes *= 10 if self._device == "cuda" else 1
        num_epochs = settings.max_epochs or int(np.clip(passes / num, 2, 60))
        augmentation = data.Augmentation(min_area=0.7, rotation=180, shear=0.1, shift=0.05, is_flipped=True, light=0.15)

        def compute_loss(epoch: int, batch: Sequence[int]) -> Tensor:
            draws_BD = data.draw(settings.seed, epoch, batch, device=self._device)
            theta_B23 = data.draw_warp(augmentation, draws_BD)
            seen = np.concatenate((lessons.inputs_NCHW[batch], lessons.truths_NHW[batch][:, None]), 1)
            maps_BCHW = data.warp(torch.from_numpy(seen).to(self._device).float() / 255, theta_B23)
            colours = data.relight(maps_BCHW[:, :3], augmentation, draws_BD)
            logits_B1HW = network.logits(torch.cat((colours, maps_BCHW[:, 3:NUM_INPUTS]), 1))
            return _loss(logits_B1HW, functional.avg_pool2d(maps_BCHW[:, NUM_INPUTS:], STRIDE))

        def progressed(epoch: int, metrics: Mapping[str, float]) -> None:
            fraction = start + (until - start) * epoch / num_epochs
            self._report.progress(Progress(stage, epoch, num_epochs, fraction, metrics))

        loop.train(
            network,
            loop.Schedule(num_epochs, min(8, max(2, num // 6)), 3e-3, seed=settings.seed),
            num_examples=num,
            compute_loss=compute_loss,
            validate=None,
            device=self._device,
            state_path=self._state / f"{stage.replace(' ', '-')}.pt",
            progressed=progressed,
        )
        return network


def _export(network: _Corrector, folder: Path, lessons: _Lessons) -> None:
    served = network.cpu().eval()
    inputs = torch.from_numpy(lessons.inputs_NCHW[:7]).float() / 255
    export(served, folder / checkpoint.ONNX, samples=[part for part in (inputs[:2], inputs[2:3], inputs) if len(part)])
    torch.save(served.state_dict(), folder / checkpoint.WEIGHTS)


def _measure(
    network: _Corrector,
    manifest: Manifest,
    folder: Path,
    held_out: Sequence[Example],
    lessons: _Lessons,
    *,
    log: Callable[[str], None],
) -> Mapping[str, Any]:
    """Compare the network with the classical segmenter on things that it has not seen."""
    folder.mkdir(exist_ok=True)
    _export(network, folder, lessons)
    checkpoint.write_manifest(folder, manifest)
    learned, classical = LearnedSegmenter(folder, "cpu"), ClassicalSegmenter()
    ours: list[Mapping[str, float]] = []
    theirs: list[Mapping[str, float]] = []
    for encoded, truth_HW in _look_at(_choose(held_out, _MAX_MEASURED, manifest.settings.seed), classical, log=log):
        ours.append(simulated.measure(learned, encoded, truth_HW))
        theirs.append(simulated.measure(classical, encoded, truth_HW))
    metrics = clicks.compare(ours, theirs).metrics
    if not metrics["is_better_than_classical"]:
        log("it is not measurably better than the segmenter that learns nothing, which goes on answering")
    return metrics
