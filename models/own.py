"""What does a family of one's own have to say? How it learns, and how it answers; the rest is done here.

A file in the folder of own families (`TANDEM_HOME/families`) with one subclass of `OwnFamily` is a family like any
other: it is trained by the trainer, measured on held-out items, versioned, promoted, rolled back. What it learns is a
set of NumPy arrays, which are stored without pickle. `tandem new family NAME` writes a file to begin with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from models import checkpoint, texts
from models.checkpoint import ARRAYS, Manifest
from models.examples import Example, Split
from models.family import Family, FamilyError, FitSettings, Progress, Report
from models.images import BadImage, read_part
from models.labels import LabelSchema, Medium, Objective
from models.metrics import evaluate
from models.regions import Region
from models.texts import BadText

Arrays = Mapping[str, npt.NDArray[Any]]


class OwnFamily(ABC):
    """A family in one class. `learn` runs in the trainer, `answer` in the web process: there, do not import torch.

    Attributes:
        objectives: What it can learn.
        medium: What it looks at.
        summary: One sentence for people.
        min_side_px: Images may be reduced to this shorter side; None: whole images.
    """

    objectives: ClassVar[frozenset[Objective]]
    medium: ClassVar[Medium] = Medium.IMAGE
    summary: ClassVar[str] = "A family of one's own."
    min_side_px: ClassVar[int | None] = None

    @abstractmethod
    def learn(self, contents: Sequence[Any], regions: Sequence[Sequence[Region]], schema: LabelSchema) -> Arrays:
        """Learn from items and what people said about each; return what `answer` needs.

        Args:
            contents: `models.images.Image` for IMAGE, `str` for TEXT.
            regions: What people said, see `models.examples.Example`.
            schema: What was asked.

        Raises:
            FamilyError: It cannot be learnt; the message says what is missing.
        """

    @abstractmethod
    def answer(self, arrays: Arrays, content: Any, schema: LabelSchema) -> list[Region]:
        """Return what is found in an item, best first, with scores; called from several threads at once."""

    @classmethod
    def line(cls, name: str) -> Family:
        """Return the line of the catalogue."""
        return Family(name=name, objectives=cls.objectives, summary=cls.summary, medium=cls.medium)


class OwnFit:
    """The training half: reads, learns, measures, learns again with everything, and writes the checkpoint."""

    def __init__(self, name: str, family: OwnFamily) -> None:
        self._name, self._family = name, family

    def __call__(
        self,
        examples: Sequence[Example],
        schema: LabelSchema,
        settings: FitSettings,
        *,
        device: str,
        report: Report,
        folder: Path,
        weights: Path | None,
    ) -> None:
        """See `models.family.Fit`."""
        report.progress(Progress("reading", 0, 1, 0.0))
        readable = self._read(examples, report)
        train = [pair for pair in readable if pair[0].split is Split.TRAIN]
        held_out = [pair for pair in readable if pair[0].split is Split.HELD_OUT]
        if not train:
            raise FamilyError("There are no labelled items to learn from yet.")
        report.progress(Progress("evaluating", 0, 1, 0.1))
        arrays = self._learn(train, schema)
        found = {example.key: tuple(self._family.answer(arrays, content, schema)) for example, content in held_out}
        truths = {example.key: example.regions for example, _ in held_out}
        metrics = dict(evaluate(schema, truths, found).metrics) if held_out else {}
        if held_out:
            report.progress(Progress("training on all labels", 0, 1, 0.5))
            arrays = self._learn(readable, schema)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ARRAYS).open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        counts = {"num_train": len(train), "num_held_out": len(held_out), "is_refit_on_all_labels": bool(held_out)}
        manifest = Manifest(
            family=self._name,
            schema=schema,
            settings=settings,
            inputs={},
            weights_source="learnt from nothing",
            libraries={"numpy": version("numpy")},
            metrics={**metrics, **counts},
            held_out=found,
        )
        checkpoint.write_manifest(folder, manifest)
        report.progress(Progress("done", 1, 1, 1.0))

    def _learn(self, pairs: Sequence[tuple[Example, Any]], schema: LabelSchema) -> Arrays:
        arrays = self._family.learn([content for _, content in pairs], [e.regions for e, _ in pairs], schema)
        return {name: np.asarray(array) for name, array in arrays.items()}

    def _read(self, examples: Sequence[Example], report: Report) -> list[tuple[Example, Any]]:
        readable: list[tuple[Example, Any]] = []
        for example in sorted(examples, key=lambda one: one.key):
            try:
                if self._family.medium is Medium.TEXT:
                    readable.append((example, texts.read(example.path)))
                else:
                    image = read_part(example.path, example.part, min_side_px=self._family.min_side_px)
                    readable.append((example, image))
            except (BadImage, BadText) as error:
                report.log(f"{example.key} is skipped: {error}")
        return readable


class OwnPredictor:
    """The serving half."""

    def __init__(self, family: OwnFamily, folder: Path) -> None:
        manifest = checkpoint.read_manifest(folder)
        self._family = family
        self.schema: LabelSchema = manifest.schema
        self.min_side_px: int | None = family.min_side_px
        with np.load(folder / ARRAYS, allow_pickle=False) as stored:
            self._arrays = {name: stored[name] for name in stored.files}
        self.num_bytes: int = sum(array.nbytes for array in self._arrays.values())

    def predict(self, contents: Sequence[Any], /) -> list[list[Region]]:
        """See `models.family.Predictor`."""
        return [self._family.answer(self._arrays, content, self.schema) for content in contents]
