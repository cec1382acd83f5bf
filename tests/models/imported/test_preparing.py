from __future__ import annotations

import numpy as np
import pytest

from models.images import Image
from models.imported.preparing import Fit, Placement, Preparation

WIDE = Image(np.tile(np.uint8([10, 20, 30]), (20, 40, 1)), 40, 20)


def test_a_squeezed_image_fills_the_input_and_is_scaled() -> None:
    preparation = Preparation(8, 8, scale=1 / 10, mean=(1.0, 1.0, 1.0), std=(2.0, 1.0, 1.0))

    pixels, placement = preparation.prepare(WIDE)

    assert pixels.shape == (1, 3, 8, 8)
    assert pixels[0, :, 4, 4].tolist() == pytest.approx([0.0, 1.0, 2.0])
    assert placement == Placement(0, 0, 8, 8)


@pytest.mark.parametrize(
    ("fit", "placement"), [(Fit.CENTRE, Placement(0, 2, 8, 4)), (Fit.CORNER, Placement(0, 0, 8, 4))]
)
def test_an_image_that_keeps_its_aspect_ratio_is_placed_and_the_rest_is_filled(fit: Fit, placement: Placement) -> None:
    pixels, placed = Preparation(8, 8, fit, scale=1.0, fill=114).prepare(WIDE)

    assert placed == placement
    inside = pixels[0, 0, placed.top_px : placed.top_px + 4]
    assert set(inside.ravel()) == {10.0}
    assert pixels[0, 0].sum() == 10 * 32 + 114 * 32


def test_blue_comes_first_where_the_model_wants_it() -> None:
    pixels, _ = Preparation(4, 4, is_bgr=True, scale=1.0).prepare(WIDE)

    assert pixels[0, :, 0, 0].tolist() == [30.0, 20.0, 10.0]


def test_coordinates_of_the_input_become_fractions_of_the_image_cut_at_its_border() -> None:
    placement = Placement(left_px=0, top_px=2, width_px=8, height_px=4)

    fractions = placement.to_fractions(np.float32([[2, 3, 4, 5], [-3, 0, 99, 99]]))

    assert fractions.tolist() == [[0.25, 0.25, 0.5, 0.75], [0.0, 0.0, 1.0, 1.0]]


def test_a_preparation_survives_its_stored_form() -> None:
    preparation = Preparation(4, 6, Fit.CORNER, True, 1.0, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 0)

    assert Preparation.from_json(preparation.to_json()) == preparation
