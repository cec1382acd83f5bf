import math

import numpy as np
import pytest
import torch

from models.learning import centres, data
from models.learning.centres import Things
from models.regions import Box

SIZE_PX = (64, 32)
UNMOVED = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def read(*boxes: Box, aspect: float = 2.0) -> Things:
    return Things.of_boxes(boxes, ["cat", "dog"], size_px=SIZE_PX, aspect=aspect)


def aim(things: Things, theta: torch.Tensor = UNMOVED, *, is_rotated: bool = False) -> centres.Aims:
    return centres.aim(things, theta, num_labels=2, shape=(8, 16), size_px=SIZE_PX, is_rotated=is_rotated)


def test_upright_boxes_keep_their_sizes_in_pixels_of_the_canvas() -> None:
    things = read(Box("dog", 0.5, 0.25, 0.25, 0.5))

    assert things.labels_T.tolist() == [1]
    assert things.centres_T2.tolist() == [[32.0, 8.0]]
    assert torch.allclose(things.upright_sizes, torch.tensor([[16.0, 16.0]]))


def test_rotated_boxes_keep_their_sides_and_angles_where_the_canvas_is_not_squeezed() -> None:
    things = read(Box("cat", 0.5, 0.5, 0.25, 0.25, rotation=30, aspect=2.0))

    assert torch.allclose(things.rotated_sizes, torch.tensor([[16.0, 8.0]]), atol=1e-4)
    assert math.degrees(float(things.double_angles[0])) == pytest.approx(60, abs=1e-3)


def test_a_turned_box_in_an_image_that_was_squeezed_is_another_turned_box() -> None:
    # A square image on a canvas of 2:1: at 45 degrees, x grows twice as much as y.
    things = read(Box("cat", 0.5, 0.5, 0.8, 1e-3, rotation=45, aspect=1.0), aspect=1.0)

    assert math.degrees(float(things.double_angles[0])) / 2 == pytest.approx(math.degrees(math.atan(0.5)), abs=0.1)


def test_things_move_as_their_pixels_do() -> None:
    ellipse = Box("cat", 0.45, 0.55, 0.4, 0.3, rotation=25, aspect=2.0)
    ys, xs = np.mgrid[:32, :64] + 0.5
    pixels = torch.from_numpy(np.stack((xs, ys), -1)).float()
    inside = (read(ellipse).distances(pixels) <= 1).float()[None]
    draws = data.draw(0, 0, [3], device="cpu")
    distortion = data.Augmentation(min_area=0.7, rotation=20, shear=0.2, is_flipped=True)
    theta = data.draw_warp(distortion, draws)

    seen, cut = read(ellipse).move(theta[0], size_px=SIZE_PX, is_rotated=True)

    moved = data.warp(inside, theta, padding="zeros")[0, 0] > 0.5
    expected = seen.distances(pixels)[0] <= 1
    assert len(cut) == 0
    assert float((moved & expected).sum() / (moved | expected).sum()) > 0.93


def test_a_box_at_the_edge_is_cut_off_there_and_one_that_is_nearly_gone_is_not_looked_for() -> None:
    shifted = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]])  # what was at 3/4 of the width is now at 1/2
    half_left, nearly_gone = Box("cat", 0.25, 0.5, 0.2, 0.5), Box("cat", 0.17, 0.5, 0.2, 0.5)

    seen, cut = read(half_left, nearly_gone).move(shifted, size_px=SIZE_PX, is_rotated=False)

    assert len(seen) == len(cut) == 1
    assert torch.allclose(seen.upright_sizes, torch.tensor([[6.4, 16.0]]), atol=1e-4)
    assert torch.allclose(seen.centres_T2, torch.tensor([[3.2, 16.0]]), atol=1e-4)


def test_heat_is_one_at_centres_only_and_falls_off_around() -> None:
    aims = aim(read(Box("dog", 0.53, 0.55, 0.5, 0.5)))

    assert (aims.heat_KHW == 1).nonzero().tolist() == [[1, 4, 8]]
    assert 0.3 < float(aims.heat_KHW[1, 4, 9]) < 1
    assert float(aims.heat_KHW[0].max()) == 0


