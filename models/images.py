"""Bytes of an image file → an upright RGB array; the only place where images are decoded."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageOps

from models.regions import Box

MAX_PIXELS = 120_000_000
"""Images with more pixels are refused: a decoded one would take more than 360 MB."""


_BEGINNINGS = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
_FORMATS = ("JPEG", "PNG", "WEBP")


class BadImage(ValueError):
    """The bytes are not an image that can be decoded; the message says why."""


class UnknownKind(BadImage):
    """The bytes are none of the kinds of images that are taken in."""


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded image, upright (EXIF orientation applied).

    Attributes:
        pixels: uint8, shape (H, W, 3), RGB. May be a reduced copy, see `read`.
        width_px: Width of the original, as a viewer shows it.
        height_px: Height of the original, as a viewer shows it.
    """

    pixels: npt.NDArray[np.uint8]
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What an image file is: its media type by content, and its size upright, as a viewer shows it."""

    mime_type: str
    width_px: int
    height_px: int


def examine(source: BinaryIO | Path, *, max_pixels: int = MAX_PIXELS) -> FileFacts:
    """Find out what a JPEG, PNG or WebP file is, and make sure that its first frame can be decoded to the end.

    Args:
        source: The file, from its beginning.
        max_pixels: How many are taken in.

    Raises:
        UnknownKind: It is something else, whatever it is called.
        BadImage: It is broken, or too large.
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            return examine(file, max_pixels=max_pixels)
    mime_type = _find_mime_type(source.read(16))
    source.seek(0)
    with _refusing_bad(), PillowImage.open(source, formats=_FORMATS) as opened:
        width_px, height_px = opened.size
        if width_px * height_px > max_pixels:
            raise BadImage(f"the image has {width_px}×{height_px} pixels; at most {max_pixels:,} are taken")
        is_lying = _is_lying(opened)
        opened.draft(None, (1, 1))  # all of a JPEG is read, an eighth of it is drawn
        opened.load()
    return FileFacts(mime_type, *((height_px, width_px) if is_lying else (width_px, height_px)))


def _find_mime_type(beginning: bytes) -> str:
    for known, mime_type in _BEGINNINGS.items():
        if beginning.startswith(known):
            return mime_type
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "image/webp"
    raise UnknownKind("the file is no JPEG, PNG or WebP image")


def thumbnail(source: Path, *, max_side_px: int) -> bytes:
    """Return a JPEG of an image, upright and on white, that is not longer than this on any side.

    Raises:
        BadImage: See `read`.
    """
    image = read(source, min_side_px=max_side_px)
    scale = min(1.0, max_side_px / max(image.width_px, image.height_px))
    width_px, height_px = (max(1, round(side_px * scale)) for side_px in (image.width_px, image.height_px))
    return to_jpeg(resize(image.pixels, width_px=width_px, height_px=height_px))


def to_jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return an RGB array of shape (H, W, 3) as a JPEG to look at."""
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def read(source: bytes | Path, *, min_side_px: int | None = None) -> Image:
    """Decode an image file: JPEG, PNG, WebP, GIF (first frame), BMP, TIFF; grey, palette, CMYK, 16 bit, alpha.

    Transparency is laid on white; 16-bit grey is scaled to 8 bits by its own range.

    Args:
        source: The file's bytes, or its path.
        min_side_px: Where given, the result may be smaller than the original as long as its shorter side keeps at
            least this length: decoding a JPEG is then up to three times as fast. `width_px` and `height_px` are
            those of the original in any case.

    Raises:
        BadImage: The bytes are no image, truncated, or have more than `MAX_PIXELS` pixels.
    """
    with _refusing_bad(), PillowImage.open(io.BytesIO(source) if isinstance(source, bytes) else source) as opened:
        return _decode(opened, min_side_px)


@contextmanager
def _refusing_bad() -> Iterator[None]:
    """Word what Pillow says of files that it cannot read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BadImage:
        raise
    except PillowImage.DecompressionBombError as error:
        raise BadImage(f"the image has more than {MAX_PIXELS:,} pixels") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, ArithmeticError, TypeError) as error:
        raise BadImage(f"the file is not an image that can be read ({type(error).__name__})") from error


