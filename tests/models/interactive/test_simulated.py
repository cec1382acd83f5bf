import numpy as np

from models.clicks import Encoded, Prompts, Segment
from models.images import Image
from models.interactive import simulated
from models.interactive.classical import Reduced


class Perfect:
    """Finds a left half, wherever the click is."""

    key = "perfect"
    num_bytes = 0

    def encode(self, image: Image) -> Encoded:
        return Reduced(image.pixels)

    def segment(self, encoded: Encoded, prompts: Prompts) -> Segment | None:
        return Segment(np.ones((4, 4), bool), 0.0, 0.0, 0.5, 1.0, 1.0)


def truth() -> np.ndarray:
    inside = np.zeros((10, 20), bool)
    inside[:, :10] = True
    return inside


def test_the_first_click_is_in_the_middle_of_the_thing() -> None:
    inside = np.zeros((11, 21), bool)
    inside[3:8, 6:11] = True

    assert simulated.first_click(inside).inside == ((8.5 / 21, 5.5 / 11),)


def test_the_next_click_is_in_the_largest_error() -> None:
    found = np.zeros((10, 20), bool)
    found[:, 2:] = True  # misses two columns, and has ten too many

    prompts = simulated.next_click(simulated.first_click(truth()), truth(), found)

    assert len(prompts.inside) == 1
    ((x, y),) = prompts.outside
    assert 0.5 < x < 1
    assert 0.2 < y < 0.8


def test_where_nothing_is_wrong_no_click_is_made() -> None:
    prompts = simulated.first_click(truth())

    assert simulated.next_click(prompts, truth(), truth()) == prompts


def test_a_perfect_segmenter_reaches_one_with_any_prompt() -> None:
    overlaps = simulated.measure(Perfect(), Reduced(np.zeros((10, 20, 3), np.uint8)), truth())

    assert overlaps == {"box": 1.0, "1": 1.0, "2": 1.0, "3": 1.0, "5": 1.0}
