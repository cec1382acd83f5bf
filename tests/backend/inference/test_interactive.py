from __future__ import annotations

import hashlib
import io
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from builders import counted
from PIL import Image as PillowImage

from backend.errors import Invalid
from backend.inference.interactive import Interactive
from backend.services import Services
from backend.settings import Settings
from models.clicks import Encoded, Prompts, Segment
from models.images import Image

CLICK = Prompts(inside=((0.5, 0.5),))


@dataclass
class Colour:
    """The mean colour of an image, with a size that a test chooses."""

    rgb: tuple[int, ...]
    num_bytes: int


@dataclass
class ColourSegmenter:
    """Finds a score that tells which image it looked at; counts what it is asked."""

    key: str = "colours"
    num_bytes: int = 0
    image_bytes: int = 100
    encoded: list[tuple[int, ...]] = field(default_factory=list)
    pause: threading.Event | None = None

    def encode(self, image: Image) -> Colour:
        if self.pause is not None:
            assert self.pause.wait(5)
        rgb = tuple(int(value) for value in image.pixels.reshape(-1, 3).mean(0))
        self.encoded.append(rgb)
        return Colour(rgb, self.image_bytes)

    def segment(self, encoded: Encoded, prompts: Prompts) -> Segment | None:
        assert isinstance(encoded, Colour)
        return Segment(np.ones((2, 2), bool), 0, 0, 1, 1, encoded.rgb[0] / 255)


@pytest.fixture
def interactive(services: Services) -> Interactive:
    return services.interactive


def photo(shade: int, *, size: tuple[int, int] = (32, 24), orientation: int = 1) -> tuple[str, bytes]:
    file = io.BytesIO()
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    PillowImage.new("RGB", size, (shade, 0, 0)).save(file, "PNG", exif=exif)
    return hashlib.sha256(file.getvalue()).hexdigest(), file.getvalue()


def test_the_second_click_neither_decodes_nor_encodes(interactive: Interactive) -> None:
    segmenter, before = ColourSegmenter(), counted("tandem_click_encodings_total")

    for _ in range(3):
        interactive.segment(segmenter, *photo(200), CLICK)

    assert segmenter.encoded == [(200, 0, 0)]
    assert counted("tandem_click_encodings_total") == before + 1


def test_the_second_click_does_not_read_the_file(interactive: Interactive, tmp_path: Path) -> None:
    media, content = photo(200)
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    interactive.segment(ColourSegmenter(), media, path, CLICK)
    path.unlink()

    assert interactive.segment(ColourSegmenter(), media, path, CLICK).segment is not None


def test_annotators_see_their_own_image(interactive: Interactive) -> None:
    segmenter = ColourSegmenter()

    found = [interactive.segment(segmenter, *photo(shade), CLICK).segment for shade in (51, 204, 51)]

    assert [segment and segment.score for segment in found] == [0.2, 0.8, 0.2]


def test_two_clicks_at_once_encode_once(interactive: Interactive) -> None:
    pause = threading.Event()
    segmenter = ColourSegmenter(pause=pause)
    threads = [threading.Thread(target=interactive.segment, args=(segmenter, *photo(9), CLICK)) for _ in range(4)]
    for thread in threads:
        thread.start()
    pause.set()
    for thread in threads:
        thread.join()

    assert len(segmenter.encoded) == 1


def test_what_one_segmenter_encoded_is_not_given_to_another(interactive: Interactive) -> None:
    first, second = ColourSegmenter("first"), ColourSegmenter("second")

    for segmenter in (first, second):
        interactive.segment(segmenter, *photo(9), CLICK)

    assert (len(first.encoded), len(second.encoded)) == (1, 1)


def test_images_go_when_they_take_too_much_memory(services: Services) -> None:
    interactive = Interactive(Settings(home=services.settings.home, click_cache_bytes=250))
    segmenter = ColourSegmenter(image_bytes=100)

    for shade in (1, 2, 1, 3, 1, 3, 2):
        interactive.segment(segmenter, *photo(shade), CLICK)

    assert [rgb[0] for rgb in segmenter.encoded] == [1, 2, 3, 2]


def test_the_size_is_that_which_a_viewer_shows(interactive: Interactive) -> None:
    """C-036: EXIF orientation 6 exchanges width and height."""
    found = interactive.segment(ColourSegmenter(), *photo(9, size=(32, 24), orientation=6), CLICK)

    assert (found.width_px, found.height_px) == (24, 32)


def test_a_file_that_is_no_image_says_so(interactive: Interactive) -> None:
    segmenter = ColourSegmenter()

    with pytest.raises(Invalid, match="not an image"):
        interactive.segment(segmenter, "0" * 64, b"nonsense", CLICK)

    assert segmenter.encoded == []
