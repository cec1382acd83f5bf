"""Which segmenter answers a click? One with weights that were put there, what a project learnt, or neither."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from backend.inference.cache import ByteCache
from backend.inference.engine import Engine
from backend.settings import Settings
from backend.versions.registry import ModelVersion
from models.clicks import ClickSegmenter
from models.family import FamilyError
from models.interactive.classical import ClassicalSegmenter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a folder with ONNX files.

    Attributes:
        folder: The folder.
        segmenter: None where the files are no pair of an encoder and a decoder.
        problem: Why not; "" where they are.
    """

    folder: Path
    segmenter: ClickSegmenter | None
    problem: str = ""

    @property
    def num_bytes(self) -> int:
        """About how much memory it holds."""
        return self.segmenter.num_bytes if self.segmenter else 0


class Segmenters:
    """Loads click segmenters when they are first needed; weights that are added later are found without a restart."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._loaded: ByteCache[tuple[object, ...], Loaded] = ByteCache(capacity_bytes=settings.engine_bytes)
        self._classical = ClassicalSegmenter()

    def choose(self, version: ModelVersion | None) -> ClickSegmenter:
        """Return who answers.

        Weights of a Segment Anything network come first, whose owner put them there for that. Then comes what the
        project learnt: it was promoted because it is better than the segmenter that learns nothing, which is the last.

        Args:
            version: The version in use of the project's click segmenter; None where it has none.

        Raises:
            NotFound: The version's files are missing.
        """
        for folder in _folders(self._settings.weights_folder):
            load = partial(_load, folder, device=self._settings.device_name)
            if (found := self._loaded.get(_state(folder), load).segmenter) is not None:
                return found
        if version is not None:
            return cast(ClickSegmenter, self._engine.predictor(version))  # what the family click_segmentation loads
        return self._classical


def load_pretrained(weights: Path, *, device: str) -> list[Loaded]:
    """Load whatever a folder with weights holds, in the order in which it is tried."""
    return [_load(folder, device=device) for folder in _folders(weights)]


def _load(folder: Path, *, device: str) -> Loaded:
    from models.interactive.sam import SamSegmenter  # ONNX Runtime; a start without weights need not wait for it

    try:
        segmenter = SamSegmenter(folder, device=device)
    except FamilyError as error:
        log.warning("weights cannot answer clicks", extra={"folder": str(folder), "reason": str(error)})
        return Loaded(folder, None, str(error))
    log.info("weights for clicks loaded", extra={"folder": str(folder), "layout": segmenter.layout.value})
    return Loaded(folder, segmenter)


def _folders(weights: Path) -> list[Path]:
    """Return the folder and those in it that have at least two ONNX files, by name."""
    if not weights.is_dir():
        return []
    inside = sorted(path for path in weights.iterdir() if path.is_dir())
    return [folder for folder in (weights, *inside) if len(_files(folder)) >= 2]


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.onnx")) if path.is_file()]


def _state(folder: Path) -> tuple[object, ...]:
    """Return what changes whenever a file in a folder does."""
    stats = [(str(path), path.stat()) for path in _files(folder)]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
