"""How good are spans of texts?

What the numbers mean:
    precision, recall, f1: A span is right where its label and both of its ends are; per label, and over all of them
        (micro). 0 where undefined.
    macro_f1: Mean f1 of the labels that occur in truths or predictions.
    character_f1: f1 over labelled characters, which gives part of the credit for spans that are nearly right.
    exact: The share of examples whose whole set of spans is right.

Of spans that are the same one counts. Labels that the schema does not know are counted like any other, so that an older
version can be measured on newer truths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from models.labels import LabelSchema
from models.metrics.evaluation import Evaluation
from models.regions import Region, Span

_Spans = set[tuple[str, int, int]]


def evaluate(
    schema: LabelSchema,
    truths: Mapping[str, Sequence[Region]],
    predictions: Mapping[str, Sequence[Region]],
) -> Evaluation:
    """Compare predictions with truths, both by example key; `primary` is the micro f1 of exact spans.

    Where there is nothing to find and nothing was found, f1 is 1.
    """
    pairs = [(_spans(regions), _spans(predictions.get(key, ()))) for key, regions in sorted(truths.items())]
    num_true: Counter[str] = Counter()
    num_found: Counter[str] = Counter()
    num_hits: Counter[str] = Counter()
    shared_characters = all_characters = 0
    for true, found in pairs:
        num_true.update(label for label, _, _ in true)
        num_found.update(label for label, _, _ in found)
        num_hits.update(label for label, _, _ in true & found)
        true_characters, found_characters = _characters(true), _characters(found)
        shared_characters += len(true_characters & found_characters)
        all_characters += len(true_characters) + len(found_characters)
    names = [*schema.names, *sorted((num_true.keys() | num_found.keys()) - set(schema.names))]
    f1_by_name = {name: _ratio(2 * num_hits[name], num_true[name] + num_found[name]) for name in names}
    occurring = [f1_by_name[name] for name in names if num_true[name] + num_found[name]]
    num_marks = num_true.total() + num_found.total()
    primary = 2 * num_hits.total() / num_marks if num_marks else 1.0
    metrics = {
        "num_examples": len(pairs),
        "primary": primary,
        "f1": primary,
        "precision": _ratio(num_hits.total(), num_found.total()),
        "recall": _ratio(num_hits.total(), num_true.total()),
        "macro_f1": sum(occurring) / len(occurring) if occurring else 0.0,
        "character_f1": 2 * shared_characters / all_characters if all_characters else 1.0,
        "exact": _ratio(sum(true == found for true, found in pairs), len(pairs)),
        "per_class": {
            name: {
                "precision": _ratio(num_hits[name], num_found[name]),
                "recall": _ratio(num_hits[name], num_true[name]),
                "f1": f1_by_name[name],
                "support": num_true[name],
                "num_predicted": num_found[name],
            }
            for name in names
        },
    }
    return Evaluation(primary, metrics)


def _spans(regions: Sequence[Region]) -> _Spans:
    return {(region.label, region.start, region.end) for region in regions if isinstance(region, Span)}


def _characters(spans: _Spans) -> set[tuple[str, int]]:
    return {(label, at) for label, start, end in spans for at in range(start, end)}


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
