"""How good are the answers to clicks and boxes, before and after learning? Run by `make bench`.

Clicks are simulated (see `models.interactive.simulated`) on things of held-out images. The classical segmenter has no
weights; the learned one has seen 10 or 50 outlines of the other images. Data sets are read from the folder in
TANDEM_TEST_DATA (../shared/data by default).
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from bench.report import Finding, show
from models import catalog, checkpoint, images
from models.clicks import ClickSegmenter, Encoded, Prompts, Segment
from models.examples import Example, Split
from models.family import FitSettings, Progress
from models.images import Image
from models.interactive import simulated
from models.interactive.classical import ClassicalSegmenter
from models.interactive.window import Inside, Window
from models.labels import LabelSchema, Objective
from models.regions import Polygon

SEEN = (10, 50)
"""Outlines that the learned segmenter is given."""
FILLED_BOX = 0.675
"""Mean IoU of the filled box on seg_nuts: an answer that is worse helps nobody."""
SCHEMA = LabelSchema(Objective.CLICK_SEGMENTATION, ())


class Silence:
    """A report to nobody."""

    def progress(self, progress: Progress) -> None:
        """Ignore it."""

    def log(self, line: str) -> None:
        """Ignore it."""


class Timed:
    """A segmenter whose processor time is kept, in milliseconds for each call."""

    def __init__(self, segmenter: ClickSegmenter) -> None:
        self._segmenter = segmenter
        self.key, self.num_bytes = segmenter.key, segmenter.num_bytes
        self.encode_ms: list[float] = []
        self.segment_ms: list[float] = []

    def encode(self, image: Image) -> Encoded:
        """See `ClickSegmenter`."""
        started = time.thread_time()
        encoded = self._segmenter.encode(image)
        self.encode_ms.append((time.thread_time() - started) * 1000)
        return encoded

    def segment(self, encoded: Encoded, prompts: Prompts) -> Segment | None:
        """See `ClickSegmenter`."""
        started = time.thread_time()
        segment = self._segmenter.segment(encoded, prompts)
        self.segment_ms.append((time.thread_time() - started) * 1000)
        return segment


def main() -> None:
    """Print the tables."""
    data = Path(os.environ.get("TANDEM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if (data / "seg_nuts").is_dir():
        show_nuts(data / "seg_nuts")
    if (data / "seg_nuclei").is_dir():
        show_nuclei(data / "seg_nuclei")


def show_nuts(folder: Path) -> None:
    """Measure on photos of nuts and fruit, of which every third is held out."""
    examples = nuts(folder)
    test = [(images.read(example.path), truths(example)) for example in examples[::3]]
    classical = Timed(ClassicalSegmenter())
    reached = measure(classical, test)
    box = reached.pop("box")
    findings = [
        Finding("classical, one box", f"IoU {box:.3f}", f"> {FILLED_BOX} (filled box)", box > FILLED_BOX),
        Finding("classical, clicks", words(reached)),
        Finding("classical, processor time of an answer", milliseconds(classical.segment_ms)),
    ]
    rest = [example for index, example in enumerate(examples) if index % 3]
    for num in SEEN:
        with tempfile.TemporaryDirectory() as scratch:
            started = time.perf_counter()
            train = [*first_outlines(rest, num), *held_out(examples[::3])]
            fit = catalog.fitter("click_segmentation")
            fit(train, SCHEMA, FitSettings(), device="cpu", report=Silence(), folder=Path(scratch), weights=None)
            seconds = time.perf_counter() - started
            metrics = checkpoint.read_manifest(Path(scratch)).metrics
        is_better = "better" if metrics["is_better_than_classical"] else "not measurably better"
        what = f"learned from {num}, on {metrics['num_things']} held-out things (fit {seconds:.0f} s)"
        findings += [
            Finding(what, words(metrics["iou"])),
            Finding("  classical on the same things", words(metrics["iou_classical"])),
            Finding("  gain, and what 95 % of resampled sets exceed", gain(metrics), "> 0", None),
            Finding("  takes over", is_better),
        ]
    show("Clicks and boxes on seg_nuts: mean IoU", findings)


def show_nuclei(folder: Path) -> None:
    """Measure the classical segmenter on fluorescence images of cells."""
    test = list(nuclei(folder))
    findings = [Finding("classical", words(measure(Timed(ClassicalSegmenter()), test)))]
    show("Clicks and boxes on seg_nuclei: mean IoU", findings)


def measure(segmenter: Timed, test: Sequence[tuple[Image, Sequence[Inside]]]) -> dict[str, float]:
    """Return the mean IoU of each way to point."""
    overlaps: list[dict[str, float]] = []
    for image, things in test:
        encoded = segmenter.encode(image)
        overlaps += [simulated.measure(segmenter, encoded, truth) for truth in things]
    return simulated.means(overlaps)


def words(reached: Mapping[str, float]) -> str:
    """Say what each way to point reached."""
    names = {way: "box" if way == "box" else f"{way} click{'s' if way != '1' else ''}" for way in reached}
    return ", ".join(f"{names[way]} {value:.3f}" for way, value in reached.items())


def gain(metrics: Mapping[str, float]) -> str:
    """Say how much better the learned segmenter is."""
    return f"{metrics['gain']:+.3f}, {metrics['gain_lower_bound']:+.3f}"


def milliseconds(values: Sequence[float]) -> str:
    """Say how long something took."""
    return f"mean {np.mean(values):.0f} ms, p95 {np.percentile(values, 95):.0f} ms"


def nuts(folder: Path) -> list[Example]:
    """Read the photos, with their outlines."""
    stored = json.loads((folder / "annotations.json").read_text())
    outlines: dict[int, list[Polygon]] = defaultdict(list)
    photos = {photo["id"]: photo for photo in stored["images"]}
    for annotation in stored["annotations"]:
        photo = photos[annotation["image_id"]]
        points = np.array(annotation["segmentation"][0]).reshape(-1, 2) / (photo["width"], photo["height"])
        outlines[photo["id"]].append(Polygon("thing", tuple((float(x), float(y)) for x, y in points)))
    paths = {key: folder / "images" / Path(photo["file_name"]).name for key, photo in photos.items()}
    return [Example(paths[key].name, paths[key], tuple(outlines[key]), Split.TRAIN) for key in sorted(photos)]


def nuclei(folder: Path) -> Iterator[tuple[Image, list[Inside]]]:
    """Read images of cells, with a few cells of each that are large enough to be pointed at."""
    for path in sorted((folder / "test" / "images").glob("*.png")):
        labels = np.asarray(PillowImage.open(folder / "test" / "masks" / path.name))
        sizes = np.bincount(labels.ravel())
        chosen = [number for number in range(1, len(sizes)) if sizes[number] >= 60][::8]
        yield images.read(path), [labels == number for number in chosen]


def truths(example: Example) -> list[Inside]:
    """Draw the outlines of an example at the size of its image."""
    image = images.read(example.path)
    whole = Window(0.0, 0.0, 1.0, 1.0, image.width_px, image.height_px)
    return [whole.fill(region.points) for region in example.regions if isinstance(region, Polygon)]


def first_outlines(examples: Sequence[Example], num: int) -> Iterator[Example]:
    """Yield examples until they hold a number of outlines."""
    for example in examples:
        regions = example.regions[:num]
        num -= len(regions)
        if regions:
            yield Example(example.key, example.path, regions, Split.TRAIN)


def held_out(examples: Sequence[Example]) -> list[Example]:
    """Return examples to measure on."""
    return [Example(example.key, example.path, example.regions, Split.HELD_OUT) for example in examples]


if __name__ == "__main__":
    main()
