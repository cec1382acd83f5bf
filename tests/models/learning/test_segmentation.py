from pathlib import Path

import numpy as np
import pytest
import torch

from models.examples import Example, Split
from models.family import FamilyError
from models.labels import Label, LabelSchema, Objective
from models.learning.segmentation import (
    LabelMaps,
    Probabilities,
    are_exclusive,
    check,
    choose_recipe,
    draw_shares,
    is_drawn,
)
from models.regions import Box, Mask, Polygon, Region

SCHEMA = LabelSchema(Objective.SEMANTIC_SEGMENTATION, (Label("sky"), Label("sea")))


def example(*regions: Region) -> Example:
    return Example("a", Path("a.png"), regions, Split.TRAIN)


def square(label: str, left: float, top: float, side: float) -> Polygon:
    right, bottom = left + side, top + side
    return Polygon(label, ((left, top), (right, top), (right, bottom), (left, bottom)))


def test_a_pixel_is_shared_out_by_what_covers_it() -> None:
    left_half = Mask.from_array("sky", np.array([[1, 1, 0, 0, 0, 0]] * 6))
    examples = [example(left_half), example(square("sea", 0, 0, 0.5), square("sea", 0.5, 0.5, 0.5))]

    shares = draw_shares(examples, ("sky", "sea"), width_px=4, height_px=2)

    assert shares.shape == (2, 2, 2, 4)
    assert shares[0, 0, 0].tolist() == [
        255,
        128,
        0,
        0,
    ]  # a third of the width is one pixel and a third: on a finer grid
    assert not shares[0, 1].any()
    assert (shares[1, 1] > 0).tolist() == [[True, True, False, False], [False, False, True, True]]


def test_labels_are_exclusive_save_for_a_slip_of_the_hand() -> None:
    def shares(*regions: Region) -> np.ndarray:
        return draw_shares([example(*regions)], SCHEMA.names, width_px=50, height_px=50)

    assert are_exclusive(shares(square("sky", 0, 0, 0.5), square("sea", 0.5, 0.5, 0.5)))
    assert are_exclusive(shares(square("sky", 0, 0, 0.5), square("sea", 0.48, 0.48, 0.5)))
    assert not are_exclusive(shares(square("sky", 0, 0, 0.5), square("sea", 0.1, 0.1, 0.3)))


@pytest.mark.parametrize("is_exclusive", [True, False])
def test_the_loss_is_least_where_the_truth_is_said(is_exclusive: bool) -> None:
    labels = LabelMaps(2, is_exclusive)
    truth = torch.zeros(1, 2, 4, 4)
    truth[:, 0, :2] = truth[:, 1, 3:] = 1
    logits = torch.cat((1 - truth.sum(1, keepdim=True), truth), 1)[:, 1 - is_exclusive :]

    right = labels.loss(12 * (2 * logits - 1), truth)
    unsure = labels.loss(torch.zeros_like(logits), truth)
    wrong = labels.loss(12 * (2 * logits.roll(1, 1) - 1), truth)

    assert float(right) < 0.01 < float(unsure) < float(wrong)


def test_dice_is_the_one_computed_by_hand() -> None:
    labels = LabelMaps(1, is_exclusive=False)
    truth = torch.zeros(1, 1, 4, 4)
    truth[..., :2] = 1

    loss = labels.loss(torch.zeros(1, 1, 4, 4), truth)

    # Everything is said to be as likely as not: the entropy is log 2, and 2 · 4 + 1 of 8 + 8 + 1 is shared.
    assert float(loss) == pytest.approx(np.log(2) + 1 - 9 / 17)


def test_a_label_that_a_batch_lacks_is_not_asked_for_by_dice() -> None:
    labels = LabelMaps(2, is_exclusive=False)
    truth = torch.zeros(1, 2, 4, 4)
    truth[:, 0] = 1

    assert (
        float(labels.loss(torch.cat((torch.full((1, 1, 4, 4), 20.0), torch.full((1, 1, 4, 4), -20.0)), 1), truth)) < 0.1
    )


def test_probabilities_of_exclusive_labels_and_the_background_are_one_together() -> None:
    logits = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))

    output = Probabilities(LabelMaps(2, is_exclusive=True))(logits)

    assert output.shape == (2, 3, 3, 3)
    assert torch.allclose(output[:, :2], logits[:, :3].softmax(1)[:, 1:])
    assert torch.allclose(output[:, 2], logits[:, 3].sigmoid())


def test_only_what_covers_something_is_drawn() -> None:
    nan = float("nan")

    assert is_drawn(Mask("a", 2, 1, (1, 1)))
    assert not is_drawn(Mask("a", 2, 1, (2,)))
    assert not is_drawn(Mask("a", 2, 1, (1, 2)))
    assert is_drawn(square("a", 0, 0, 1))
    assert not is_drawn(Polygon("a", ((0, 0), (1, 1))))
    assert not is_drawn(Polygon("a", ((0, 0), (1, nan), (1, 1))))
    assert not is_drawn(Box("a", 0.5, 0.5, 1, 1))


def test_small_things_are_looked_at_more_closely() -> None:
    sides = [
        choose_recipe("f", [example(square("sky", 0.1, 0.1, side))], SCHEMA).side_px for side in (0.5, 0.045, 0.001)
    ]

    assert sides[0] < sides[1] < sides[2]
    assert sides[2] < 512


def test_images_are_mirrored_unless_a_label_names_a_side() -> None:
    sided = LabelSchema(SCHEMA.objective, (Label("Left lung"), Label("Right lung")))

    assert choose_recipe("f", [], SCHEMA).augmentation.is_flipped
    assert not choose_recipe("f", [], sided).augmentation.is_flipped


def test_a_set_in_which_nothing_is_drawn_is_refused() -> None:
    with pytest.raises(FamilyError, match="Nothing is drawn"):
        check([example(), example(square("land", 0, 0, 1))], SCHEMA)
    check([example(), example(square("sea", 0, 0, 1))], SCHEMA)
