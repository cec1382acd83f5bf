import pytest

from models.metrics import clicks


def test_means_and_gain_are_those_of_the_things() -> None:
    ours, theirs = [{"box": 0.9, "1": 0.7}, {"box": 0.8, "1": 0.6}], [{"box": 0.8, "1": 0.5}, {"box": 0.8, "1": 0.5}]

    evaluation = clicks.compare(ours, theirs)

    assert evaluation.primary == pytest.approx(0.75)
    assert evaluation.metrics["iou"] == {"box": 0.85, "1": 0.65}
    assert evaluation.metrics["iou_classical"] == {"box": 0.8, "1": 0.5}
    assert evaluation.metrics["gain"] == pytest.approx((0.15 + 0.05) / 2)


def test_what_is_better_on_every_thing_is_better() -> None:
    theirs = [{"1": 0.5 + number / 50} for number in range(8)]

    metrics = clicks.compare([{"1": thing["1"] + 0.05} for thing in theirs], theirs).metrics

    assert metrics["is_better_than_classical"] is True
    assert metrics["gain_lower_bound"] == pytest.approx(0.05)


def test_a_gain_that_one_thing_makes_is_chance() -> None:
    theirs = [{"1": 0.5}] * 8
    ours = [{"1": 0.9}, *[{"1": 0.48}] * 7]

    metrics = clicks.compare(ours, theirs).metrics

    assert metrics["gain"] > 0
    assert metrics["is_better_than_classical"] is False


def test_a_handful_of_things_proves_nothing() -> None:
    assert clicks.compare([{"1": 0.9}] * 4, [{"1": 0.5}] * 4).metrics["is_better_than_classical"] is False


def test_without_things_nothing_is_claimed() -> None:
    metrics = clicks.compare([], []).metrics

    assert metrics == {"is_better_than_classical": False, "num_things": 0}
