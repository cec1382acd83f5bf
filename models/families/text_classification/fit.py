"""How does a classifier of whole texts learn?

Logistic regression on TF-IDF of words and of characters, see `models.text_features`. Cross-validation on the train
split chooses how strongly to learn, whether the names of the labels are learnt as if they were texts (they often say
what the texts say, which is worth several labelled texts each), and how far to trust the scores. A model of the train
split is measured on the held-out split; for small sets the model that ships is then learnt from everything, and the
manifest says so.
"""

from __future__ import annotations

import re
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
from models.families.text_classification.predict import choices
from models.family import FamilyError, FitSettings, Progress, Report
from models.labels import LabelSchema, Objective
from models.learning import machine
from models.learning.classifier import fit_trust
from models.learning.export import export
from models.learning.hashed import Counted, TfIdfLinear, fit_linear
from models.learning.linear import classification_loss
from models.learning.texts import Indices, Readable, folds, kept, read
from models.metrics import evaluate
from models.regions import Region

_REFIT_BELOW = 2000
"""Sets with fewer examples are learnt once more with all of them: there, each one counts."""
_STRENGTHS = (3.0, 10.0, 30.0)
_NUM_FOLDS = 5
_LARGE = 4_000_000
"""Features × labels of a set for which only the middle of all choices is tried."""
_STATE = "partial"

# N examples, K labels


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
    """Learn labels of whole texts; see `models.family.Fit`. It takes seconds, and always computes on the CPU."""
    num_threads = machine.use_all_cores()
    (folder / _STATE).mkdir(parents=True, exist_ok=True)
    report.progress(Progress("reading texts", 0, 1, 0.0))
    material = _load(examples, schema, log=report.log)
    train, held_out = material.readable.indices(Split.TRAIN), material.readable.indices(Split.HELD_OUT)
    report.log(f"{len(material.counted)} texts are learnt from")

    validator = _Validator(material, train, settings.seed, report)
    recipe = _Recipe(**kept(folder / _STATE / "recipe.pt", lambda: vars(validator.choose())))
    report.log(f"label names are {'' if recipe.has_names else 'not '}learnt from")
    report.progress(Progress("evaluating", 1, 2, 0.6))
    first = material.learn(train, recipe)
    metrics, predictions = _measure(first, material, held_out, schema, recipe)
    is_refit = len(material.counted) < _REFIT_BELOW
    report.progress(Progress("training on all labels", 1, 2, 0.8))
    shipped = material.learn(np.arange(len(material.counted)), recipe) if is_refit else first

    report.progress(Progress("exporting", 0, 1, 0.9))
    samples = [_packed(material.counted[start:end], shipped) for start, end in ((0, 3), (3, 4), (0, 8))]
    export(
        shipped,
        folder / checkpoint.ONNX,
        samples=[sample for sample in samples if len(sample)],
        name=text_features.INPUT,
        free=(0, 1),
    )
    torch.save(shipped.state_dict(), folder / checkpoint.WEIGHTS)
    checkpoint.write_manifest(
        folder,
        Manifest(
            family="text_classification",
            schema=schema,
            settings=settings,
            inputs={"num_buckets": shipped.linear.num_buckets, "threshold": recipe.threshold},
            weights_source="zero: linear models start from nothing",
            libraries=machine.libraries(num_threads),
            metrics={
                **metrics,
                "num_train": len(train),
                "num_held_out": len(held_out),
                "is_refit_on_all_labels": is_refit,
                "learns_from_label_names": recipe.has_names,
            },
            held_out=predictions,
        ),
    )
    shutil.rmtree(folder / _STATE)
    report.progress(Progress("exporting", 1, 1, 1.0))


@dataclass
class _Recipe:
    """How a set is learnt.

    Attributes:
        strength: See `fit_linear`.
        has_names: Whether the names of the labels are learnt from.
        trust: Factor of the logits that makes probabilities of them.
        threshold: See `choices`.
    """

    strength: float
    has_names: bool
    trust: float = 1.0
    threshold: float = 0.5


class _Classifier(nn.Module):
    """What is served: features → calibrated probabilities of shape (B, K)."""

    def __init__(self, linear: TfIdfLinear, trust: float, *, is_single: bool) -> None:
        super().__init__()
        self.linear = linear
        self._trust, self._is_single = trust, is_single

    def forward(self, features: Tensor) -> Tensor:
        logits_BK = self.linear(features) * self._trust
        return torch.softmax(logits_BK, 1) if self._is_single else torch.sigmoid(logits_BK)


@dataclass(frozen=True, slots=True)
class _Material:
    """Readable examples with the features of their texts and targets (1 where a label applies).

    Attributes:
        readable: The examples.
        counted: Their features.
        names: Features of the names of the labels.
        targets_NK: See above.
        is_single: Whether labels exclude each other.
    """

    readable: Readable
    counted: Counted
    names: Counted
    targets_NK: Tensor
    is_single: bool

    def learn(self, indices: Indices, recipe: _Recipe) -> _Classifier:
        """Learn from some of the examples."""
        counted = [self.counted[index] for index in indices]
        targets = self.targets_NK[indices]
        if recipe.has_names:
            counted += self.names
            targets = torch.cat((targets, torch.eye(len(self.names))))
        linear = TfIdfLinear(counted, targets.shape[1])

        def loss(logits_NK: Tensor) -> Tensor:
            return classification_loss(logits_NK, targets, is_single=self.is_single)

        fit_linear(linear, counted, loss=loss, strength=recipe.strength)
        return _Classifier(linear, recipe.trust, is_single=self.is_single).eval()

    def logits(self, classifier: _Classifier, indices: Indices) -> Tensor:
        """Return what a classifier says of some of the examples, before trust; shape (N, K)."""
        linear = classifier.linear
        with torch.no_grad():
            return linear.matrix([self.counted[index] for index in indices]).times(linear.weight) + linear.bias


