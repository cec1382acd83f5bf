"""Image files to upload."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
"""A file that is only moved, never decoded."""


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(seed: int, *, width_px: int = 40, height_px: int = 30, kind: str = "PNG", **options: Any) -> bytes:
    """Return a file that no other seed has."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    return encode(Image.fromarray(pixels), kind, **options)


def turned(width_px: int, height_px: int) -> bytes:
    """Return a JPEG of this upright size whose pixels lie on their side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(Image.new("RGB", (height_px, width_px), "red"), "JPEG", exif=exif)


def form(*files: bytes | tuple[str, bytes], **fields: str) -> dict[str, Any]:
    """Return what uploads files, for `Agent.ask`."""
    named = [each if isinstance(each, tuple) else (f"{number}.png", each) for number, each in enumerate(files)]
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts += [(f'name="files"; filename="{name}"', content) for name, content in named]
    body = b"".join(
        f"--limit\r\nContent-Disposition: form-data; {said}\r\n\r\n".encode() + content + b"\r\n"
        for said, content in parts
    )
    return {"data": body + b"--limit--\r\n", "content_type": "multipart/form-data; boundary=limit"}
