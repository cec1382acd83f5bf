"""What clicks are learnt from: everything with an outline that was drawn on an image."""

from __future__ import annotations

from typing import Any

import pytest
from builders import PROJECT, data_url, image_bytes
from doubles import InlineQueue
from flask.testing import FlaskClient

from adapters.label_studio.access import KIND
from adapters.label_studio.click_sets import ClickSet, click_sets
from adapters.label_studio.label_config import parse
from backend.services import Services
from backend.settings import Settings
from models.regions import Box, Mask, Polygon

CONFIG = """<View><Image name="photo" value="$img"/><Image name="other" value="$second"/>
<PolygonLabels name="outline" toName="photo"><Label value="Nut"/></PolygonLabels>
<BrushLabels name="brush" toName="photo"><Label value="Rust"/></BrushLabels>
<RectangleLabels name="box" toName="photo"><Label value="Bolt"/></RectangleLabels>
<RectangleLabels name="far" toName="other"><Label value="Bolt"/></RectangleLabels>
</View>"""
TRIANGLE = ((0.25, 0.25), (0.75, 0.25), (0.5, 0.75))


def item(name: str, tag: str, value: dict[str, Any]) -> dict[str, Any]:
    size = {"original_width": 2, "original_height": 2}
    return {"id": name, "from_name": name, "to_name": "photo", "type": tag, "value": value, **size}


POLYGON = item(
    "outline",
    "polygonlabels",
    {"points": [[100 * x, 100 * y] for x, y in TRIANGLE], "closed": True, "polygonlabels": ["Nut"]},
)
BRUSH = item(
    "brush",
    "brushlabels",
    {"format": "rle", "rle": [0, 0, 0, 16, 57, 27, 252, 96, 19, 255, 198, 0], "brushlabels": ["Rust"]},
)
BOX = item("box", "rectanglelabels", {"x": 0, "y": 0, "width": 50, "height": 50, "rectanglelabels": ["Bolt"]})


def test_each_image_with_outlines_has_a_set() -> None:
    assert click_sets(parse(CONFIG)) == [ClickSet("clicks:photo", "img", frozenset({"outline", "brush"}))]


def test_a_control_that_has_the_name_of_a_set_keeps_it() -> None:
    assert click_sets(parse(CONFIG.replace('"outline"', '"clicks:photo"'))) == []


def test_a_set_holds_all_outlines_whatever_they_are_called() -> None:
    [clicks] = click_sets(parse(CONFIG))
    outline, mask, box = Polygon("Nut", TRIANGLE), Mask("Rust", 2, 2, (1, 2, 1)), Box("Bolt", 0.5, 0.5, 1, 1)

    assert clicks.merged({"outline": (outline,), "brush": (mask,), "box": (box,)}) == (mask, outline)


@pytest.mark.parametrize("answers", [{}, {"box": (Box("Bolt", 0.5, 0.5, 1, 1),)}])
def test_where_no_outline_was_asked_for_nothing_is_said(answers: dict[str, Any]) -> None:
    [clicks] = click_sets(parse(CONFIG))

    assert clicks.merged(answers) is None


def test_outlines_are_collected_for_clicks(
    client: FlaskClient,
    services: Services,
    queue: InlineQueue,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    task = {
        "id": 1,
        "data": {"img": data_url(image_bytes("red", size=(2, 2))), "second": data_url(image_bytes("green"))},
        "annotations": [{"id": 1, "result": [POLYGON, BRUSH, BOX]}],
    }
    body = {"annotations": [task], "project": PROJECT, "label_config": CONFIG}

    assert client.post("/train", json=body).status_code == 201
    services.training.advance()
    queue.run_all()

    mirror = services.projects.find(KIND, PROJECT)
    assert mirror is not None
    [clicks] = [row for row in mirror.label_sets if row.name == "clicks:photo"]
    [collected] = services.tasks.labelled_items(clicks)
    assert set(collected.regions) == {Polygon("Nut", TRIANGLE), Mask("Rust", 2, 2, (1, 2, 1))}
    assert {run.family for run in services.training.of_project(mirror.project.id)} >= {"click_segmentation"}