def test_boxes_are_learnt_around_centres_with_one_vote_for_each_thing() -> None:
    aims = aim(read(Box("cat", 0.25, 0.5, 0.4, 0.8), Box("dog", 0.75, 0.5, 0.1, 0.2)))

    votes = {label: float(aims.weights_N[aims.things_N.labels_T == label].sum()) for label in (0, 1)}
    assert votes == {0: pytest.approx(1.0), 1: pytest.approx(1.0)}
    assert aims.num_things == 2


def test_a_crowd_is_aimed_at_as_its_things_are_one_by_one() -> None:
    rng = np.random.default_rng(0)
    crowd = [Box("cat" if n % 3 else "dog", *rng.uniform(0.1, 0.9, 2), 0.06, 0.1) for n in range(150)]

    aims = aim(read(*crowd))

    alone = torch.stack([aim(read(box)).heat_KHW for box in crowd])
    assert torch.allclose(aims.heat_KHW, alone.amax(0))
    things = read(*crowd)
    places = (aims.things_N.centres_T2[:, None] - things.centres_T2).abs().sum(2).argmin(1)
    heat = alone.amax(1).flatten(1)
    assert torch.allclose(heat[places, aims.places_N], heat.amax(0)[aims.places_N])


def test_places_outside_of_the_image_and_in_things_that_are_cut_off_teach_nothing() -> None:
    shifted = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]])  # the last quarter shows nothing of the image

    aims = aim(read(Box("cat", 0.2, 0.5, 0.2, 0.5)), shifted)

    assert not bool(aims.counts_HW[:, 12:].any())
    assert not bool(aims.counts_HW[4, 0])
    assert bool(aims.counts_HW[:, 2:12].all())


def test_an_image_without_things_still_teaches_that_there_is_nothing() -> None:
    aims = aim(read())

    sure, unsure = (centres.heat_loss(torch.full((2, 8, 16), logit), aims) for logit in (2.0, -8.0))
    assert float(sure) > 100 * float(unsure) > 0
    assert aims.num_things == len(aims.places_N) == 0


def test_losses_of_boxes_are_zero_for_the_truth_and_grow_with_the_error() -> None:
    things = read(Box("cat", 0.5, 0.5, 0.25, 0.125, rotation=30, aspect=2.0))
    apart, shifted = torch.zeros(1, 2), torch.tensor([[3.0, 0.0]])
    angle = things.double_angles
    direction = torch.stack((angle.cos(), angle.sin()), 1)

    right = centres.rotated_loss(apart, things.rotated_sizes, direction, things)
    wrong = [
        centres.rotated_loss(shifted, things.rotated_sizes, direction, things),
        centres.rotated_loss(apart, 2 * things.rotated_sizes, direction, things),
        centres.rotated_loss(apart, things.rotated_sizes, -direction, things),
    ]

    assert float(right) == pytest.approx(0, abs=1e-5)
    assert all(float(each) > 0.3 for each in wrong)
    assert float(centres.upright_loss(apart, things.upright_sizes, things)) == pytest.approx(0, abs=1e-5)


def test_the_loss_of_upright_boxes_is_one_less_their_generalized_overlap() -> None:
    # 16 × 8 against itself shifted by 4: shared 96 of 160 together, nothing else within the box around both.
    things = read(Box("cat", 0.5, 0.5, 0.25, 0.25))

    loss = centres.upright_loss(torch.tensor([[4.0, 0.0]]), things.upright_sizes, things)

    assert float(loss) == pytest.approx(1 - 96 / 160, abs=1e-5)


def test_the_direction_of_a_square_is_learnt_to_be_none() -> None:
    square = read(Box("cat", 0.5, 0.5, 0.25, 0.5, rotation=20, aspect=2.0))

    loss = centres.rotated_loss(torch.zeros(1, 2), square.rotated_sizes, torch.zeros(1, 2), square)

    assert float(loss) == pytest.approx(0, abs=1e-3)
