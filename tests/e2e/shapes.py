"""Pictures with a circle and a square, and what an annotator says about them with every kind of tool."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from label_studio_sdk.converter.brush import mask2rle
from PIL import Image, ImageDraw

WIDTH_PX, HEIGHT_PX = 160, 120
COLOURS = {"red": (200, 40, 40), "blue": (40, 60, 200)}

CONFIG = """<View><Image name="photo" value="$image" zoom="true"/>
  <RectangleLabels name="box" toName="photo" smart="true">
    <Label value="circle"/><Label value="square"/></RectangleLabels>
  <Choices name="hue" toName="photo" perRegion="true"><Choice value="red"/><Choice value="blue"/></Choices>
  <EllipseLabels name="oval" toName="photo"><Label value="circle"/></EllipseLabels>
  <PolygonLabels name="outline" toName="photo"><Label value="circle"/><Label value="square"/></PolygonLabels>
  <BrushLabels name="paint" toName="photo"><Label value="circle"/><Label value="square"/></BrushLabels>
  <BitmaskLabels name="bits" toName="photo"><Label value="square"/></BitmaskLabels>
  <KeyPointLabels name="point" toName="photo" smart="true">
    <Label value="circle"/><Label value="square"/></KeyPointLabels>
  <Choices name="light" toName="photo"><Choice value="bright"/><Choice value="dark"/></Choices>
  <Taxonomy name="size" toName="photo" maxUsages="1">
    <Choice value="shape"><Choice value="big"/><Choice value="small"/></Choice></Taxonomy>
  <Rating name="stars" toName="photo" maxRating="3"/>
  <Number name="level" toName="photo" min="0" max="255"/>
  <TextArea name="remark" toName="photo"/>
</View>"""


@dataclass(frozen=True)
class Shapes:
    """A picture with one circle and one square on a noisy ground."""

    name: str
    level: int
    circle_px: tuple[float, float, float]
    """Centre and radius."""
    square_px: tuple[float, float, float]
    """Centre and half the side."""
    circle_colour: str
    square_colour: str

    @property
    def image(self) -> Image.Image:
        noise = np.random.default_rng(self.level).normal(0, 6, (HEIGHT_PX, WIDTH_PX, 1))
        ground = np.clip(self.level + noise, 0, 255).astype(np.uint8).repeat(3, 2)
        image = Image.fromarray(ground)
        draw = ImageDraw.Draw(image)
        draw.ellipse(_around(self.circle_px), fill=COLOURS[self.circle_colour])
        draw.rectangle(_around(self.square_px), fill=COLOURS[self.square_colour])
        return image

    @property
    def content(self) -> bytes:
        file = io.BytesIO()
        self.image.save(file, "PNG")
        return file.getvalue()

    def mask(self, label: str) -> np.ndarray[Any, Any]:
        mask = Image.new("L", (WIDTH_PX, HEIGHT_PX))
        draw = ImageDraw.Draw(mask)
        if label == "circle":
            draw.ellipse(_around(self.circle_px), fill=255)
        else:
            draw.rectangle(_around(self.square_px), fill=255)
        return np.asarray(mask)

    @property
    def is_big(self) -> bool:
        return self.circle_px[2] > 20

    @property
    def annotation(self) -> list[dict[str, Any]]:
        """What a person says with every tool, as Label Studio's editor writes it."""
        (cx, cy, radius), (sx, sy, half) = self.circle_px, self.square_px
        circle_box = _percent(cx - radius, cy - radius, 2 * radius, 2 * radius)
        square_box = _percent(sx - half, sy - half, 2 * half, 2 * half)
        ring = [(cx + radius * math.cos(a), cy + radius * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 16, False)]
        corners = [(sx - half, sy - half), (sx + half, sy - half), (sx + half, sy + half), (sx - half, sy + half)]
        return [
            _item("b1", "box", "rectanglelabels", {**circle_box, "rotation": 0, "rectanglelabels": ["circle"]}),
            _item("b1", "hue", "choices", {**circle_box, "rotation": 0, "choices": [self.circle_colour]}),
            _item("b2", "box", "rectanglelabels", {**square_box, "rotation": 0, "rectanglelabels": ["square"]}),
            _item("b2", "hue", "choices", {**square_box, "rotation": 0, "choices": [self.square_colour]}),
            _item(
                "e1",
                "oval",
                "ellipselabels",
                {
                    "x": 100 * cx / WIDTH_PX,
                    "y": 100 * cy / HEIGHT_PX,
                    "radiusX": 100 * radius / WIDTH_PX,
                    "radiusY": 100 * radius / HEIGHT_PX,
                    "rotation": 0,
                    "ellipselabels": ["circle"],
                },
            ),
            _item("p1", "outline", "polygonlabels", _polygon(ring, "circle")),
            _item("p2", "outline", "polygonlabels", _polygon(corners, "square")),
            _item("m1", "paint", "brushlabels", _brush(self.mask("circle"), "circle")),
            _item("m2", "paint", "brushlabels", _brush(self.mask("square"), "square")),
            _item("m3", "bits", "bitmasklabels", _bitmask(self.mask("square"), "square")),
            _item("k1", "point", "keypointlabels", _key_point(cx, cy, "circle")),
            _item("k2", "point", "keypointlabels", _key_point(sx, sy, "square")),
            _item("c1", "light", "choices", {"choices": ["bright" if self.level > 128 else "dark"]}),
            _item("t1", "size", "taxonomy", {"taxonomy": [["shape", "big" if self.is_big else "small"]]}),
            _item("r1", "stars", "rating", {"rating": 3 if self.is_big else 1}),
            _item("n1", "level", "number", {"number": self.level}),
        ]


