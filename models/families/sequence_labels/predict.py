"""How does a trained model of spans answer? NumPy and ONNX Runtime only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models import checkpoint, text_features, token_features
from models.families.sequence_labels import decode
from models.families.sequence_labels.decode import Layer
from models.labels import LabelSchema
from models.regions import Region, Span
from models.runtime import Session
from models.token_features import Granularity, Lexicon, Tokens

_CHUNK = 64
"""Windows in one pass of the decoder: more takes memory and is no faster."""

# N tokens, T tags of all layers


class SpanFinder:
    """Spans of texts, which may overlap."""

    min_side_px = None

    def __init__(self, folder: Path, device: str) -> None:
        manifest = checkpoint.read_manifest(folder)
        self.schema: LabelSchema = manifest.schema
        self._num_buckets = int(manifest.inputs["num_buckets"])
        self._threshold = float(manifest.inputs["threshold"])
        self._granularity = Granularity[manifest.inputs["granularity"]]
        self._lexicon = Lexicon.from_text(manifest.inputs["lexicon"])
        self._layers = [Layer.from_json(stored) for stored in manifest.inputs["layers"]]
        self._session = Session(folder / checkpoint.ONNX, device=device)
        self.num_bytes: int = self._session.num_bytes

    def predict(self, contents: Sequence[str]) -> list[list[Region]]:
        """Return the spans of each text, surest first; a score is the probability of exactly that span."""
        tokenized = [token_features.tokenize(text, self._granularity) for text in contents]
        emissions = self._emissions(tokenized)
        return find_spans(self._layers, tokenized, emissions, threshold=self._threshold)

    def _emissions(self, tokenized: Sequence[Tokens]) -> list[npt.NDArray[np.float32]]:
        num_tags = sum(layer.num_tags for layer in self._layers)
        emissions: list[npt.NDArray[np.float32]] = []
        described_texts = token_features.describe(tokenized, self._lexicon)
        for tokens, described in zip(tokenized, described_texts, strict=True):
            counted = [(features, np.ones(len(features), np.float32)) for features in described]
            emissions_NT = np.zeros((len(tokens), num_tags), np.float32)
            for indices, packed_NL2 in text_features.batches(counted, self._num_buckets, num_outputs=num_tags):
                (emissions_NT[indices],) = self._session.run({text_features.INPUT: packed_NL2})
            emissions.append(emissions_NT)
        return emissions


def find_spans(
    layers: Sequence[Layer],
    tokenized: Sequence[Tokens],
    emissions: Sequence[npt.NDArray[np.float32]],
    *,
    threshold: float,
) -> list[list[Region]]:
    """Turn what a model says of tokens into spans.

    Args:
        layers: Their tags are the columns of the emissions, one layer after the other.
        tokenized: The texts.
        emissions: Of each text, shape (tokens, T).
        threshold: Least probability of a span.
    """
    spans: list[dict[tuple[str, int, int], float]] = [{} for _ in tokenized]
    places = [(text, *window) for text, tokens in enumerate(tokenized) for window in token_features.windows(tokens)]
    places.sort(key=lambda place: place[2] - place[1])  # windows of like length together
    column = 0
    for layer in layers:
        columns = slice(column, column + layer.num_tags)
        column += layer.num_tags
        for at in range(0, len(places), _CHUNK):
            chunk = places[at : at + _CHUNK]
            found = decode.candidates(layer, [emissions[text][start:end, columns] for text, start, end in chunk])
            for (text, offset, _), window in zip(chunk, found, strict=True):
                tokens = tokenized[text]
                for span in decode.choose(window, threshold):
                    start, end = tokens.starts[offset + span.start], tokens.ends[offset + span.end - 1]
                    key = (span.label, int(start), int(end))
                    spans[text][key] = max(span.probability, spans[text].get(key, 0.0))
    return [
        [
            Span(label, start, end, round(score, 6))
            for (label, start, end), score in sorted(by_place.items(), key=lambda item: (-item[1], item[0][1:]))
        ]
        for by_place in spans
    ]


def load(folder: Path, device: str) -> SpanFinder:
    """Load a checkpoint for serving."""
    return SpanFinder(folder, device)
