"""How does a model of numbers for whole texts learn?

Ridge regression on TF-IDF of words and of characters, see `models.text_features`. Cross-validation on the train split
chooses how strongly to learn; a second ridge regression learns how far off the first one is on texts it has not seen. A
model of the train split is measured on the held-out split; for small sets the model that ships is then learnt from
everything, and the manifest says so.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models import checkpoint, text_features
from models.checkpoint import Manifest
from models.examples import Example, Split
from models.families.text_regression.predict import numbers
from models.family import FamilyError, FitSettings, Progress, Report
from models.labels import LabelSchema
from models.learning import machine
from models.learning.export import export
from models.learning.hashed import Counted, TfIdfLinear, fit_linear
from models.learning.texts import Indices, Readable, folds, kept, read
from models.metrics import evaluate
from models.regions import Number, Region

_REFIT_BELOW = 2000
"""Sets with fewer examples are learnt once more with all of them: there, each one counts."""
_STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
_ERROR_STRENGTH = 0.1
"""Errors are noise more than anything: little is to be believed of what one text says about them."""
_NUM_FOLDS = 5
_LARGE = 1_500_000
"""Features of a set for which only the middle strength is tried."""
_STATE = "partial"

# N examples, B batch


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
    """Learn numbers for whole texts; see `models.family.Fit`. It takes seconds, and always computes on the CPU."""
    num_threads = machine.use_all_cores()
    (folder / _STATE).mkdir(parents=True, exist_ok=True)
    report.progress(Progress("reading texts", 0, 1, 0.0))
    material = _load(examples, log=report.log)
    train, held_out = material.readable.indices(Split.TRAIN), material.readable.indices(Split.HELD_OUT)
    report.log(f"{len(material.counted)} texts are learnt from")

    chosen = kept(folder / _STATE / "validated.pt", lambda: _validate(material, train, settings.seed, report))
    strength, errors_N = float(chosen["strength"]), chosen["errors"]
    report.progress(Progress("evaluating", 0, 1, 0.6))
    tolerance = _tolerance(schema, material.values_N[train])
    first = material.learn(train, strength, train, errors_N)
    metrics, predictions = _measure(first, material, held_out, schema, tolerance)
    is_refit = len(material.counted) < _REFIT_BELOW
    report.progress(Progress("training on all labels", 0, 1, 0.8))
    everything = np.arange(len(material.counted))
    shipped = material.learn(everything, strength, train, errors_N) if is_refit else first

    report.progress(Progress("exporting", 0, 1, 0.9))
    packed = torch.from_numpy(text_features.pack(material.counted[:8], shipped.value.num_buckets))
    samples = [part for part in (packed[:3], packed[3:4], packed) if len(part)]
    export(shipped, folder / checkpoint.ONNX, samples=samples, name=text_features.INPUT, free=(0, 1))
    torch.save(shipped.state_dict(), folder / checkpoint.WEIGHTS)
    checkpoint.write_manifest(
        folder,
        Manifest(
            family="text_regression",
            schema=schema,
            settings=settings,
            inputs={
                "num_buckets": shipped.value.num_buckets,
                "tolerance": tolerance,
                "centre": material.centre,
                "unit": material.unit,
            },
            weights_source="zero: linear models start from nothing",
            libraries=machine.libraries(num_threads),
            metrics={
                **metrics,
                "num_train": len(train),
                "num_held_out": len(held_out),
                "is_refit_on_all_labels": is_refit,
            },
            held_out=predictions,
        ),
    )
    shutil.rmtree(folder / _STATE)
    report.progress(Progress("exporting", 1, 1, 1.0))


class _Scorer(nn.Module):
    """What is served: features → a number and its expected absolute error, shape (B, 2), in units from the centre."""

    def __init__(self, value: TfIdfLinear, error: TfIdfLinear, usual_error: float) -> None:
        super().__init__()
        self.value, self.error = value, error
        self._least, self._most = 0.25 * usual_error, 4 * usual_error

    def forward(self, features: Tensor) -> Tensor:
        error_B1 = self.error(features).clamp(self._least, self._most)
        return torch.cat((self.value(features), error_B1), 1)


@dataclass(frozen=True, slots=True)
class _Material:
    """Readable examples with the features of their texts and their numbers.

    Attributes:
        readable: The examples.
        counted: Their features.
        values_N: Their numbers.
        centre: Mean number of the train split.
        unit: Standard deviation of the train split.
    """

    readable: Readable
    counted: Counted
    values_N: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    centre: float
    unit: float

    def learn(self, indices: Indices, strength: float, measured: Indices, errors_N: Tensor) -> _Scorer:
        """Learn numbers from some examples, and from others how large errors are to be expected."""
        usual_error = max(1e-3, float(errors_N.mean()))
        error = self._ridge(measured, errors_N, _ERROR_STRENGTH)
        return _Scorer(self.ridge(indices, strength), error, usual_error).eval()

    def ridge(self, indices: Indices, strength: float) -> TfIdfLinear:
        """Learn numbers, in units from the centre."""
        values_N = (self.values_N[indices] - self.centre) / self.unit
        return self._ridge(indices, torch.from_numpy(values_N.astype(np.float32)), strength)

    def _ridge(self, indices: Indices, targets_N: Tensor, strength: float) -> TfIdfLinear:
        counted = [self.counted[index] for index in indices]
        linear = TfIdfLinear(counted, 1)
        with torch.no_grad():
            linear.bias.fill_(float(targets_N.mean()))
        fit_linear(
            linear,
            counted,
            loss=lambda outputs_N1: (outputs_N1[:, 0] - targets_N).square().mean() / 2,
            strength=strength,
        )
        return linear

    def compute(self, linear: TfIdfLinear, indices: Indices) -> Tensor:
        """Return what a linear model says of examples, shape (N,)."""
        with torch.no_grad():
            matrix = linear.matrix([self.counted[index] for index in indices])
            return (matrix.times(linear.weight) + linear.bias)[:, 0]


def _load(examples: Sequence[Example], *, log: Callable[[str], None]) -> _Material:
    usable = []
    for example in examples:
        if _number(example) is None:
            log(f"{example.key} is skipped: it has no number")
        else:
            usable.append(example)
    if not usable:
        raise FamilyError("There are no texts with a number yet.")
    readable = read(usable, log=log)
    if not readable.examples:
        raise FamilyError("None of the texts with a number can be read.")
    values_N = np.array([_number(example) for example in readable.examples], np.float64)
    train_values = values_N[readable.indices(Split.TRAIN)]
    if len(train_values) < 3 or np.ptp(train_values) == 0:
        raise FamilyError("At least three texts and two different numbers are needed; label some more texts.")
    counted = [text_features.count(text) for text in readable.contents]
    return _Material(readable, counted, values_N, float(train_values.mean()), float(train_values.std()))


def _number(example: Example) -> float | None:
    values = (region.value for region in example.regions if isinstance(region, Number) and math.isfinite(region.value))
    return next(values, None)


def _validate(material: _Material, train: Indices, seed: int, report: Report) -> dict[str, Any]:
    """Choose how strongly to learn, and return the absolute errors on texts that a model has not seen, in units."""
    fold_N = folds(material.values_N[train].tolist(), _NUM_FOLDS, seed=seed)
    is_large = sum(len(material.counted[index][0]) for index in train) > _LARGE
    best: dict[str, Any] = {}
    strengths = _STRENGTHS[2:3] if is_large else _STRENGTHS
    for n, strength in enumerate(strengths):
        guess_N = torch.zeros(len(train))
        for fold in range(int(fold_N.max()) + 1):
            linear = material.ridge(train[fold_N != fold], strength)
            guess_N[torch.from_numpy(fold_N == fold)] = material.compute(linear, train[fold_N == fold])
        truth_N = torch.from_numpy(((material.values_N[train] - material.centre) / material.unit).astype(np.float32))
        errors_N = (guess_N - truth_N).abs()
        if not best or float(errors_N.mean()) < float(best["errors"].mean()):
            best = {"strength": strength, "errors": errors_N}
        done = (n + 1) / len(strengths)
        metrics = {"val_mae": float(errors_N.mean()) * material.unit}
        report.progress(Progress("cross-validating", n + 1, len(strengths), 0.05 + 0.5 * done, metrics))
    return best


def _tolerance(schema: LabelSchema, values_N: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """Return what counts as right for a score: half a step of the scale, else a quarter of the usual spread."""
    if schema.scale and schema.scale.step:
        return schema.scale.step / 2
    return 0.25 * float(values_N.std())


def _measure(
    scorer: _Scorer, material: _Material, held_out: Indices, schema: LabelSchema, tolerance: float
) -> tuple[dict[str, Any], dict[str, tuple[Region, ...]]]:
    if not len(held_out):
        return {}, {}
    chosen = [material.readable.examples[index] for index in held_out]
    outputs = []
    for index in held_out:
        packed = text_features.pack([material.counted[index]], scorer.value.num_buckets)
        with torch.no_grad():
            outputs.append(scorer(torch.from_numpy(packed)))
    outputs_N2 = torch.cat(outputs).numpy()
    answers = numbers(outputs_N2, schema, centre=material.centre, unit=material.unit, tolerance=tolerance)
    predictions: dict[str, tuple[Region, ...]] = {
        example.key: (answer,) for example, answer in zip(chosen, answers, strict=True)
    }
    metrics = evaluate(schema, {example.key: example.regions for example in chosen}, predictions).metrics
    return dict(metrics), predictions