def shapes(number: int) -> list[Shapes]:
    """Return pictures; the same number always gives the same ones."""
    random = np.random.default_rng(7)
    made = []
    for index in range(number):
        radius, half = (float(random.integers(*r)) for r in (((24, 29) if index % 2 else (12, 17)), (12, 20)))
        left, right = (float(random.integers(32, 46)), float(random.integers(112, 130)))
        circle_x, square_x = (left, right) if random.random() < 0.5 else (right, left)
        rows = [float(row) for row in random.integers(40, 80, 2)]
        level = int(random.integers(170, 240) if (index // 2) % 2 else random.integers(10, 90))
        colours = [("red", "blue")[bit] for bit in random.integers(0, 2, 2)]
        circle, square = (circle_x, rows[0], radius), (square_x, rows[1], half)
        made.append(Shapes(f"shapes-{index:02d}.png", level, circle, square, *colours))
    return made


def _around(centre_px: tuple[float, float, float]) -> tuple[float, float, float, float]:
    x, y, extent = centre_px
    return x - extent, y - extent, x + extent, y + extent


def _percent(x: float, y: float, width: float, height: float) -> dict[str, float]:
    return {
        "x": 100 * x / WIDTH_PX,
        "y": 100 * y / HEIGHT_PX,
        "width": 100 * width / WIDTH_PX,
        "height": 100 * height / HEIGHT_PX,
    }


def _polygon(points_px: list[tuple[float, float]], label: str) -> dict[str, Any]:
    points = [[100 * x / WIDTH_PX, 100 * y / HEIGHT_PX] for x, y in points_px]
    return {"points": points, "closed": True, "polygonlabels": [label]}


def _brush(mask: np.ndarray[Any, Any], label: str) -> dict[str, Any]:
    return {"format": "rle", "rle": mask2rle(mask), "brushlabels": [label]}


def _bitmask(mask: np.ndarray[Any, Any], label: str) -> dict[str, Any]:
    rgba = np.zeros((*mask.shape, 4), dtype=np.uint8)
    rgba[..., 3] = mask
    file = io.BytesIO()
    Image.fromarray(rgba).save(file, "PNG")
    return {
        "imageDataURL": f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}",
        "bitmasklabels": [label],
    }


def _key_point(x: float, y: float, label: str) -> dict[str, Any]:
    return {"x": 100 * x / WIDTH_PX, "y": 100 * y / HEIGHT_PX, "width": 0.5, "keypointlabels": [label]}


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
