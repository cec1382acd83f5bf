import json
import math

import numpy as np
import pytest

from models.regions import Box, Choice, KeyPoint, Mask, Number, Polygon, Region, Span, bounding_box, from_json, to_json

PART = Box("nut", 0.5, 0.5, 0.2, 0.1, rotation=30.0, aspect=1.5)


@pytest.mark.parametrize(
    "region",
    [
        Choice("cat", 0.25),
        Choice("Löwe"),
        Choice("ripe", 0.5, part=PART),
        Number(2.5, 0.75),
        Number(3.0, part=PART),
        PART,
        Polygon("nut", ((0.1, 0.1), (0.9, 0.1), (0.5, 0.9)), 0.5),
        Mask("nut", 3, 2, (1, 2, 3), 0.5),
        KeyPoint("nose", 0.25, 0.75),
        Span("person", 3, 9, 0.5),
    ],
    ids=lambda region: type(region).__name__,
)
def test_regions_survive_their_stored_form(region: Region) -> None:
    assert from_json(json.loads(json.dumps(to_json([region])))) == (region,)


def test_a_kind_of_a_later_release_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="hologram"):
        from_json([{"kind": "hologram"}])


def test_a_box_is_turned_clockwise_about_its_centre_in_pixels() -> None:
    # 200 × 100 pixels; the box has 40 × 20 pixels about (100, 50), and stands upright after a quarter turn.
    box = Box("nut", 0.5, 0.5, 0.2, 0.2, rotation=90.0, aspect=2.0)

    corners_px = [(round(200 * x, 6), round(100 * y, 6)) for x, y in box.corners]

    assert corners_px == [(110, 30), (110, 70), (90, 70), (90, 30)]
    assert box.bounds == pytest.approx((0.45, 0.3, 0.55, 0.7))


def test_a_mask_is_what_its_array_was() -> None:
    inside = np.random.default_rng(0).random((7, 5)) < 0.5

    mask = Mask.from_array("nut", inside)

    assert (mask.width_px, mask.height_px) == (5, 7)
    assert np.array_equal(mask.to_array(), inside)


@pytest.mark.parametrize(("level", "runs"), [(0, (6,)), (1, (0, 6))])
def test_a_mask_may_be_empty_or_full(level: int, runs: tuple[int, ...]) -> None:
    mask = Mask.from_array("nut", np.full((2, 3), level))

    assert mask.runs == runs
    assert mask.to_array().all() == bool(level)


def test_a_mask_whose_runs_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="5 pixels of 3×2"):
        Mask("nut", 3, 2, (2, 3)).to_array()


def test_the_box_around_an_outline_and_around_a_mask() -> None:
    outline = bounding_box(Polygon("nut", ((0.1, 0.2), (0.5, 0.2), (0.3, 0.8))))
    mask = bounding_box(Mask.from_array("nut", np.array([[0, 0, 0, 0], [0, 1, 1, 0]])))

    assert outline is not None
    assert outline.bounds == pytest.approx((0.1, 0.2, 0.5, 0.8))
    assert mask is not None
    assert mask.bounds == pytest.approx((0.25, 0.5, 0.75, 1.0))


@pytest.mark.parametrize("region", [Choice("cat"), KeyPoint("nose", 0.5, 0.5), Mask("nut", 2, 2, (4,))])
def test_what_has_no_extent_has_no_box(region: Region) -> None:
    assert bounding_box(region) is None


def test_a_box_keeps_its_area_when_it_is_turned() -> None:
    (ax, ay), (bx, by), _, (dx, dy) = Box("nut", 0.4, 0.6, 0.3, 0.1, rotation=37.0, aspect=1.6).corners

    width, height = math.hypot((bx - ax) * 1.6, by - ay), math.hypot((dx - ax) * 1.6, dy - ay)

    assert (width, height) == (pytest.approx(0.3 * 1.6), pytest.approx(0.1))


@pytest.mark.parametrize("seed", range(20))
def test_the_box_around_a_mask_is_that_around_its_pixels(seed: int) -> None:
    draw = np.random.default_rng(seed)
    inside = draw.random((draw.integers(1, 7), draw.integers(1, 9))) < draw.choice([0.05, 0.2, 0.9])
    inside[draw.integers(inside.shape[0]), draw.integers(inside.shape[1])] = True

    box = bounding_box(Mask.from_array("a", inside))

    rows, columns = np.nonzero(inside)
    height, width = inside.shape
    expected = columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height
    assert box is not None
    assert box.bounds == pytest.approx(expected)
