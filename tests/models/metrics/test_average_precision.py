import numpy as np
import pytest

from models.metrics.average_precision import Compared, Ranking, rank


def make_ranking(hits: list[bool], num_truths: int) -> Ranking:
    return Ranking(np.linspace(0.9, 0.1, len(hits)), np.array(hits, dtype=bool), num_truths)


def test_average_precision_is_the_mean_of_the_best_precisions_at_101_recalls() -> None:
    # Precisions after each answer: 1, 1/2, 2/3, 2/4; recalls: 1/3, 1/3, 2/3, 2/3; the last truth is never found.
    # Recalls 0 … 0.33 are reached at precision 1 (34 of them), 0.34 … 0.66 at 2/3 (33), the others never.
    ranking = make_ranking([True, False, True, False], num_truths=3)

    assert ranking.average_precision == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)


def test_average_precision_is_one_where_all_truths_come_first() -> None:
    assert make_ranking([True, True, False], num_truths=2).average_precision == pytest.approx(1.0)


def test_average_precision_is_zero_where_nothing_is_found_and_none_where_there_is_nothing() -> None:
    assert make_ranking([], num_truths=2).average_precision == 0.0
    assert make_ranking([False], num_truths=0).average_precision is None


def test_a_truth_is_hit_once_and_the_better_answer_has_it() -> None:
    image = Compared(np.array([0.4, 0.8]), np.array([[0.9], [0.6]]))

    ranking = rank([image], min_overlap=0.5)

    assert ranking.scores_P.tolist() == [0.8, 0.4]
    assert ranking.is_hit_P.tolist() == [True, False]


def test_an_answer_takes_the_truth_that_it_overlaps_most_of_those_left() -> None:
    image = Compared(np.array([0.9, 0.8]), np.array([[0.6, 0.7], [0.55, 0.9]]))

    # The first takes the second truth; the other one must do with the first.
    assert rank([image], min_overlap=0.5).is_hit_P.tolist() == [True, True]
    assert rank([image], min_overlap=0.58).is_hit_P.tolist() == [True, False]


def test_an_overlap_of_exactly_the_least_one_is_enough() -> None:
    assert rank([Compared(np.array([0.9]), np.array([[0.5]]))], min_overlap=0.5).is_hit_P.tolist() == [True]


def test_answers_of_all_images_are_ranked_together() -> None:
    images = [
        Compared(np.array([0.9, 0.2]), np.array([[0.0], [0.8]])),
        Compared(np.array([0.5]), np.array([[0.8]])),
        Compared(np.zeros(0), np.zeros((0, 1))),
    ]

    ranking = rank(images, min_overlap=0.5)

    assert ranking.is_hit_P.tolist() == [False, True, True]
    assert ranking.num_truths == 3


def test_the_best_threshold_lies_between_the_last_answer_worth_keeping_and_the_next() -> None:
    ranking = Ranking(np.array([0.9, 0.7, 0.3, 0.2]), np.array([True, True, False, False]), 2)

    assert ranking.best_threshold == pytest.approx(0.5)
    assert make_ranking([False], num_truths=1).best_threshold is None


def test_counts_are_of_answers_with_at_least_a_score() -> None:
    ranking = Ranking(np.array([0.9, 0.5, 0.3]), np.array([True, False, True]), 2)

    assert ranking.count(0.5) == (2, 1)
