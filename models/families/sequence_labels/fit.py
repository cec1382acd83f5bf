"""How does a model of spans learn?

Conditional random fields on hashed features of tokens (see `models.token_features`), one chain for each layer of spans
that do not overlap. Cross-validation on the train split chooses how likely a span must be to be an answer: the
threshold of best F1. A model of the train split is measured on the held-out split; for small sets the model that ships
is then learnt from everything, and the manifest says so.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models import checkpoint, text_features, token_features
from models.checkpoint import Manifest
from models.examples import Example, Split
from models.families.sequence_labels import decode, layout
from models.families.sequence_labels.decode import FLOOR, Layer
from models.families.sequence_labels.layout import Type
from models.families.sequence_labels.predict import find_spans
from models.family import FamilyError, FitSettings, Progress, Report
from models.labels import LabelSchema
from models.learning import machine
from models.learning.chains import Chain, Windows
from models.learning.export import export
from models.learning.hashed import Counted, HashedLinear, minimize
from models.learning.texts import Indices, Readable, folds, kept, read
from models.metrics import evaluate
from models.regions import Region, Span
from models.token_features import Granularity, Lexicon, Tokens

_REFIT_BELOW = 2000
"""Sets with fewer examples are learnt once more with all of them: there, each one counts."""
_STRENGTH = 1.0
"""Weight of the windows against that of a prior for small weights."""
_NUM_FOLDS = 4
_MAX_STEPS = 40
_MIN_TOKENS = 2
"""Features of fewer tokens are left out: what was seen once teaches more noise than it does spans (measured)."""
_THRESHOLDS = (0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.17, 0.15, 0.12, 0.1, 0.08, 0.06)
_FIRST_THRESHOLD = 0.3
"""Where there is nothing to choose it by."""
_STATE = "partial"

# N tokens, T tags of all layers


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
    """Learn spans of texts; see `models.family.Fit`. It always computes on the CPU.

    After an interruption it goes on with the first of its models that was not finished.
    """
    num_threads = machine.use_all_cores()
    (folder / _STATE).mkdir(parents=True, exist_ok=True)
    report.progress(Progress("reading texts", 0, 1, 0.0))
    material = _load(examples, schema, log=report.log)
    train, held_out = material.readable.indices(Split.TRAIN), material.readable.indices(Split.HELD_OUT)
    report.log(f"{len(material.tokenized)} texts are learnt from, cut into {material.granularity.name.lower()}")
    learner = _Learner(material, schema, folder / _STATE)

    threshold = _choose_threshold(material, learner, train, settings.seed, report)
    report.log(f"spans of a probability of at least {threshold} are answers")
    report.progress(Progress("evaluating", 0, 1, 0.6))
    first = learner.learn("train", train)
    metrics, predictions = _measure(first, material, held_out, schema, threshold)
    is_refit = len(material.tokenized) < _REFIT_BELOW
    report.progress(Progress("training on all labels", 0, 1, 0.75))
    shipped = learner.learn("all", np.arange(len(material.tokenized))) if is_refit else first

    report.progress(Progress("exporting", 0, 1, 0.9))
    _export(shipped, material, folder)
    checkpoint.write_manifest(
        folder,
        Manifest(
            family="sequence_labels",
            schema=schema,
            settings=settings,
            inputs={
                "num_buckets": shipped.linear.num_buckets,
                "granularity": material.granularity.name,
                "lexicon": shipped.lexicon.to_text(),
                "layers": [layer.to_json() for layer in shipped.layers],
                "threshold": threshold,
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


@dataclass(frozen=True, slots=True)
class _Material:
    """Readable examples in tokens, with the spans that can be learnt from."""

    readable: Readable
    tokenized: Sequence[Tokens]
    spans: Sequence[Sequence[tuple[Type, layout.TokenSpan]]]
    granularity: Granularity


def _load(examples: Sequence[Example], schema: LabelSchema, *, log: Callable[[str], None]) -> _Material:
    if not examples:
        raise FamilyError("There are no labelled texts yet.")
    readable = read(examples, log=log)
    if not readable.examples:
        raise FamilyError("None of the labelled texts can be read.")
    pairs = list(zip(readable.examples, readable.contents, strict=True))
    spans = [layout.usable_spans(example, text, schema, log=log) for example, text in pairs]
    if not any(spans[index] for index in readable.indices(Split.TRAIN)):
        raise FamilyError("At least one part of a text must be labelled; label some texts in which there are some.")
    granularity = layout.choose_granularity(readable.contents, spans)
    tokenized = [token_features.tokenize(text, granularity) for text in readable.contents]
    in_tokens = [layout.in_tokens(tokens, of_text) for tokens, of_text in zip(tokenized, spans, strict=True)]
    return _Material(readable, tokenized, [layout.typed(of_text) for of_text in in_tokens], granularity)


@dataclass(frozen=True, slots=True)
class _Model:
    """What is learnt: emissions of tags, and how tags follow each other in each layer."""

    linear: HashedLinear
    layers: list[Layer]
    lexicon: Lexicon

    def emissions(self, tokenized: Sequence[Tokens]) -> list[npt.NDArray[np.float32]]:
        """Return what the tokens of each text have of each tag, shape (tokens, T)."""
        counted = _count(tokenized, self.lexicon)
        with torch.no_grad():
            emissions_NT = self.linear.matrix(counted).times(self.linear.weight) + self.linear.bias
        return np.split(emissions_NT.numpy(), np.cumsum([len(tokens) for tokens in tokenized])[:-1])


class _Learner:
    def __init__(self, material: _Material, schema: LabelSchema, state: Path) -> None:
        self._material, self._schema, self._state = material, schema, state

    def learn(self, name: str, indices: Indices) -> _Model:
        """Learn from some of the examples, or find what was learnt before an interruption under the same name."""
        tokenized = [self._material.tokenized[index] for index in indices if len(self._material.tokenized[index])]
        spans = [self._material.spans[index] for index in indices if len(self._material.tokenized[index])]
        lexicon = Lexicon.learn(tokenized)
        types = layout.choose_layers(spans, self._schema)
        chains = [Chain(*decode.allowed(len(layer))) for layer in types]
        counted = _count(tokenized, lexicon)
        linear = HashedLinear(counted, sum(len(one.first) for one in chains), min_examples=_MIN_TOKENS)
        parts = torch.nn.ModuleList([linear, *chains])

        def compute() -> dict[str, Any]:
            tags = [
                torch.from_numpy(
                    np.concatenate([layout.tags(*text, layer) for text in zip(tokenized, spans, strict=True)])
                )
                for layer in types
            ]
            lengths = [end - start for tokens in tokenized for start, end in token_features.windows(tokens)]
            _learn(linear, chains, counted, tags, Windows(lengths))
            return dict(parts.state_dict())

        parts.load_state_dict(kept(self._state / f"{name}.pt", compute))
        layers = [
            Layer(
                tuple(kind.label for kind in layer),
                one.transitions.detach().double().numpy(),
                one.first.detach().double().numpy(),
            )
            for layer, one in zip(types, chains, strict=True)
        ]
        return _Model(linear.eval(), layers, lexicon)


def _learn(
    linear: HashedLinear, chains: Sequence[Chain], counted: Counted, tags: Sequence[Tensor], windows: Windows
) -> None:
    matrix = linear.matrix(counted)
    num_windows = len(windows.firsts)
    sizes = [len(one.first) for one in chains]

    def loss() -> Tensor:
        emissions_NT = matrix.times(linear.weight) + linear.bias
        parts = zip(chains, torch.split(emissions_NT, sizes, 1), tags, strict=True)
        total = sum((one.loss(part_NT, tags_N, windows) for one, part_NT, tags_N in parts), torch.zeros(()))
        weights = linear.weight.square().sum() + 0.1 * sum(one.transitions.square().sum() for one in chains)
        return (total + weights / (2 * _STRENGTH)) / num_windows

    parameters = [linear.weight, linear.bias, *(p for one in chains for p in one.parameters())]
    minimize(parameters, loss, max_steps=_MAX_STEPS)


def _count(tokenized: Sequence[Tokens], lexicon: Lexicon) -> Counted:
    described = chain.from_iterable(token_features.describe(tokenized, lexicon))
    return [(features, np.ones(len(features), np.float32)) for features in described]


def _choose_threshold(material: _Material, learner: _Learner, train: Indices, seed: int, report: Report) -> float:
    """Return the threshold of best F1 on texts that a model has not seen."""
    groups = [frozenset(kind.label for kind, _ in material.spans[index]) for index in train]
    fold_N = folds(groups, _NUM_FOLDS, seed=seed)
    num_folds = int(fold_N.max()) + 1
    guesses: list[list[Region]] = []
    truths: list[set[tuple[str, int, int]]] = []
    for fold in range(num_folds):
        learn, aside = train[fold_N != fold], train[fold_N == fold]
        if any(material.spans[index] for index in learn):
            model = learner.learn(f"fold-{fold}", learn)
            guesses += _find(model, material, aside, FLOOR)
            truths += [_places(material, index) for index in aside]
        report.progress(Progress("cross-validating", fold + 1, num_folds, 0.05 + 0.5 * (fold + 1) / num_folds))
    best, most = _FIRST_THRESHOLD, 0.0
    for threshold in _THRESHOLDS:
        hits = marks = 0
        for answer, true in zip(guesses, truths, strict=True):
            found = {
                (span.label, span.start, span.end)
                for span in answer
                if isinstance(span, Span) and span.score is not None and span.score >= threshold
            }
            hits += len(found & true)
            marks += len(found) + len(true)
        if hits and 2 * hits / marks > most + 0.002:
            best, most = threshold, 2 * hits / marks
    return best


def _places(material: _Material, index: int) -> set[tuple[str, int, int]]:
    tokens = material.tokenized[index]
    return {
        (span.label, int(tokens.starts[span.start]), int(tokens.ends[span.end - 1]))
        for _, span in material.spans[index]
    }


def _find(model: _Model, material: _Material, indices: Indices, threshold: float) -> list[list[Region]]:
    tokenized = [material.tokenized[index] for index in indices]
    return find_spans(model.layers, tokenized, model.emissions(tokenized), threshold=threshold)


def _measure(
    model: _Model, material: _Material, held_out: Indices, schema: LabelSchema, threshold: float
) -> tuple[dict[str, Any], dict[str, tuple[Region, ...]]]:
    if not len(held_out):
        return {}, {}
    chosen = [material.readable.examples[index] for index in held_out]
    answers = _find(model, material, held_out, threshold)
    predictions = {example.key: tuple(answer) for example, answer in zip(chosen, answers, strict=True)}
    metrics = evaluate(schema, {example.key: example.regions for example in chosen}, predictions).metrics
    return dict(metrics), predictions


def _export(model: _Model, material: _Material, folder: Path) -> None:
    counted = _count(material.tokenized[:5], model.lexicon)
    packed = torch.from_numpy(text_features.pack(counted[:200], model.linear.num_buckets))
    samples = [part for part in (packed[:40], packed[40:41], packed) if len(part)]
    export(model.linear, folder / checkpoint.ONNX, samples=samples, name=text_features.INPUT, free=(0, 1))
    torch.save(model.linear.state_dict(), folder / checkpoint.WEIGHTS)
