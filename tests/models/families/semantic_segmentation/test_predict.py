import tracemalloc

import numpy as np
import pytest

from models.families.semantic_segmentation.predict import masks
from models.labels import Label, LabelSchema, Objective
from models.regions import Mask

SCHEMA = LabelSchema(Objective.SEMANTIC_SEGMENTATION, (Label("sky"), Label("sea")))


def maps(*levels: list[list[float]]) -> np.ndarray:
    return np.array(levels, dtype=np.float32)


def painted(found: list) -> dict[str, list[list[int]]]:
    assert all(isinstance(mask, Mask) for mask in found)
    return {mask.label: mask.to_array().astype(int).tolist() for mask in found}


def test_the_likeliest_of_exclusive_labels_wins_each_pixel() -> None:
    found = masks(maps([[0.4, 0.1, 0.2]], [[0.3, 0.8, 0.1]]), SCHEMA, size_px=(3, 1), is_exclusive=True)

    # The rest of each pixel's probability is the background's: 0.3, 0.1, 0.7.
    assert painted(found) == {"sky": [[1, 0, 0]], "sea": [[0, 1, 0]]}


def test_labels_that_are_not_exclusive_may_share_pixels() -> None:
    found = masks(maps([[0.9, 0.6, 0.2]], [[0.3, 0.8, 0.9]]), SCHEMA, size_px=(3, 1), is_exclusive=False)

    assert painted(found) == {"sky": [[1, 1, 0]], "sea": [[0, 1, 1]]}


def test_the_surest_label_comes_first_with_its_mean_probability() -> None:
    found = masks(maps([[0.6, 0.0, 0.7]], [[0.0, 0.9, 0.1]]), SCHEMA, size_px=(3, 1), is_exclusive=True)

    assert [(mask.label, mask.score) for mask in found] == [
        ("sea", pytest.approx(0.9)),
        ("sky", pytest.approx(0.65)),
    ]


def test_an_image_without_any_label_has_no_masks() -> None:
    for is_exclusive in (True, False):
        assert masks(np.zeros((2, 4, 4), dtype=np.float32), SCHEMA, size_px=(9, 7), is_exclusive=is_exclusive) == []


def test_masks_have_the_size_of_the_image_and_smooth_edges() -> None:
    left = np.zeros((2, 4, 8), dtype=np.float32)
    left[0, :, :4] = 1

    (mask,) = masks(left, SCHEMA, size_px=(800, 400), is_exclusive=True)

    assert isinstance(mask, Mask)
    assert (mask.width_px, mask.height_px) == (800, 400)
    inside = mask.to_array()
    assert inside[:, :399].all()
    assert not inside[:, 401:].any()


def test_a_slanted_edge_is_not_a_staircase_of_map_pixels() -> None:
    y, x = np.mgrid[:32, :32]
    slanted = np.clip(0.5 + (y - x) / 4, 0, 1)[None].astype(np.float32)

    (mask,) = masks(slanted, LabelSchema(SCHEMA.objective, (Label("sky"),)), size_px=(640, 640), is_exclusive=True)

    assert isinstance(mask, Mask)
    rows, columns = np.mgrid[:640, :640]
    assert (mask.to_array() != (rows >= columns)).mean() < 0.003


@pytest.mark.parametrize("size_px", [(1, 1), (20_000, 50), (3, 4000)])
def test_images_of_any_shape_can_be_painted(size_px: tuple[int, int]) -> None:
    (mask,) = masks(maps([[1.0] * 4] * 4, [[0.0] * 4] * 4), SCHEMA, size_px=size_px, is_exclusive=True)

    assert isinstance(mask, Mask)
    assert mask.runs == (0, size_px[0] * size_px[1])


def test_large_images_take_little_memory() -> None:
    many = LabelSchema(SCHEMA.objective, tuple(Label(str(k)) for k in range(6)))
    likely = np.random.default_rng(0).dirichlet(np.ones(7), (64, 64)).astype(np.float32)[..., 1:].transpose(2, 0, 1)

    tracemalloc.start()
    masks(likely, many, size_px=(2000, 1500), is_exclusive=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 16 * 2000 * 1500  # bytes per pixel, however many labels
