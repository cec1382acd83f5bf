import math

import cv2
import numpy as np
import pytest

from models.outlines import covered, fill, is_whole, outline, outlines, repaired
from models.regions import Mask, Polygon

BOW_TIE = [(0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9)]


def disc(side: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side] + 0.5
    return np.hypot(x - side / 2, y - side / 2) < radius


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def crosses_itself(points: tuple[tuple[float, float], ...]) -> bool:
    """A second implementation, one pair of edges at a time, in whole numbers."""
    corners = [(round(x * 10**7), round(y * 10**7)) for x, y in points]
    edges = [(corners[i], corners[(i + 1) % len(corners)]) for i in range(len(corners))]

    def side(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
        turn = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        return (turn > 0) - (turn < 0)

    return any(
        side(*edges[i], edges[j][0]) * side(*edges[i], edges[j][1]) < 0
        and side(*edges[j], edges[i][0]) * side(*edges[j], edges[i][1]) < 0
        for i in range(len(edges))
        for j in range(i)
    )


def test_an_outline_runs_along_the_edges_of_pixels() -> None:
    inside = np.zeros((4, 10), dtype=bool)
    inside[1:3, 2:7] = True

    points = outline(inside)

    assert points is not None
    assert set(points) == {(0.2, 0.25), (0.7, 0.25), (0.7, 0.75), (0.2, 0.75)}


def test_an_outline_is_clockwise_on_screen() -> None:
    points = outline(disc(50, 20))

    assert points is not None
    twice_area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True))
    assert twice_area > 0


def test_one_pixel_has_an_outline() -> None:
    inside = np.zeros((3, 5), dtype=bool)
    inside[1, 4] = True

    points = outline(inside)

    assert points is not None
    assert fill(points, 5, 3).tolist() == inside.tolist()


def test_nothing_has_no_outline() -> None:
    assert outline(np.zeros((3, 5), dtype=bool)) is None
    assert outlines(np.zeros((3, 5), dtype=bool)) == []
    assert outline(np.zeros((0, 5), dtype=bool)) is None


def test_an_outline_is_short_and_covers_about_the_same_pixels() -> None:
    inside = disc(400, 150)

    points = outline(inside)

    assert points is not None
    assert 8 <= len(points) <= 40
    assert iou(fill(points, 400, 400), inside) > 0.98


def test_simplification_grows_with_the_thing() -> None:
    small, large = outline(disc(100, 40)), outline(disc(1000, 400))

    assert small is not None
    assert large is not None
    assert abs(len(small) - len(large)) <= 6


def test_each_part_has_an_outline_largest_first() -> None:
    inside = np.zeros((20, 20), dtype=bool)
    inside[1:4, 1:4] = inside[10:18, 10:18] = True

    first, second = outlines(inside)

    assert fill(first, 20, 20)[10:18, 10:18].all()
    assert fill(second, 20, 20)[1:4, 1:4].all()
    assert outline(inside) == first


@pytest.mark.parametrize("seed", range(8))
def test_outlines_of_ragged_parts_neither_cross_themselves_nor_shrink_away(seed: int) -> None:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random((120, 90)), (0, 0), 1 + seed / 2)
    inside = noise > np.quantile(noise, 0.5)

    found = outlines(inside)

    assert len(found) > 1
    for points in found:
        assert len(points) >= 3
        assert not crosses_itself(points)
        assert len(set(points)) == len(points)


def test_a_thin_diagonal_line_has_a_sound_outline() -> None:
    points = outline(np.eye(40, dtype=bool))

    assert points is not None
    assert len(points) >= 3
    assert not crosses_itself(points)
    assert iou(fill(points, 40, 40), np.eye(40, dtype=bool)) > 0.5


