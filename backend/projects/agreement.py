"""What several people's answers come to, and which of them a model learns from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from models.examples import Split
from models.labels import Objective
from models.regions import Box, Choice, Number, Region

HELD_OUT_SHARE = 0.2
TEST = "test"
"""The split of tasks that a training neither learns from nor is measured on."""
SHARED_AS = {"train": Split.TRAIN.value, "val": Split.HELD_OUT.value, "test": TEST}
"""Splits by the names under which shares of them are asked for."""

Answer = tuple[str, tuple[Region, ...]]
"""The name of a task, and what people agree on about it, or about a part of it."""


def agree_on_parts(
    objective: Objective, opinions: Sequence[tuple[Region, ...]]
) -> list[tuple[Box | None, tuple[Region, ...]]]:
    """Return what people agree on for each part that anybody spoke about; the whole item is a part, too."""
    parts = dict.fromkeys(getattr(region, "part", None) for opinion in opinions for region in opinion) or {None: None}
    agreed = []
    for part in parts:
        about = [tuple(r for r in opinion if getattr(r, "part", None) == part) for opinion in opinions]
        regions = agree(objective, about if part is None else [opinion for opinion in about if opinion])
        if regions is not None:
            agreed.append((part, regions))
    return agreed


def agree(objective: Objective, opinions: Sequence[tuple[Region, ...]]) -> tuple[Region, ...] | None:
    """Return what most people said, oldest opinion first; the newest opinion breaks a tie.

    Numbers agree on their median. Regions of any other kind are taken from the newest opinion, as it is.

    Returns:
        None where there is no answer. For all but CLASSIFICATION and REGRESSION an empty tuple is an answer: nothing.

    >>> agree(Objective.CLASSIFICATION, [(Choice("cat"),), (Choice("dog"),), (Choice("dog"),)])
    (Choice(label='dog', score=None, part=None),)
    """
    if objective is Objective.CLASSIFICATION:
        labels = [opinion[0].label for opinion in opinions if opinion]
        if not labels:
            return None
        votes = Counter(labels)
        newest = {label: position for position, label in enumerate(labels)}
        return (Choice(max(votes, key=lambda label: (votes[label], newest[label]))),)
    if objective is Objective.REGRESSION:
        values = [region.value for opinion in opinions for region in opinion if isinstance(region, Number)]
        return (Number(float(median(values))),) if values else None
    if not opinions:
        return None
    if objective is not Objective.MULTI_LABEL:
        return opinions[-1]
    counts = Counter(region.label for opinion in opinions for region in opinion)
    in_newest = {region.label for region in opinions[-1]}
    chosen = [
        label
        for label, count in sorted(counts.items())
        if 2 * count > len(opinions) or (2 * count == len(opinions) and label in in_newest)
    ]
    return tuple(Choice(label) for label in chosen)


def hold_out(answers: Sequence[Answer], splits: Mapping[str, str]) -> dict[str, str]:
    """Hold out a fifth of each label, counting those already held out; the same tasks always give the same split.

    Args:
        answers: Without those of tasks that are for tests.
        splits: Of the tasks that have one, by name.

    Returns:
        The split of every task, by name.
    """
    settled = dict(splits)
    for members in _by_rarest_label(answers):
        num_held_out = sum(settled.get(name) == Split.HELD_OUT for name in members)
        wanted = int(len(members) * HELD_OUT_SHARE)
        for name in sorted((name for name in members if name not in settled), key=_hash):
            is_held_out = num_held_out < wanted
            settled[name] = Split.HELD_OUT.value if is_held_out else Split.TRAIN.value
            num_held_out += is_held_out
    return settled


def draw(
    answers: Sequence[Answer], splits: Mapping[str, str], *, ratios: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Share out the tasks without a split, each label as all are; the same tasks, ratios and seed, the same splits.

    Args:
        answers: About all tasks that are labelled.
        splits: Of the tasks that have one, by name.
        ratios: Shares by the names of `SHARED_AS`. Where "val" has one, it gets at least one of two tasks or more.
        seed: Another one draws others.

    Returns:
        The split of every task, by name.
    """
    settled = dict(splits)
    drawn = (
        name
        for members in _by_rarest_label(answers)
        for name in sorted(members, key=lambda name: _hash(f"{seed}/{name}"))
        if name not in splits
    )
    shares = {split: ratios.get(name, 0.0) for name, split in SHARED_AS.items()}
    order, counts = list(dict.fromkeys(drawn)), Counter[str]()
    for number, name in enumerate(order, 1):
        settled[name] = max(shares, key=lambda split: shares[split] * number - counts[split])  # who is owed most
        counts[settled[name]] += 1
    if shares[Split.HELD_OUT] and Split.HELD_OUT not in settled.values() and len(order) > 1:
        settled[order[-1]] = Split.HELD_OUT.value
    return settled


def _by_rarest_label(answers: Sequence[Answer]) -> Iterator[list[str]]:
    """Yield the names of the tasks of each label, each task with the rarest of its labels."""
    counts = Counter(label for _, regions in answers for label in {region.label for region in regions})
    by_label: dict[str, list[str]] = {}
    for name, regions in answers:
        rarest = min(((counts[region.label], region.label) for region in regions), default=(0, ""))[1]
        by_label.setdefault(rarest, []).append(name)
    for label in sorted(by_label):
        yield by_label[label]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