def _load(examples: Sequence[Example], schema: LabelSchema, *, log: Callable[[str], None]) -> _Material:
    is_single = schema.objective is Objective.CLASSIFICATION
    usable = []
    for example in examples:
        if is_single and not any(region.label in schema.names for region in example.regions):
            log(f"{example.key} is skipped: it has no label of this label set")
        else:
            usable.append(example)
    if not usable:
        raise FamilyError("There are no labelled texts yet.")
    readable = read(usable, log=log)
    if not readable.examples:
        raise FamilyError("None of the labelled texts can be read.")
    names = [{region.label for region in example.regions} for example in readable.examples]
    targets_NK = torch.tensor([[float(label in chosen) for label in schema.names] for chosen in names])
    train = readable.indices(Split.TRAIN)
    counts_K = targets_NK[train].sum(0)
    if is_single and int((counts_K > 0).sum()) < 2:
        raise FamilyError("At least two different labels are needed, and all labelled texts have the same one.")
    if not is_single and not bool(((counts_K > 1) & (counts_K < len(train))).any()):
        raise FamilyError("At least one label must apply to two texts or more and not to some other; label more texts.")
    counted = [text_features.count(text) for text in readable.contents]
    return _Material(readable, counted, [text_features.count(_spoken(n)) for n in schema.names], targets_NK, is_single)


def _spoken(name: str) -> str:
    """Return the words of a label's name.

    >>> _spoken("cardArrival_date")
    'card Arrival date'
    """
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))


class _Validator:
    """Cross-validation: what is best on texts that a model has not seen?"""

    def __init__(self, material: _Material, train: Indices, seed: int, report: Report) -> None:
        self._material, self._train, self._report = material, train, report
        size = sum(len(material.counted[index][0]) for index in train) * material.targets_NK.shape[1]
        self._is_large = size > _LARGE
        groups = [row.numpy().tobytes() for row in material.targets_NK[train]]
        self._fold_N = folds(groups, 3 if self._is_large else _NUM_FOLDS, seed=seed)

    def choose(self) -> _Recipe:
        """Choose how to learn, and calibrate: first how strongly, then whether label names help."""
        counts_K = self._material.targets_NK[self._train].sum(0)
        if self._material.is_single and int((counts_K > 1).sum()) < 2:
            return _Recipe(_STRENGTHS[1], True)  # nothing can be tried on texts that were not learnt from
        strengths = _STRENGTHS[1:2] if self._is_large else _STRENGTHS
        recipes = [self._measured(_Recipe(strength, True), n) for n, strength in enumerate(strengths)]
        best, loss = min(recipes, key=lambda pair: pair[1])
        nameless, other_loss = self._measured(_Recipe(best.strength, False), len(strengths))
        return nameless if other_loss < loss else best

    def _measured(self, recipe: _Recipe, number: int) -> tuple[_Recipe, float]:
        """Return a recipe, calibrated, and its loss."""
        targets_NK, is_single = self._material.targets_NK[self._train], self._material.is_single
        logits_NK = self._unseen_logits(recipe)
        (recipe.trust,) = fit_trust(logits_NK[..., None], targets_NK, is_single=is_single)
        loss = float(classification_loss(logits_NK * recipe.trust, targets_NK, is_single=is_single))
        if not is_single:
            recipe.threshold = _best_threshold(torch.sigmoid(logits_NK * recipe.trust), targets_NK)
        num = 2 if self._is_large else len(_STRENGTHS) + 1
        progress = Progress("cross-validating", number + 1, num, 0.05 + 0.5 * (number + 1) / num, {"val_loss": loss})
        self._report.progress(progress)
        return recipe, loss

    def _unseen_logits(self, recipe: _Recipe) -> Tensor:
        logits_NK = torch.zeros(len(self._train), self._material.targets_NK.shape[1])
        for fold in range(int(self._fold_N.max()) + 1):
            is_in = self._fold_N == fold
            classifier = self._material.learn(self._train[~is_in], recipe)
            logits_NK[torch.from_numpy(is_in)] = self._material.logits(classifier, self._train[is_in])
        return logits_NK


def _best_threshold(probabilities_NK: Tensor, targets_NK: Tensor) -> float:
    """Return the threshold of best micro F1, near one half where there is little to tell by."""
    best, most = 0.5, -1.0
    for threshold in (0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2):
        is_answer_NK = probabilities_NK >= threshold
        hits = float((is_answer_NK * targets_NK).sum())
        f1 = 2 * hits / max(1.0, float(is_answer_NK.sum() + targets_NK.sum()))
        if f1 > most + 0.002:
            best, most = threshold, f1
    return best


def _packed(counted: Counted, classifier: _Classifier) -> Tensor:
    return torch.from_numpy(text_features.pack(counted, classifier.linear.num_buckets))


def _measure(
    classifier: _Classifier, material: _Material, held_out: Indices, schema: LabelSchema, recipe: _Recipe
) -> tuple[dict[str, Any], dict[str, tuple[Region, ...]]]:
    if not len(held_out):
        return {}, {}
    logits_NK = material.logits(classifier, held_out) * recipe.trust
    probabilities_NK = torch.softmax(logits_NK, 1) if material.is_single else torch.sigmoid(logits_NK)
    answers = choices(probabilities_NK.numpy(), schema, threshold=recipe.threshold)
    chosen = [material.readable.examples[index] for index in held_out]
    predictions = {example.key: tuple(answer) for example, answer in zip(chosen, answers, strict=True)}
    metrics = evaluate(schema, {example.key: example.regions for example in chosen}, predictions).metrics
    return dict(metrics), predictions
