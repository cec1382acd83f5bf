"""How what an annotator points at is found: an image is decoded and encoded once, whoever clicks on it, and kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from backend.errors import Invalid
from backend.inference.cache import ByteCache
from backend.metrics import CLICK_ENCODE_SECONDS, CLICK_ENCODINGS, CLICK_SECONDS, CLICKS
from backend.settings import Settings
from models.clicks import ClickSegmenter, Encoded, Prompts, Segment
from models.images import BadImage, read

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pointed:
    """What was pointed at.

    Attributes:
        segment: The thing; None where nothing was found.
        width_px: Of the image as a viewer shows it.
        height_px: Likewise.
    """

    segment: Segment | None
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An image as a segmenter wants it, and its size as a viewer shows it."""

    encoded: Encoded
    width_px: int
    height_px: int

    @property
    def num_bytes(self) -> int:
        return self.encoded.num_bytes


class Interactive:
    """Answers clicks, boxes and strokes in the threads that call it.

    Encoded images are kept by content and segmenter: annotators share them only where they look at the same file.
    """

    def __init__(self, settings: Settings) -> None:
        self._images: ByteCache[tuple[Hashable, str], _Prepared] = ByteCache(capacity_bytes=settings.click_cache_bytes)

    def segment(self, segmenter: ClickSegmenter, media: str, path: Path | bytes, prompts: Prompts) -> Pointed:
        """Return the thing that is pointed at in an image.

        Args:
            segmenter: Who looks.
            media: SHA-256 of the image file.
            path: The file, or its bytes; read the first time only.
            prompts: Not empty.

        Raises:
            Invalid: The image cannot be read.
        """
        image = self._images.get((segmenter.key, media), lambda: _encode(segmenter, media, path))
        started = time.perf_counter()
        try:
            segment = segmenter.segment(image.encoded, prompts)
        except Exception:
            CLICKS.labels("failed").inc()
            raise
        CLICK_SECONDS.observe(time.perf_counter() - started)
        CLICKS.labels("nothing" if segment is None else "found").inc()
        return Pointed(segment, image.width_px, image.height_px)


def _encode(segmenter: ClickSegmenter, media: str, path: Path | bytes) -> _Prepared:
    started = time.perf_counter()
    try:
        image = read(path)
    except BadImage as error:
        raise Invalid(str(error), code="image_invalid") from error
    prepared = _Prepared(segmenter.encode(image), image.width_px, image.height_px)
    seconds = time.perf_counter() - started
    CLICK_ENCODINGS.inc()
    CLICK_ENCODE_SECONDS.observe(seconds)
    log.info(
        "image encoded for clicks", extra={"media": media, "seconds": round(seconds, 3), "bytes": prepared.num_bytes}
    )
    return prepared