def read_part(source: bytes | Path, part: Box | None, *, min_side_px: int | None = None) -> Image:
    """Decode the upright rectangle around a part of an image, or all of it; at least one pixel.

    Args:
        source: See `read`.
        part: What to keep.
        min_side_px: Of the part, see `read`; `width_px` and `height_px` are those of the part in the original.

    Raises:
        BadImage: See `read`.
    """
    if part is None:
        return read(source, min_side_px=min_side_px)
    left, top, right, bottom = (min(1.0, max(0.0, edge)) for edge in part.bounds)
    share = max(1e-3, min(right - left, bottom - top))
    whole = read(source, min_side_px=None if min_side_px is None else round(min_side_px / share))
    height, width = whole.pixels.shape[:2]
    row, column = min(int(top * height), height - 1), min(int(left * width), width - 1)
    kept = whole.pixels[row : max(row + 1, round(bottom * height)), column : max(column + 1, round(right * width))]
    width_px, height_px = round((right - left) * whole.width_px), round((bottom - top) * whole.height_px)
    return Image(np.ascontiguousarray(kept), max(1, width_px), max(1, height_px))


def _decode(opened: PillowImage.Image, min_side_px: int | None) -> Image:
    width_px, height_px = opened.size
    if width_px * height_px > MAX_PIXELS:
        raise BadImage(f"the image has {width_px}×{height_px} pixels; at most {MAX_PIXELS:,} are read")
    if _is_lying(opened):
        width_px, height_px = height_px, width_px
    if min_side_px is not None:
        opened.draft("RGB", (min_side_px, min_side_px))
    upright = ImageOps.exif_transpose(opened)
    return Image(np.asarray(_to_rgb(upright), dtype=np.uint8), width_px, height_px)


def _is_lying(opened: PillowImage.Image) -> bool:
    """Say whether its EXIF orientation exchanges width and height."""
    return opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)


def _to_rgb(image: PillowImage.Image) -> PillowImage.Image:
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        values = np.asarray(image, dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
        return PillowImage.fromarray(scaled.astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        white = PillowImage.new("RGBA", with_alpha.size, (255, 255, 255, 255))
        return PillowImage.alpha_composite(white, with_alpha).convert("RGB")
    return image.convert("RGB")


def resize(pixels: npt.NDArray[np.uint8], *, width_px: int, height_px: int) -> npt.NDArray[np.uint8]:
    """Resize an RGB array of shape (H, W, 3) with an antialiased bilinear filter; training and serving share it."""
    resized = PillowImage.fromarray(pixels).resize((width_px, height_px), PillowImage.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)


def write_alpha_png(inside_HW: npt.NDArray[np.bool_]) -> bytes:
    """Return a PNG that is black and opaque where an array of shape (H, W) is true, and transparent elsewhere."""
    height, width = inside_HW.shape
    rows_HW = np.zeros((height, 1 + (width + 7) // 8), dtype=np.uint8)  # each row begins with its filter: none
    rows_HW[:, 1:] = np.packbits(inside_HW, axis=1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)),
        (b"PLTE", bytes(6)),  # two colours, both black
        (b"tRNS", b"\x00\xff"),  # the first is transparent
        (b"IDAT", zlib.compress(rows_HW.tobytes(), 1)),
        (b"IEND", b""),
    )
    # NOTE: Pillow takes four times as long for the mask of a photo, while an annotator waits for the answer to a click.
    written = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def read_alpha(source: bytes) -> npt.NDArray[np.bool_]:
    """Return where an image with transparency is not transparent, as an array of shape (H, W).

    Raises:
        BadImage: The bytes are no image, one without transparency, or one of more than `MAX_PIXELS` pixels.
    """
    try:
        with PillowImage.open(io.BytesIO(source)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise BadImage(f"the image has more than {MAX_PIXELS:,} pixels")
            if not opened.has_transparency_data:
                raise BadImage("the image has no transparency")
            return np.asarray(opened.convert("RGBA"))[..., 3] > 0
    except BadImage:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, PillowImage.DecompressionBombError) as error:
        raise BadImage(f"the file is not an image that can be read ({type(error).__name__})") from error
