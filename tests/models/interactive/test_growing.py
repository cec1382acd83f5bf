import heapq

import numpy as np
import pytest

from models.clicks import Prompts
from models.interactive.growing import geodesic_distances, grow, outline_strength, to_lab

STEP = 0.3


def test_distances_are_those_of_the_shortest_ways() -> None:
    lab = np.random.default_rng(3).normal(0, 20, (1, 12, 15, 3)).astype(np.float32)
    starts = np.full((1, 12, 15), 1e9)
    starts[0, 4, 7], starts[0, 0, 0] = 0.0, 5.0

    found = geodesic_distances(lab, starts)[0]

    expected = _dijkstra(lab[0].astype(np.float64), starts[0])
    assert (found >= expected - 1e-3).all()
    assert np.isclose(found, expected, atol=1e-3).mean() > 0.95  # a way may wind more often than it is swept


def test_on_one_colour_the_distance_is_the_number_of_steps() -> None:
    starts = np.full((1, 9, 9), 1e9)
    starts[0, 4, 4] = 0.0

    found = geodesic_distances(np.zeros((1, 9, 9, 3), np.float32), starts)[0]

    rows, columns = np.indices((9, 9))
    np.testing.assert_allclose(found, STEP * (abs(rows - 4) + abs(columns - 4)))


@pytest.mark.parametrize("side_px", [12, 40, 130])
def test_a_region_has_the_size_of_the_thing(side_px: int) -> None:
    pixels = np.full((400, 500, 3), 60, np.uint8)
    pixels[150 : 150 + side_px, 200 : 200 + side_px] = 180
    middle = (200 + side_px / 2) / 500, (150 + side_px / 2) / 400

    left, top, right, bottom = grow(pixels, Prompts(inside=(middle,)), None).bounds

    assert (left * 500, right * 500) == pytest.approx((200, 200 + side_px), abs=0.1 * side_px + 2)
    assert (top * 400, bottom * 400) == pytest.approx((150, 150 + side_px), abs=0.1 * side_px + 2)


def test_a_later_point_beside_the_outline_mends_the_region_and_does_not_exchange_it_for_the_background() -> None:
    pixels = np.full((300, 400, 3), 60, np.uint8)
    pixels[:, 200:] = 90
    rows, columns = np.indices((300, 400))
    pixels[np.hypot(columns - 100, rows - 150) < 20] = 30
    noise = np.random.default_rng(0).normal(0, 3, pixels.shape)
    noisy = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    first, beside = (100 / 400, 150 / 300), (126 / 400, 150 / 300)

    grown = grow(noisy, Prompts(inside=(first, beside)), None)

    assert grown.area == pytest.approx(np.pi * 20**2 / (300 * 400), rel=0.5)


def test_an_outline_along_an_edge_is_stronger_than_one_across_it() -> None:
    pixels = np.full((40, 40, 3), 60, np.uint8)
    pixels[10:30, 10:30] = 180
    lab = to_lab(pixels)
    along, across = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    along[10:30, 10:30] = True
    across[20:38, 12:28] = True

    assert outline_strength(lab, along) > 0.8
    assert outline_strength(lab, across) < 0.5 * outline_strength(lab, along)
    assert outline_strength(lab, np.ones((40, 40), bool)) == 0.0


def _dijkstra(lab: np.ndarray, starts: np.ndarray) -> np.ndarray:
    best = starts.copy()
    queue = [(value, index) for index, value in np.ndenumerate(starts) if value < 1e9]
    while queue:
        value, (row, column) = heapq.heappop(queue)
        if value > best[row, column]:
            continue
        for other in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
            if 0 <= other[0] < best.shape[0] and 0 <= other[1] < best.shape[1]:
                reached = value + STEP + float(np.linalg.norm(lab[row, column] - lab[other]))
                if reached < best[other]:
                    best[other] = reached
                    heapq.heappush(queue, (reached, other))
    return best
