"""Photos of nuts and dried fruit, and what annotators draw on them with boxes, outlines and brushes."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from e2e.pictures import DATA
from label_studio_sdk.converter.brush import mask2rle
from PIL import Image, ImageDraw

WIDTH_PX, HEIGHT_PX = 400, 300
_NAMES = ("date", "fig", "hazelnut")
_COLOURS = ("#e8590c", "#7048e8", "#0c8599")
_LABELS = "".join(
    f'<Label value="{name}" background="{colour}"/>' for name, colour in zip(_NAMES, _COLOURS, strict=True)
)
CONFIG = f"""<View>
  <Image name="photo" value="$image" maxWidth="640px"/>
  <View style="display: grid; grid-template-columns: 1fr 1fr">
    <RectangleLabels name="box" toName="photo" smart="true">{_LABELS}</RectangleLabels>
    <PolygonLabels name="outline" toName="photo">{_LABELS}</PolygonLabels>
    <BrushLabels name="paint" toName="photo">{_LABELS}</BrushLabels>
    <KeyPointLabels name="point" toName="photo" smart="true">{_LABELS}</KeyPointLabels>
  </View>
</View>"""
HOTKEYS = dict(zip(itertools.product(("box", "outline", "paint", "point"), _NAMES), "1234567890qw", strict=True))
"""Label Studio's, by control and label."""


@dataclass(frozen=True)
class Nut:
    """One of the things on a photo.

    Attributes:
        outline: Corners, shape (N, 2), as fractions of the photo.
    """

    label: str
    outline: np.ndarray[Any, Any]

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of its box, as fractions of the photo."""
        x, y = (self.outline.min(0) + self.outline.max(0)) / 2
        return float(x), float(y)

    @property
    def mask(self) -> np.ndarray[Any, Any]:
        """Where it is: booleans, shape (HEIGHT_PX, WIDTH_PX)."""
        mask = Image.new("L", (WIDTH_PX, HEIGHT_PX))
        corners = [(x * WIDTH_PX, y * HEIGHT_PX) for x, y in self.outline.tolist()]
        ImageDraw.Draw(mask).polygon(corners, fill=255)
        return np.asarray(mask) > 0


@dataclass(frozen=True)
class Photo:
    """An image file, and what is on it."""

    name: str
    content: bytes
    nuts: tuple[Nut, ...]

    def mask(self, label: str) -> np.ndarray[Any, Any]:
        """Return where anything of a label is: booleans, shape (HEIGHT_PX, WIDTH_PX)."""
        masks = [nut.mask for nut in self.nuts if nut.label == label]
        return np.any(masks, axis=0) if masks else np.zeros((HEIGHT_PX, WIDTH_PX), dtype=bool)

    @property
    def annotation(self) -> list[dict[str, Any]]:
        """A box and an outline for each thing, and a mask of each label, as Label Studio's editor writes them."""
        items = []
        for number, nut in enumerate(self.nuts):
            left, top = 100 * nut.outline.min(0)
            width, height = 100 * np.ptp(nut.outline, axis=0)
            box = {"x": left, "y": top, "width": width, "height": height, "rotation": 0, "rectanglelabels": [nut.label]}
            points = {"points": (100 * nut.outline).tolist(), "closed": True, "polygonlabels": [nut.label]}
            items += [
                _item(f"b{number}", "box", "rectanglelabels", box),
                _item(f"o{number}", "outline", "polygonlabels", points),
            ]
        for label in sorted({nut.label for nut in self.nuts}):
            rle = mask2rle(np.where(self.mask(label), 255, 0).astype(np.uint8))
            value = {"format": "rle", "rle": rle, "brushlabels": [label]}
            items.append(_item(f"p-{label}", "paint", "brushlabels", value))
        return items


def nuts() -> list[Photo]:
    """Return the photos of seg_nuts, made small; skip where they are not there."""
    folder = DATA / "seg_nuts"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing; TANDEM_TEST_DATA says where the data sets are")
    said = json.loads((folder / "annotations.json").read_text())
    names = {category["id"]: category["name"] for category in said["categories"]}
    photos = []
    for row in said["images"]:
        size = (row["width"], row["height"])
        things = [each for each in said["annotations"] if each["image_id"] == row["id"]]
        on_it = [
            Nut(names[each["category_id"]], np.reshape(each["segmentation"][0], (-1, 2)) / size) for each in things
        ]
        file = io.BytesIO()
        Image.open(folder / "images" / row["file_name"]).resize((WIDTH_PX, HEIGHT_PX)).save(file, "JPEG", quality=90)
        photos.append(Photo(f"nuts-{row['file_name']}", file.getvalue(), tuple(on_it)))
    return photos


def _item(item_id: str, control: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": item_id,
        "from_name": control,
        "to_name": "photo",
        "type": kind,
        "origin": "manual",
        "original_width": WIDTH_PX,
        "original_height": HEIGHT_PX,
        "image_rotation": 0,
        "value": value,
    }
