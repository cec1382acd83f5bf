import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from models import images
from models.images import BadImage
from models.regions import Box


def encode(picture: PillowImage.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def two_halves(width_px: int = 40, height_px: int = 20) -> PillowImage.Image:
    """Left half red, right half blue."""
    pixels = np.zeros((height_px, width_px, 3), dtype=np.uint8)
    pixels[:, : width_px // 2, 0] = 255
    pixels[:, width_px // 2 :, 2] = 255
    return PillowImage.fromarray(pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_common_formats_are_decoded_to_rgb(kind: str) -> None:
    image = images.read(encode(two_halves(), kind))

    assert (image.width_px, image.height_px) == (40, 20)
    assert image.pixels.shape == (20, 40, 3)
    assert image.pixels.dtype == np.uint8
    assert image.pixels[10, 5, 0] > 200
    assert image.pixels[10, 35, 2] > 200


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    kind = "PNG" if mode in ("P", "LA") else "TIFF"
    path.write_bytes(encode(two_halves().convert(mode), kind))

    image = images.read(path)

    assert image.pixels.shape == (20, 40, 3)


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    image = images.read(encode(two_halves().convert("CMYK"), "JPEG", quality=95))

    assert image.pixels[10, 5, 0] > 150 > image.pixels[10, 5, 2]


def test_16_bit_grey_is_scaled_by_its_own_range() -> None:
    values = np.array([[1000, 2000], [3000, 3000]], dtype=np.uint16)

    image = images.read(encode(PillowImage.fromarray(values)))

    assert image.pixels[:, :, 0].tolist() == [[0, 127], [255, 255]]


def test_a_flat_16_bit_image_is_black() -> None:
    image = images.read(encode(PillowImage.fromarray(np.full((2, 2), 700, dtype=np.uint16))))

    assert not image.pixels.any()


def test_transparency_is_laid_on_white() -> None:
    image = images.read(encode(PillowImage.new("RGBA", (2, 2), (255, 0, 0, 0))))

    assert (image.pixels == 255).all()


def test_a_transparent_palette_is_laid_on_white() -> None:
    picture = PillowImage.new("P", (2, 2), 0)
    picture.putpalette([0, 0, 0] * 256)

    image = images.read(encode(picture, transparency=0))

    assert (image.pixels == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_pixels_and_sizes(orientation: int) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation

    image = images.read(encode(two_halves(), "JPEG", exif=exif, quality=95))

    is_on_its_side = orientation in (5, 6, 7, 8)
    assert (image.width_px, image.height_px) == ((20, 40) if is_on_its_side else (40, 20))
    assert image.pixels.shape[:2] == (image.height_px, image.width_px)
    is_red_first = {1: True, 2: False, 3: False, 4: True, 5: True, 6: True, 7: False, 8: False}[orientation]
    assert bool(image.pixels[2, 2, 0] > 128) is is_red_first


def test_a_one_pixel_image_is_read_and_resized() -> None:
    image = images.read(encode(PillowImage.new("L", (1, 1), 77)))

    assert image.pixels.tolist() == [[[77, 77, 77]]]
    assert (images.resize(image.pixels, width_px=8, height_px=8) == 77).all()


def test_a_reduced_jpeg_keeps_the_size_of_the_original() -> None:
    image = images.read(encode(two_halves(800, 600), "JPEG"), min_side_px=100)

    assert (image.width_px, image.height_px) == (800, 600)
    assert 100 <= min(image.pixels.shape[:2]) < 600


@pytest.mark.parametrize("source", [b"", b"no image", encode(two_halves())[:60], encode(two_halves(), "JPEG")[:300]])
def test_bytes_that_are_no_whole_image_are_refused(source: bytes) -> None:
    with pytest.raises(BadImage, match="not an image"):
        images.read(source)


def test_a_missing_file_is_a_bad_image(tmp_path: Path) -> None:
    with pytest.raises(BadImage):
        images.read(tmp_path / "absent.png")


def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    bomb = encode(PillowImage.new("1", (40_000, 10_000)))

    with pytest.raises(BadImage, match="pixels"):
        images.read(bomb)


def test_a_part_of_an_image_is_read_in_its_own_size() -> None:
    left_half = Box("", 0.25, 0.5, 0.5, 1.0)

    part = images.read_part(encode(two_halves(800, 600)), left_half)
    whole = images.read(encode(two_halves(800, 600)))

    assert (part.width_px, part.height_px) == (400, 600)
    assert np.array_equal(part.pixels, whole.pixels[:, :400])


def test_a_reduced_part_keeps_the_shorter_side_that_was_asked_for() -> None:
    part = images.read_part(encode(two_halves(1600, 1200), "JPEG"), Box("", 0.5, 0.5, 0.25, 0.25), min_side_px=64)

    assert (part.width_px, part.height_px) == (400, 300)
    assert 64 <= min(part.pixels.shape[:2]) < 300


@pytest.mark.parametrize(
    "part", [Box("", 1.5, 0.5, 0.1, 0.1), Box("", 0.5, 0.5, 0.0, 0.0), Box("", 0.0, 0.0, 4.0, 4.0)]
)
def test_a_part_has_at_least_one_pixel_wherever_it_lies(part: Box) -> None:
    assert min(images.read_part(encode(two_halves(80, 60)), part).pixels.shape) >= 1


class TestAlpha:
    """Masks as pictures: black and opaque inside, transparent elsewhere."""

    def test_what_is_written_is_read(self) -> None:
        inside = np.random.default_rng(0).random((13, 21)) < 0.5

        assert np.array_equal(images.read_alpha(images.write_alpha_png(inside)), inside)

    def test_a_picture_without_transparency_is_no_mask(self) -> None:
        written = io.BytesIO()
        PillowImage.new("RGB", (2, 2)).save(written, "PNG")

        for content in (written.getvalue(), b"no picture"):
            with pytest.raises(BadImage):
                images.read_alpha(content)


@pytest.mark.parametrize(("kind", "mime_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_a_file_is_examined_by_what_it_holds(kind: str, mime_type: str) -> None:
    found = images.examine(io.BytesIO(encode(two_halves(), kind)))

    assert found == images.FileFacts(mime_type, 40, 20)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_file_does_not_pass_examination(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    whole = encode(PillowImage.fromarray(noise), kind)

    with pytest.raises(BadImage):
        images.examine(io.BytesIO(whole[: len(whole) // 2]))


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<svg/>", encode(two_halves(), "BMP")])
def test_other_kinds_are_told_apart_from_broken_files(content: bytes) -> None:
    with pytest.raises(images.UnknownKind):
        images.examine(io.BytesIO(content))


def test_examination_knows_how_many_pixels_are_too_many() -> None:
    file = encode(two_halves(40, 20))

    images.examine(io.BytesIO(file), max_pixels=800)
    with pytest.raises(BadImage, match="40×20"):
        images.examine(io.BytesIO(file), max_pixels=799)


def test_a_thumbnail_is_upright_and_never_larger_than_the_image(tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    path.write_bytes(encode(two_halves(400, 200), "JPEG", exif=exif))

    sizes = [images.read(images.thumbnail(path, max_side_px=side_px)).pixels.shape[:2] for side_px in (100, 1000)]

    assert sizes == [(100, 50), (400, 200)]
