from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.geometry import Size, _is_plainly_simple, box, corners, key_point, polygon, xywh
from backend.errors import Invalid
from models.outlines import repaired

SIZE = Size(4032, 3024)


@given(
    st.floats(0, 4000), st.floats(0, 3000), st.floats(1, 4032), st.floats(1, 3024), st.floats(0, 360, exclude_max=True)
)
def test_a_box_survives_the_way_in_and_out(x, y, width, height, rotation) -> None:
    """M-012."""
    try:
        drawn = box("a", [x, y, width, height], SIZE, rotation=rotation)
    except Invalid:
        return

    sides, turned = xywh(drawn, SIZE)

    cut = [x, y, width if turned else min(width, 4032 - x), height if turned else min(height, 3024 - y)]
    assert sides == pytest.approx(cut, abs=0.01)
    assert turned == pytest.approx(rotation, abs=1e-6)


def test_a_closing_point_is_dropped() -> None:
    drawn = polygon("a", [(0, 0), (100, 0), (100, 0), (0, 100), (0, 0)], SIZE)

    assert corners(drawn, SIZE) == [[0, 0], [100, 0], [0, 100]]


def test_an_outline_of_too_many_points_is_refused_before_it_is_looked_at() -> None:
    points = [(float(number % 4000), float(number // 4000)) for number in range(20_000)]

    with pytest.raises(Invalid, match="simplify"):
        polygon("a", points, SIZE)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=3, max_size=9))
def test_what_is_plainly_simple_is_so_by_the_thorough_test(points) -> None:
    fractions = tuple((x / 8, y / 8) for index, (x, y) in enumerate(points) if (x, y) != points[index - 1])

    if len(fractions) >= 3 and _is_plainly_simple(fractions):
        assert repaired(fractions) == fractions


def test_a_point_outside_says_by_how_much() -> None:
    with pytest.raises(Invalid, match=r"point reaches 68\.0 px beyond the image, which is 4032 × 3024 pixels"):
        key_point("a", 4100, 10, SIZE)
