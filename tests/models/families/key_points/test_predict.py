import numpy as np
import pytest

from models.families.key_points.predict import Reading, locate, points
from models.labels import Label, LabelSchema, Objective
from models.regions import KeyPoint

SCHEMA = LabelSchema(Objective.KEY_POINTS, (Label("nose"), Label("tail")))
ONE_EACH = Reading(crowds=frozenset(), threshold=0.3, radius_px=3)
HEIGHT, WIDTH = 40, 60


def hills(*places: tuple[float, float, float]) -> np.ndarray:
    """Draw hills: x and y as fractions of the image, and height."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    drawn = np.zeros((HEIGHT, WIDTH))
    for x, y, height in places:
        squares = (columns - (x * WIDTH - 0.5)) ** 2 + (rows - (y * HEIGHT - 0.5)) ** 2
        drawn = np.maximum(drawn, height * np.exp(-squares / (2 * 1.5**2)))
    return drawn.astype(np.float32)


def read(nose: np.ndarray, tail: np.ndarray, reading: Reading = ONE_EACH) -> list[KeyPoint]:
    return [point for point in points(np.stack((nose, tail)), SCHEMA, reading) if isinstance(point, KeyPoint)]


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.213, 0.687), (0.731, 0.322), (0.405, 0.151)])
def test_places_are_finer_than_pixels_of_the_map(x: float, y: float) -> None:
    heights = hills((x, y, 0.9))
    row, column = np.unravel_index(heights.argmax(), heights.shape)

    found_x, found_y = locate(heights, int(row), int(column), 3)

    assert abs(found_x - x) * WIDTH < 0.15
    assert abs(found_y - y) * HEIGHT < 0.15


def test_places_stay_in_the_image_at_its_corners() -> None:
    found = read(hills((0.0, 0.0, 0.9)), hills((1.0, 1.0, 0.9)))

    assert len(found) == 2
    assert all(0 <= point.x <= 1 and 0 <= point.y <= 1 for point in found)
    assert sorted(round(point.x + point.y, 1) for point in found) == [0.0, 2.0]


def test_the_best_place_of_each_label_is_answered_best_first() -> None:
    found = read(hills((0.2, 0.2, 0.6), (0.8, 0.8, 0.5)), hills((0.4, 0.6, 0.9)))

    assert [(point.label, round(point.x, 2), round(point.y, 2)) for point in found] == [
        ("tail", 0.4, 0.6),
        ("nose", 0.2, 0.2),
    ]
    assert [point.score for point in found] == pytest.approx([0.9, 0.6], rel=0.12)  # of the highest pixel


def test_what_is_unlikely_is_not_answered() -> None:
    assert [point.label for point in read(hills((0.2, 0.2, 0.25)), hills((0.4, 0.6, 0.9)))] == ["tail"]
    assert read(hills(), hills()) == []


def test_of_a_label_that_comes_in_crowds_every_likely_place_is_answered() -> None:
    reading = Reading(crowds=frozenset({"nose"}), threshold=0.3, radius_px=3)
    crowd = hills((0.1, 0.1, 0.9), (0.3, 0.1, 0.5), (0.9, 0.9, 0.7), (0.5, 0.5, 0.2))

    found = read(crowd, hills((0.1, 0.1, 0.8), (0.9, 0.9, 0.7)), reading)

    noses = [(round(point.x, 1), round(point.y, 1)) for point in found if point.label == "nose"]
    assert noses == [(0.1, 0.1), (0.9, 0.9), (0.3, 0.1)]
    assert sum(point.label == "tail" for point in found) == 1


def test_a_plateau_is_one_point() -> None:
    reading = Reading(crowds=frozenset({"nose"}), threshold=0.3, radius_px=3)
    plateau = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    plateau[10:13, 20:23] = 0.8

    (found,) = read(plateau, hills(), reading)

    assert (found.x * WIDTH, found.y * HEIGHT) == pytest.approx((21.5, 11.5), abs=1.1)


def test_a_map_that_is_high_everywhere_does_not_flood_the_answer() -> None:
    reading = Reading(crowds=frozenset({"nose"}), threshold=0.3, radius_px=1)
    noise = np.random.default_rng(0).uniform(0.5, 1, (128, 128)).astype(np.float32)

    assert len(points(np.stack((noise, np.zeros_like(noise))), SCHEMA, reading)) <= 300


def test_how_maps_are_read_survives_storage() -> None:
    reading = Reading(crowds=frozenset({"nose"}), threshold=0.25, radius_px=4)

    assert Reading.from_json(reading.to_json()) == reading
