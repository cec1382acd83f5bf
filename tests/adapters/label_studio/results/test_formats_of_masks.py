"""Tests of the masks of brushes and bitmasks; the converter of Label Studio's SDK is the second opinion."""

from __future__ import annotations

import io
import math
from base64 import b64decode, b64encode
from typing import Any

import numpy as np
import pytest
from label_studio_results import binding, encode, item, tool, values, view
from label_studio_sdk.converter import brush as sdk
from PIL import Image

from adapters.label_studio.results import Answer, decode
from models.regions import Mask

BRUSHES, BITMASKS = view(tool("BrushLabels")), view(tool("BitmaskLabels"))
STREAM = [0, 0, 0, 16, 57, 27, 252, 96, 19, 255, 198, 0]
"""Two rows of two pixels, of which the two in the corners top right and bottom left are inside."""


def circle(width_px: int, height_px: int, radius_px: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    rows, columns = np.ogrid[:height_px, :width_px]
    return (columns - width_px / 2) ** 2 + (rows - height_px / 2) ** 2 < radius_px**2


class TestBrush:
    def test_a_mask_is_bytes_of_the_size_of_the_image(self):
        """C-090: length = w · h · 4."""
        prediction = encode(
            BRUSHES, [Mask.from_array("Cat", circle(192, 108, 40), score=0.5)], width_px=192, height_px=108
        )

        (value,) = values(prediction)
        assert (value["format"], value["brushlabels"]) == ("rle", ["Cat"])
        assert sdk.decode_rle(value["rle"]).size == 192 * 108 * 4

    def test_each_label_is_an_item_of_its_own(self):
        inside = circle(192, 108, 40)
        masks = [Mask.from_array("Cat", inside, score=0.5), Mask.from_array("Dog", ~inside, score=0.75)]

        prediction = encode(BRUSHES, masks, width_px=192, height_px=108)

        assert [value["brushlabels"] for value in values(prediction)] == [["d"], ["Cat"]]

    def test_a_mask_of_another_size_is_scaled_by_its_nearest_pixels(self):
        small = Mask.from_array("Cat", np.array([[0, 1], [0, 0]]))

        (value,) = values(encode(BRUSHES, [small], width_px=6, height_px=4))

        alpha = sdk.decode_rle(value["rle"]).reshape(4, 6, 4)[..., 3] > 0
        assert alpha.tolist() == [[False] * 3 + [True] * 3] * 2 + [[False] * 6] * 2

    def test_an_empty_mask_and_one_with_wrong_runs_are_dropped(self):
        masks = [Mask("Cat", 2, 2, (4,)), Mask("Cat", 2, 2, ()), Mask("Cat", 2, 2, (1, 9))]

        assert encode(BRUSHES, masks, width_px=2, height_px=2).num_dropped == 3

    @pytest.mark.parametrize("xml", [BRUSHES, BITMASKS])
    def test_what_was_encoded_is_decoded(self, xml: str):
        mask = Mask.from_array("Cat", circle(40, 30, 9))

        assert decode(list(encode(xml, [mask], width_px=40, height_px=30).result), binding(xml)) == Answer((mask,))

    @pytest.mark.parametrize("xml", [BRUSHES, BITMASKS])
    def test_the_split_form_and_the_nameless_form_have_a_value_of_several_keys(self, xml: str):
        """The editor takes a value with one key for a classification and draws nothing."""
        tag = "Brush" if xml == BRUSHES else "Bitmask"
        mask = Mask("Cat", 2, 2, (0, 4))

        for config in (view(tool(tag, labels="")), view(tool(tag, labels=""), tool("Labels", "kind"))):
            for value in values(encode(config, [mask], width_px=2, height_px=2)):
                assert len(value) >= 2

    @pytest.mark.parametrize(
        ("value", "size"),
        [
            ({"rle": STREAM}, (2, 3)),
            ({"rle": STREAM}, (0, 0)),
            ({"rle": STREAM}, (10**6, 10**6)),
            ({"rle": [0, 0, 0, 4, 57, 27, 252, 96, 0]}, (1, 1)),
            ({"rle": STREAM, "format": "coco"}, (2, 2)),
            ({"rle": "x"}, (2, 2)),
            ({"rle": []}, (2, 2)),
            ({"rle": [math.nan] * 9}, (2, 2)),
            ({}, (2, 2)),
        ],
    )
    def test_masks_that_make_no_sense_are_ignored(self, value: dict[str, Any], size: tuple[int, int]):
        """Among them bytes for another size, and a mask with nothing inside."""
        written = item(
            BRUSHES,
            {"format": "rle", "brushlabels": ["Cat"], **value},
            original_width=size[0],
            original_height=size[1],
        )

        assert decode([written], binding(BRUSHES)) == Answer(None, 1)


class TestBitmask:
    def url(self, pixels: Image.Image) -> str:
        written = io.BytesIO()
        pixels.save(written, "PNG")
        return "data:image/png;base64," + b64encode(written.getvalue()).decode()

    def test_a_mask_is_a_png_of_natural_size_black_and_opaque_inside(self):
        """C-092."""
        inside = circle(192, 108, 40)

        (value,) = values(encode(BITMASKS, [Mask.from_array("Cat", inside)], width_px=192, height_px=108))

        head, content = value["imageDataURL"].split(",")
        pixels = np.asarray(Image.open(io.BytesIO(b64decode(content))).convert("RGBA"))
        assert head == "data:image/png;base64"
        assert np.array_equal(pixels[..., 3], inside * 255)
        assert not pixels[..., :3].any()

    def test_a_png_of_the_editor_is_read_by_its_alpha(self):
        pixels = np.zeros((2, 3, 4), np.uint8)
        pixels[1, 1:] = (9, 9, 9, 200)
        value = {"imageDataURL": self.url(Image.fromarray(pixels)), "bitmasklabels": ["Cat"]}

        answer = decode([item(BITMASKS, value, original_width=3, original_height=2)], binding(BITMASKS))

        assert answer == Answer((Mask("Cat", 3, 2, (4, 2)),))

    @pytest.mark.parametrize("mode", ["L", "RGB", "size", "text", "base64", "none", "empty"])
    def test_pngs_that_make_no_sense_are_ignored(self, mode: str):
        urls = {
            "L": self.url(Image.new("L", (2, 2), 255)),
            "RGB": self.url(Image.new("RGB", (2, 2))),
            "size": self.url(Image.new("RGBA", (3, 3), (0, 0, 0, 255))),
            "text": "data:image/png;base64,aGVsbG8=",
            "base64": "data:image/png;base64,***",
            "none": None,
            "empty": self.url(Image.new("RGBA", (2, 2))),
        }
        written = item(
            BITMASKS, {"imageDataURL": urls[mode], "bitmasklabels": ["Cat"]}, original_width=2, original_height=2
        )

        assert decode([written], binding(BITMASKS)) == Answer(None, 1)
