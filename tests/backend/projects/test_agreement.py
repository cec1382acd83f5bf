from __future__ import annotations

from collections import Counter

import pytest

from backend.projects.agreement import agree, draw, hold_out
from models.labels import Objective
from models.regions import Box, Choice, Number

HALVES = {"train": 0.5, "val": 0.5, "test": 0.0}


def said(*labels: str) -> tuple[Choice, ...]:
    return tuple(Choice(label) for label in labels)


@pytest.mark.parametrize(
    ("opinions", "expected"),
    [
        ([said("cat")], "cat"),
        ([said("cat"), said("dog"), said("dog")], "dog"),
        ([said("cat"), said("dog")], "dog"),  # a tie goes to the newest
        ([said("dog"), said("cat"), said()], "cat"),
    ],
)
def test_people_agree_on_what_most_of_them_say(opinions: list[tuple[Choice, ...]], expected: str) -> None:
    assert agree(Objective.CLASSIFICATION, opinions) == said(expected)


def test_nobody_who_answers_is_no_answer() -> None:
    assert agree(Objective.CLASSIFICATION, [said()]) is None
    assert agree(Objective.MULTI_LABEL, []) is None


def test_each_of_many_labels_is_voted_on() -> None:
    opinions = [said("a", "b"), said("b", "c"), said("b")]

    assert agree(Objective.MULTI_LABEL, opinions) == said("b")


def test_none_of_many_labels_is_an_answer() -> None:
    assert agree(Objective.MULTI_LABEL, [said("a"), said()]) == ()


def test_numbers_agree_on_their_median() -> None:
    opinions = [(Number(1.0),), (Number(5.0),), (Number(2.0),)]

    assert agree(Objective.REGRESSION, opinions) == (Number(2.0),)
    assert agree(Objective.REGRESSION, [()]) is None


def test_boxes_are_those_of_the_newest_opinion() -> None:
    older, newer = Box("cat", 0.5, 0.5, 0.2, 0.2), Box("cat", 0.4, 0.5, 0.2, 0.2)

    assert agree(Objective.DETECTION, [(older,), (newer,)]) == (newer,)
    assert agree(Objective.DETECTION, [(older,), ()]) == ()


def test_a_draw_gives_every_split_its_share_of_each_label() -> None:
    answers = [(f"{label}{number}", said(label)) for label in ("cat", "dog") for number in range(10)]

    splits = draw(answers, {}, ratios={"train": 0.8, "val": 0.1, "test": 0.1}, seed=0)

    assert Counter((name[:3], split) for name, split in splits.items()) == {
        ("cat", "train"): 8,
        ("cat", "held_out"): 1,
        ("cat", "test"): 1,
        ("dog", "train"): 8,
        ("dog", "held_out"): 1,
        ("dog", "test"): 1,
    }


def test_a_draw_leaves_tasks_with_a_split_as_they_are() -> None:
    answers = [(str(number), said("cat")) for number in range(6)]

    splits = draw(answers, {"0": "test", "1": "held_out"}, ratios=HALVES, seed=0)

    assert (splits["0"], splits["1"]) == ("test", "held_out")
    assert Counter(splits.values()) == {"test": 1, "held_out": 3, "train": 2}


def test_a_draw_depends_on_the_seed_alone() -> None:
    answers = [(str(number), said("cat")) for number in range(30)]

    assert draw(answers, {}, ratios=HALVES, seed=3) == draw(answers[::-1], {}, ratios=HALVES, seed=3)
    assert draw(answers, {}, ratios=HALVES, seed=3) != draw(answers, {}, ratios=HALVES, seed=4)


@pytest.mark.parametrize("num_tasks", [2, 3, 5])
def test_of_a_few_tasks_one_is_drawn_for_val(num_tasks: int) -> None:
    answers = [(str(number), said("cat")) for number in range(num_tasks)]

    splits = draw(answers, {}, ratios={"train": 0.9, "val": 0.05, "test": 0.05}, seed=0)

    assert Counter(splits.values()) == {"train": num_tasks - 1, "held_out": 1}


def test_parts_of_a_task_share_its_split() -> None:
    answers = [(str(number // 2), said("cat" if number % 2 else "dog")) for number in range(20)]

    assert len(draw(answers, {}, ratios=HALVES, seed=0)) == 10
    assert len(hold_out(answers, {})) == 10
