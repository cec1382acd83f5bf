"""Section A.6 of the contract: POST /predict with a context, answered by the segmenter that needs no weights."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import numpy as np
import pytest
from builders import CONFIG, PROJECT, counted, predict_body, task
from flask.testing import FlaskClient
from PIL import Image
from prompted_pictures import (
    CENTRE,
    HEIGHT,
    POINTS_TO_MASKS,
    RADIUS,
    WIDTH,
    ask,
    click,
    config,
    disc,
    drawn,
    iou,
    item,
    photo,
    rectangle,
    suggested,
)
from sam_files import write_sam

from adapters.label_studio import click_sets
from adapters.label_studio.access import KIND
from backend.services import Services
from backend.versions.registry import ModelVersion
from models.images import Image as DecodedImage
from models.regions import Mask

# What comes back.


@pytest.mark.parametrize("kind", ["brushlabels", "bitmasklabels", "polygonlabels"])
@pytest.mark.parametrize("prompt", [click, rectangle])
def test_a_prompt_finds_the_thing(client: FlaskClient, kind: str, prompt: Any) -> None:
    """C-044."""
    xml = config("keypointlabels", "rectanglelabels", kind)

    region = suggested(client, xml, prompt())

    assert (region["from_name"], region["to_name"], region["type"]) == (kind, "photo", kind)
    assert region["value"][kind] == ["Nut"]
    assert (region["original_width"], region["original_height"]) == (WIDTH, HEIGHT)
    assert 0 <= region["score"] <= 1
    assert iou(drawn(region, xml), disc()) > 0.9


def test_a_click_gives_a_box_where_there_are_only_boxes(client: FlaskClient) -> None:
    xml = config("keypointlabels", "rectanglelabels")

    value = suggested(client, xml, click())["value"]

    edges = [value["x"] / 100 * WIDTH, value["y"] / 100 * HEIGHT]
    edges += [edges[0] + value["width"] / 100 * WIDTH, edges[1] + value["height"] / 100 * HEIGHT]
    assert edges == pytest.approx([70, 50, 170, 150], abs=6)


def test_a_click_gives_an_ellipse_where_there_are_only_ellipses(client: FlaskClient) -> None:
    xml = config("keypointlabels", "ellipselabels")

    value = suggested(client, xml, click())["value"]

    assert (value["x"] / 100 * WIDTH, value["y"] / 100 * HEIGHT) == pytest.approx(CENTRE, abs=4)
    assert value["radiusX"] / 100 * WIDTH == pytest.approx(RADIUS, abs=4)
    assert value["radiusY"] / 100 * HEIGHT == pytest.approx(RADIUS, abs=4)


def test_the_finest_regions_of_the_config_are_given(client: FlaskClient) -> None:
    xml = config("rectanglelabels", "ellipselabels", "polygonlabels", "brushlabels", "keypointlabels")

    assert suggested(client, xml, click())["type"] == "brushlabels"


def test_a_control_on_another_image_is_not_answered(client: FlaskClient) -> None:
    xml = (
        '<View><Image name="photo" value="$img"/><Image name="other" value="$second"/>'
        '<KeyPointLabels name="keypointlabels" toName="photo"><Label value="Nut"/></KeyPointLabels>'
        '<BrushLabels name="mask" toName="other"><Label value="Nut"/></BrushLabels></View>'
    )

    found = ask(client, xml, {"result": [click()]})

    assert found["results"][0]["result"] == []
    assert "'photo'" in found["detail"]


def test_a_rough_box_becomes_a_tight_one_where_nothing_else_is_drawn(client: FlaskClient) -> None:
    value = suggested(client, config("rectanglelabels"), rectangle(margin=12))["value"]

    assert value["width"] / 100 * WIDTH == pytest.approx(2 * RADIUS, abs=6)


def test_a_stroke_becomes_the_whole_thing(client: FlaskClient) -> None:
    """C-051."""
    from adapters.label_studio.results import rle

    stroke = np.zeros((HEIGHT, WIDTH), bool)
    stroke[95:105, 90:150] = True
    value = {"format": "rle", "rle": rle.encode(Mask.from_array("", stroke).runs)}

    region = suggested(client, config("brushlabels"), item("brushlabels", value))

    assert iou(drawn(region, config("brushlabels")), disc()) > 0.85


def test_a_point_outside_takes_its_surroundings_away(client: FlaskClient) -> None:
    """C-045."""
    xml, at = POINTS_TO_MASKS, (CENTRE[0] + 40, CENTRE[1])

    before = drawn(suggested(client, xml, click()), xml)
    after = drawn(suggested(client, xml, click(), click(*at, name="b", is_positive=False)), xml)

    assert before[at[1], at[0]]
    assert not after[at[1], at[0]]
    assert after[CENTRE[1], CENTRE[0]]


def test_regions_without_names_are_answered_with_such(client: FlaskClient) -> None:
    xml = (
        '<View><Image name="photo" value="$img"/><KeyPoint name="pt" toName="photo"/>'
        '<Brush name="m" toName="photo"/></View>'
    )
    prompt = click() | {"from_name": "pt", "type": "keypoint"}
    del prompt["value"]["keypointlabels"]

    region = suggested(client, xml, prompt)

    assert (region["from_name"], region["type"]) == ("m", "brush")


def test_a_rotated_photo_is_answered_as_the_browser_shows_it(client: FlaskClient) -> None:
    """C-036: the size is that after EXIF orientation."""
    upright = click(HEIGHT - CENTRE[1], CENTRE[0])  # a quarter turn clockwise
    upright["value"] |= {"x": 100 * (HEIGHT - CENTRE[1]) / HEIGHT, "y": 100 * CENTRE[0] / WIDTH}

    found = ask(client, POINTS_TO_MASKS, {"result": [upright]}, task(1, photo(orientation=6)))

    [region] = found["results"][0]["result"]
    assert (region["original_width"], region["original_height"]) == (HEIGHT, WIDTH)


# Labels and ids.


def test_the_label_is_that_of_the_prompts(client: FlaskClient) -> None:
    """C-052."""
    assert suggested(client, POINTS_TO_MASKS, click(label="Bolt"))["value"]["brushlabels"] == ["Bolt"]


def test_a_label_that_the_answer_could_not_have_gives_nothing(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """C-052: an empty answer and a log line."""
    with caplog.at_level(logging.INFO):
        found = ask(client, POINTS_TO_MASKS, {"result": [click(label="Screw")]})

    assert found["results"][0]["result"] == []
    assert "'Screw'" in found["detail"]
    assert any(record.message == "interactive request found nothing" for record in caplog.records)


def test_the_alias_of_a_label_is_used(client: FlaskClient) -> None:
    xml = POINTS_TO_MASKS.replace('<Label value="Nut"/>', '<Label value="Nut" alias="n"/>')

    assert suggested(client, xml, click(label="n"))["value"]["brushlabels"] == ["n"]


def test_the_same_prompts_give_the_same_region(client: FlaskClient) -> None:
    """C-053 and F-18."""
    assert suggested(client, POINTS_TO_MASKS, click()) == suggested(client, POINTS_TO_MASKS, click())


def test_a_further_prompt_refines_the_same_region(client: FlaskClient) -> None:
    """C-053."""
    first = suggested(client, POINTS_TO_MASKS, click())

    second = suggested(client, POINTS_TO_MASKS, click(), click(20, 20, name="kA2", is_positive=False))

    assert second["id"] == first["id"]


def test_the_next_thing_is_another_region(client: FlaskClient) -> None:
    """Prompts go when a suggestion is accepted; with the same id, the next one would replace what was accepted."""
    first = suggested(client, POINTS_TO_MASKS, click(name="first"))

    second = suggested(client, POINTS_TO_MASKS, click(260, 60, name="second"))

    assert second["id"] != first["id"]


# Nothing to say.


@pytest.mark.parametrize(
    "context",
    [
        {"result": []},
        {},
        {"result": None},
        {"result": "x"},
        {"result": [None, 1, [], {}]},
        [],
        [1],
        "text",
        "",
        5,
        0,
        False,
        {"event": "no such event"},
        {"event": 5, "\ud800": "\0"},
        {"event": "track", "result": [click()], "direction": "both"},
        {"result": [click(is_positive=False)]},
        {"result": [click() | {"value": {"x": None}}]},
        {"result": [click() | {"value": 5}]},
        {"result": [click() | {"id": 5, "to_name": ["photo"]}]},
        {"result": [click() | {"type": "videorectangle"}]},
    ],
)
def test_where_nothing_is_pointed_at_there_is_one_entry_without_regions(client: FlaskClient, context: object) -> None:
    """C-046, C-047, C-048 and, for unknown events, C-057: an empty `results` would be logged as an error."""
    [entry] = ask(client, POINTS_TO_MASKS, context)["results"]

    assert entry == {"result": [], "score": 0, "model_version": "untrained"}


def test_taking_the_last_prompt_back_gives_no_reason(client: FlaskClient) -> None:
    """C-046: it is no failure, so nothing is said."""
    suggested(client, POINTS_TO_MASKS, click())

    assert "detail" not in ask(client, POINTS_TO_MASKS, {"result": []})


def test_only_one_entry_is_given(client: FlaskClient) -> None:
    """C-049."""
    tasks = task(1, photo()), task(2, photo())

    assert len(ask(client, POINTS_TO_MASKS, {"result": [click()]}, *tasks)["results"]) == 1


def test_an_answer_that_is_empty_says_why(client: FlaskClient, version: ModelVersion) -> None:
    found = ask(client, CONFIG, {"result": [click()]})

    assert found["results"][0]["result"] == []
    assert "<BrushLabels>" in found["detail"]


@pytest.mark.parametrize("content", [b"no image", b"\x89PNG\r\n\x1a\n"])
def test_an_image_that_cannot_be_read_gives_nothing_and_says_why(client: FlaskClient, content: bytes) -> None:
    found = ask(client, POINTS_TO_MASKS, {"result": [click()]}, task(1, content))

    assert found["results"][0]["result"] == []
    assert "not an image" in found["detail"]


def test_an_image_that_cannot_be_had_gives_nothing_and_says_why(client: FlaskClient) -> None:
    found = ask(client, POINTS_TO_MASKS, {"result": [click()]}, task(1, "http://127.0.0.1:1/x.png"))

    assert found["results"][0]["result"] == []
    assert found["detail"]


def test_a_segmenter_that_crashes_gives_nothing_and_says_so(
    client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    segmenter = services.segmenters.choose(None)

    def crash(image: DecodedImage) -> None:
        raise ZeroDivisionError("in the segmenter")

    monkeypatch.setattr(type(segmenter), "encode", lambda self, image: crash(image))

    found = ask(client, POINTS_TO_MASKS, {"result": [click()]})

    assert found["results"][0]["result"] == []
    assert "ZeroDivisionError" in found["detail"]
    assert "in the segmenter" in caplog.text


def test_null_is_no_context(client: FlaskClient, version: ModelVersion) -> None:
    body = predict_body(task(1), params={"login": None, "password": None, "context": None})

    [entry] = client.post("/predict", data=json.dumps(body)).get_json()["results"]

    assert entry["result"][0]["value"] == {"choices": ["red"]}


# How much work it is.


def test_the_second_click_neither_fetches_nor_decodes_nor_encodes(
    client: FlaskClient, fake_label_studio: Any, make_client: Any
) -> None:
    fake_label_studio.uploads["7/photo.png"] = photo()
    client = make_client(label_studio_url=fake_label_studio.url, label_studio_api_key=fake_label_studio.legacy_token)
    sent = task(1, "/data/upload/7/photo.png")
    before = counted("tandem_click_encodings_total")

    for number in range(3):
        answered = ask(client, POINTS_TO_MASKS, {"result": [click(CENTRE[0] + number, CENTRE[1])]}, sent)
        assert answered["results"][0]["result"]

    assert counted("tandem_click_encodings_total") == before + 1
    assert len(fake_label_studio.asked_for("/data/upload/")) == 1


def test_two_tasks_with_other_images_are_not_mixed_up(client: FlaskClient) -> None:
    """Two annotators: one has the disc at the place of the click, the other nothing but one colour."""
    empty = io.BytesIO()
    Image.new("RGB", (64, 48), (90, 90, 90)).save(empty, "PNG")
    suggested(client, POINTS_TO_MASKS, click())

    other = ask(client, POINTS_TO_MASKS, {"result": [click()]}, task(2, empty.getvalue()))

    sizes = {(region["original_width"], region["original_height"]) for region in other["results"][0]["result"]}
    assert sizes <= {(64, 48)}
    assert iou(drawn(suggested(client, POINTS_TO_MASKS, click()), POINTS_TO_MASKS), disc()) > 0.9


# The events of the Enterprise editor.


@pytest.mark.parametrize(
    ("event", "kind", "value"),
    [
        ("prewarm", "prewarm_ack", {"status": "unsupported", "cached": [], "pending": [], "frame_count": 0}),
        ("track_cancel", "track_cancel_ack", {"status": "not_found"}),
        ("release", "release_ack", {"status": "released"}),
    ],
)
def test_the_extended_events_are_acknowledged(
    client: FlaskClient, event: str, kind: str, value: dict[str, Any]
) -> None:
    """C-057."""
    [entry] = ask(client, POINTS_TO_MASKS, {"event": event, "session_id": "s", "frame": 3})["results"]

    [region] = entry["result"]
    assert region["type"] == kind
    assert region["value"].items() >= value.items()


@pytest.mark.parametrize(
    ("kinds", "prompts", "targets"),
    [
        ((), [], []),
        (("keypointlabels",), [], []),
        (
            ("keypointlabels", "brushlabels", "polygonlabels", "rectanglelabels"),
            ["point", "box"],
            [
                {"tag": "BrushLabels", "output": "mask"},
                {"tag": "PolygonLabels", "output": "polygon"},
                {"tag": "RectangleLabels", "output": "bbox"},
            ],
        ),
    ],
)
def test_capabilities_are_those_of_the_config(
    client: FlaskClient, kinds: tuple[str, ...], prompts: list[str], targets: list[dict[str, str]]
) -> None:
    """C-057."""
    [entry] = ask(client, config(*kinds), {"event": "capabilities"})["results"]

    [region] = entry["result"]
    assert region["value"] == {
        "prompts": prompts,
        "targets": targets,
        "model_info": {"name": "Tandem", "version": "untrained"},
    }


# Which segmenter answers.


def test_weights_of_segment_anything_answer_where_there_are_some(client: FlaskClient, services: Services) -> None:
    write_sam(services.settings.weights_folder / "mobile_sam")

    region = suggested(client, POINTS_TO_MASKS, click())

    assert region["score"] == 0.875
    centre = drawn(region, POINTS_TO_MASKS).nonzero()
    # The decoder's disc is in the middle of a square whose longer side is the image's width.
    assert (centre[1].mean(), centre[0].mean()) == pytest.approx((WIDTH / 2, WIDTH / 2), abs=WIDTH * 0.1)


def test_projects_with_outlines_have_a_label_set_for_clicks(client: FlaskClient, services: Services) -> None:
    xml = config("keypointlabels", "brushlabels", "polygonlabels", "rectanglelabels")

    ask(client, xml, {"result": []})

    mirror = services.projects.find(KIND, PROJECT)
    assert mirror is not None
    [clicks] = [row for row in mirror.label_sets if row.name == "clicks:photo"]
    assert (clicks.schema, clicks.field) == (click_sets.SCHEMA, "img")


def test_projects_without_outlines_have_none(client: FlaskClient, services: Services) -> None:
    ask(client, config("keypointlabels", "rectanglelabels"), {"result": []})

    mirror = services.projects.find(KIND, PROJECT)
    assert mirror is not None
    assert {row.name for row in mirror.label_sets} == {"keypointlabels", "rectanglelabels"}