def test_a_pixel_is_filled_where_its_centre_is_inside() -> None:
    triangle = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]

    filled = fill(triangle, 4, 4)

    # Centres on the long side, x + y = 1, are outside; the others by x + y < 1.
    assert filled.astype(int).tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_filling_agrees_with_a_point_by_point_test() -> None:
    rng = np.random.default_rng(0)
    angles = np.sort(rng.random(30)) * 2 * math.pi
    star = 0.5 + np.stack((np.cos(angles), np.sin(angles)), 1) * rng.uniform(0.1, 0.6, (30, 1))

    filled = fill([(x, y) for x, y in star.tolist()], 64, 48)

    contour = (star * (64, 48)).astype(np.float32)
    expected = [[cv2.pointPolygonTest(contour, (x + 0.5, y + 0.5), False) > 0 for x in range(64)] for y in range(48)]
    assert (filled == np.array(expected)).mean() > 0.999


def test_what_lies_outside_of_the_image_is_cut_off() -> None:
    assert fill([(-1, -1), (0.5, -1), (0.5, 2), (-1, 2)], 4, 2).astype(int).tolist() == [[1, 1, 0, 0]] * 2
    assert not fill([(2, 2), (3, 2), (3, 3)], 4, 2).any()


def test_a_doubly_wound_area_is_inside() -> None:
    angles = np.arange(5) * 2 * 2 * math.pi / 5  # a pentagram: its heart is wound around twice
    points = [(0.5 + 0.45 * math.sin(a), 0.5 - 0.45 * math.cos(a)) for a in angles]

    assert fill(points, 100, 100)[50, 50]


def test_fewer_than_three_points_fill_nothing() -> None:
    assert not fill([], 4, 4).any()
    assert not fill([(0, 0), (1, 1)], 4, 4).any()


def test_a_sound_polygon_is_left_as_it_is() -> None:
    points = ((0.1, 0.2), (0.8, 0.3), (0.4, 0.9))

    assert repaired(points) == points


def test_a_closing_point_is_dropped() -> None:
    assert repaired([(0.1, 0.2), (0.8, 0.3), (0.4, 0.9), (0.1, 0.2)]) == ((0.1, 0.2), (0.8, 0.3), (0.4, 0.9))


def test_a_crossing_polygon_becomes_its_largest_part() -> None:
    lopsided = [(0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.5)]

    points = repaired(lopsided)

    assert points is not None
    assert not crosses_itself(points)
    whole = fill(lopsided, 200, 200)
    part = fill(points, 200, 200)
    assert part[60, 170]
    assert not part[60, 25]
    assert (part & ~whole).sum() < 0.02 * whole.sum()


def test_a_bow_tie_is_repaired() -> None:
    points = repaired(BOW_TIE)

    assert points is not None
    assert not crosses_itself(points)
    assert iou(fill(points, 100, 100), fill(BOW_TIE, 100, 100)) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(0.1, 0.1), (0.2, 0.2)],
        [(0.5, 0.5)] * 4,
        [(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)],
        [(0.2, 0.1), (0.2, 0.5), (0.2, 0.9)],
        [(1.1, 1.2), (1.5, 1.5), (1.9, 1.3)],
        [(0.1, float("nan")), (0.5, 0.5), (0.9, 0.9)],
    ],
)
def test_nothing_is_left_of_a_polygon_without_area(points: list[tuple[float, float]]) -> None:
    assert repaired(points) is None


def test_points_outside_of_the_image_move_to_its_edge() -> None:
    assert repaired([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5)]) == ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5))


def test_a_mask_of_another_size_is_scaled() -> None:
    half = Mask.from_array("a", np.array([[1, 1, 0, 0], [1, 1, 0, 0]]))

    assert covered(half, 4, 2).astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]
    assert covered(half, 2, 1).astype(int).tolist() == [[1, 0]]
    assert covered(half, 8, 2).astype(int).tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]] * 2


def test_a_polygon_covers_what_it_fills() -> None:
    triangle = ((0.1, 0.1), (0.9, 0.2), (0.3, 0.8))

    assert covered(Polygon("a", triangle), 40, 30).tolist() == fill(triangle, 40, 30).tolist()


def test_a_mask_is_whole_where_its_runs_add_up() -> None:
    assert is_whole(Mask("a", 4, 2, (3, 5)))
    assert not is_whole(Mask("a", 4, 2, (3, 4)))
    assert not is_whole(Mask("a", 0, 2, ()))
