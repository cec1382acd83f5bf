from pathlib import Path

import numpy as np
import torch
from PIL import Image as PillowImage

from models.examples import Example, Split
from models.learning import data
from models.learning.data import Augmentation


def save(folder: Path, name: str, pixels: np.ndarray) -> Example:
    PillowImage.fromarray(pixels.astype(np.uint8)).save(folder / name)
    return Example(name, folder / name, (), Split.TRAIN)


def picture(size: int = 8) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))


STRONG = Augmentation(min_area=0.3, rotation=40, shear=0.3, shift=0.2, is_flipped=True, light=0.4)


def test_an_unreadable_file_is_logged_and_left_out(tmp_path: Path) -> None:
    good = [save(tmp_path, f"{level}.png", np.full((5, 9), level)) for level in (10, 20)]
    (tmp_path / "bad.png").write_bytes(b"no image")
    bad = Example("bad", tmp_path / "bad.png", (), Split.TRAIN)
    lines: list[str] = []

    decoded = data.decode([good[0], bad, good[1]], width_px=4, height_px=4, log=lines.append)

    assert decoded.examples == tuple(good)
    assert decoded.pixels_NHWC.shape == (2, 4, 4, 3)
    assert decoded.pixels_NHWC[:, 0, 0, 0].tolist() == [10, 20]
    assert len(lines) == 1
    assert "bad" in lines[0]


def test_the_median_size_is_that_of_the_originals(tmp_path: Path) -> None:
    examples = [save(tmp_path, f"{side}.png", np.zeros((side, 200))) for side in (10, 60, 90)]

    assert data.median_size_px(examples) == (200, 60)
    assert data.median_size_px([]) is None


def test_no_augmentation_changes_nothing() -> None:
    pixels = picture()

    same = data.augment(pixels, Augmentation(), data.draw(0, 0, [0, 1], device="cpu"))

    assert torch.allclose(same, pixels, atol=1e-5)


def test_an_augmented_image_depends_on_seed_epoch_and_index_alone() -> None:
    pixels = picture()

    both = data.augment(pixels, STRONG, data.draw(1, 2, [7, 9], device="cpu"))
    alone = data.augment(pixels[1:], STRONG, data.draw(1, 2, [9], device="cpu"))
    later = data.augment(pixels[1:], STRONG, data.draw(1, 3, [9], device="cpu"))

    assert torch.allclose(both[1], alone[0], atol=1e-6)
    assert not torch.allclose(alone, later, atol=1e-2)


def test_augmented_pixels_stay_in_range() -> None:
    pixels = picture()

    for epoch in range(20):
        augmented = data.augment(pixels, STRONG, data.draw(0, epoch, [0, 1], device="cpu"))
        assert augmented.shape == pixels.shape
        assert float(augmented.min()) >= -1e-6
        assert float(augmented.max()) <= 1 + 1e-6


def test_images_are_mirrored_only_where_that_is_allowed() -> None:
    pixels = picture()[:1]

    def outcomes(is_flipped: bool) -> list[bool]:
        return [
            torch.allclose(
                data.augment(pixels, Augmentation(is_flipped=is_flipped), data.draw(0, epoch, [0], device="cpu")),
                pixels.flip(3),
                atol=1e-4,
            )
            for epoch in range(20)
        ]

    assert 0 < sum(outcomes(True)) < 20
    assert not any(outcomes(False))


def blob(x: float, y: float, size: int = 96) -> torch.Tensor:
    rows = torch.arange(size)[:, None] + 0.5
    columns = torch.arange(size) + 0.5
    return torch.exp(-((columns - x * size) ** 2 + (rows - y * size) ** 2) / 8)


def centre(picture: torch.Tensor) -> tuple[float, float]:
    """Centre of mass of a picture of shape (H, W), as fractions."""
    total = picture.sum()
    at = (torch.arange(picture.shape[1]) + 0.5) / picture.shape[1]
    return float((picture.sum(0) * at).sum() / total), float((picture.sum(1) * at).sum() / total)


def test_points_move_with_the_pixels_under_them() -> None:
    points = [(0.4, 0.45), (0.6, 0.5), (0.5, 0.62)]
    gentle = Augmentation(min_area=0.6, rotation=30, shear=0.2, shift=0.05, is_flipped=True)
    pictures = torch.stack([blob(x, y) for x, y in points])[None].repeat(8, 1, 1, 1)
    theta = data.draw_warp(gentle, data.draw(0, 0, list(range(8)), device="cpu"))

    warped = data.warp(pictures, theta, padding="zeros")
    moved = data.warp_points(torch.tensor([points] * 8), theta)

    assert (moved - torch.tensor(points)).abs().max() > 0.05
    for picture, expected in zip(warped.flatten(0, 1), moved.flatten(0, 1).tolist(), strict=True):
        if all(0.1 < coordinate < 0.9 for coordinate in expected):
            assert max(abs(a - b) for a, b in zip(centre(picture), expected, strict=True)) < 0.005


def test_points_stay_where_nothing_is_warped() -> None:
    points = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(0))
    theta = data.draw_warp(Augmentation(), data.draw(0, 0, [0, 1, 2], device="cpu"))

    assert torch.allclose(data.warp_points(points, theta), points, atol=1e-6)


def test_a_mirrored_point_changes_sides() -> None:
    mirror = torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]])

    assert torch.allclose(data.warp_points(torch.tensor([[[0.1, 0.3]]]), mirror), torch.tensor([[[0.9, 0.3]]]))


def test_masks_are_moved_without_mixing() -> None:
    masks = (picture(16) > 0.5).float()
    theta = data.draw_warp(STRONG, data.draw(0, 1, [0, 1], device="cpu"))

    warped = data.warp(masks, theta, mode="nearest", padding="zeros")

    assert set(warped.unique().tolist()) <= {0.0, 1.0}


def test_maps_move_alike_at_any_resolution() -> None:
    large = torch.nn.functional.interpolate(picture(8), scale_factor=8.0, mode="bilinear")
    theta = data.draw_warp(Augmentation(rotation=20, shift=0.1), data.draw(0, 0, [0, 1], device="cpu"))

    reduced_after = torch.nn.functional.avg_pool2d(data.warp(large, theta), 2)
    reduced_before = data.warp(torch.nn.functional.avg_pool2d(large, 2), theta)

    assert (reduced_after - reduced_before).abs().mean() < 0.01
