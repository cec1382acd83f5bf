"""How do spans that people drew become tags of tokens? Spans that overlap go to different layers. NumPy only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.examples import Example
from models.labels import LabelSchema
from models.regions import Span
from models.token_features import Granularity, Tokens, tokenize, windows

_MIN_ALIGNED = 0.98
"""Share of spans that must begin and end where tokens do."""
_MAX_DEPTH = 4
"""How many spans of one label may lie on the same token."""


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """A span in tokens: the first, and one after the last."""

    label: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Type:
    """What is looked for in one layer: spans of a label that lie on so many other ones of the same label."""

    label: str
    depth: int


Typed = Sequence[tuple[Type, TokenSpan]]


def usable_spans(example: Example, text: str, schema: LabelSchema, *, log: Callable[[str], None]) -> list[Span]:
    """Return the spans of an example that can be learnt from: within the text, not blank, of the schema's labels."""
    spans = []
    for region in example.regions:
        if not isinstance(region, Span) or region.label not in schema.names:
            continue
        start, end = max(0, region.start), min(len(text), region.end)
        if text[start:end].strip():
            spans.append(Span(region.label, start, end))
        else:
            log(f"a span of {example.key} is skipped: nothing is between {region.start} and {region.end}")
    return spans


def choose_granularity(texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> Granularity:
    """Return the largest tokens at whose borders (nearly) all spans begin and end."""
    for granularity in (Granularity.WORDS, Granularity.PIECES):
        num_aligned = num_spans = 0
        for text, of_text in zip(texts, spans, strict=True):
            if of_text:
                tokens = tokenize(text, granularity)
                num_spans += len(of_text)
                num_aligned += sum(tokens.is_aligned(span.start, span.end) for span in of_text)
        if num_aligned >= _MIN_ALIGNED * num_spans:
            return granularity
    return Granularity.CHARACTERS


def in_tokens(tokens: Tokens, spans: Sequence[Span]) -> list[TokenSpan]:
    """Return spans in tokens, each once; a span that ends within a token has all of it."""
    found = {
        TokenSpan(span.label, *place) for span in spans if (place := tokens.find(span.start, span.end)) is not None
    }
    return sorted(found, key=lambda span: (span.start, -span.end, span.label))


def typed(spans: Sequence[TokenSpan]) -> list[tuple[Type, TokenSpan]]:
    """Return the spans of a text with their types: of two of a label that overlap the one within lies deeper."""
    ends: dict[Type, int] = {}
    found = []
    for span in spans:  # from left to right, longer ones first
        for depth in range(_MAX_DEPTH):
            kind = Type(span.label, depth)
            if ends.get(kind, 0) <= span.start:
                ends[kind] = span.end
                found.append((kind, span))
                break
    return found


def choose_layers(texts: Sequence[Typed], schema: LabelSchema) -> list[list[Type]]:
    """Return the types of each layer, such that in these texts no two spans of a layer overlap; at least one layer."""
    times: Counter[Type] = Counter()
    rivals: dict[Type, set[Type]] = {}
    for spans in texts:
        for n, (kind, span) in enumerate(spans):
            times[kind] += 1
            rivals.setdefault(kind, set())
            for other_kind, other in spans[n + 1 :]:
                if other.start >= span.end:
                    break
                rivals[kind].add(other_kind)
                rivals.setdefault(other_kind, set()).add(kind)
    place = {name: n for n, name in enumerate(schema.names)}
    layers: list[list[Type]] = [[]]
    for kind in sorted(times, key=lambda kind: (kind.depth, -times[kind], place[kind.label])):
        for layer in layers:
            if rivals[kind].isdisjoint(layer):
                layer.append(kind)
                break
        else:
            layers.append([kind])
    return layers


def tags(tokens: Tokens, spans: Typed, layer: Sequence[Type]) -> npt.NDArray[np.int64]:
    """Return the tag of each token in one layer (see `decode.Layer`), shape (tokens,).

    A span that goes on in the next window is one span in each.
    """
    number = {kind: n for n, kind in enumerate(layer)}
    tag_N = np.zeros(len(tokens), np.int64)
    for kind, span in spans:
        if kind in number:
            tag_N[span.start : span.end] = 2 + 2 * number[kind]
            tag_N[span.start] = 1 + 2 * number[kind]
    for start, _ in windows(tokens):
        if tag_N[start] and tag_N[start] % 2 == 0:
            tag_N[start] -= 1
    return tag_N
