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
