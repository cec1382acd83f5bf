"""Tests of adapters/label_studio/jobs.py: annotations of any control become examples of its label set."""

from __future__ import annotations

from typing import Any

import pytest
from builders import PROJECT, data_url, image_bytes
from doubles import InlineQueue
from flask.testing import FlaskClient

from adapters.label_studio.access import KIND
from backend.projects.tasks import LabelledItem
from backend.services import Services
from backend.settings import Settings
from models.regions import Box, Choice, Number, Span

CONFIG = """<View>
<Image name="photo" value="$img"/><Text name="note" value="$note"/>
<HyperText name="page" value="$page" valueType="url"/>
<RectangleLabels name="box" toName="photo"><Label value="Cat"/></RectangleLabels>
<Choices name="state" toName="photo" perRegion="true"><Choice value="ill"/><Choice value="well"/></Choices>
<Choices name="colour" toName="photo"><Choice value="red"/><Choice value="green"/></Choices>
<Labels name="who" toName="note"><Label value="PER"/></Labels>
<Rating name="stars" toName="page"/>
</View>"""
PAGE = "data:text/html;base64,PHA+TmljZSAmYW1wOyA8Yj53YXJtPC9iPjwvcD4="  # <p>Nice &amp; <b>warm</b></p>
GEOMETRY = {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0}


def item(name: str, to_name: str, tag: str, value: dict[str, Any], identity: str = "a") -> dict[str, Any]:
    size = {"original_width": 8, "original_height": 8}
    return {"id": identity, "from_name": name, "to_name": to_name, "type": tag, "value": value, **size}


def annotated(task_id: int, *result: dict[str, Any]) -> dict[str, Any]:
    data = {"img": data_url(image_bytes("red")), "note": "Alice sings", "page": PAGE}
    return {"id": task_id, "data": data, "annotations": [{"id": task_id, "result": list(result)}]}


@pytest.fixture
def collected(
    client: FlaskClient,
    services: Services,
    queue: InlineQueue,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, list[LabelledItem]]:
    """What is learnt from two tasks, by control: one where everything was answered, one where nothing was."""
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    full = annotated(
        1,
        item("box", "photo", "rectanglelabels", {**GEOMETRY, "rectanglelabels": ["Cat"]}),
        item("state", "photo", "choices", {**GEOMETRY, "choices": ["ill"]}),
        item("colour", "photo", "choices", {"choices": ["red"]}, "b"),
        item("who", "note", "labels", {"start": 0, "end": 5, "text": "Alice", "labels": ["PER"]}, "c"),
        item("stars", "page", "rating", {"rating": 4}, "d"),
    )
    body = {"annotations": [full, annotated(2)], "project": PROJECT, "label_config": CONFIG}
    assert client.post("/train", json=body).status_code == 201
    services.training.advance()
    queue.run_all()
    mirror = services.projects.find(KIND, PROJECT)
    assert mirror is not None
    return {row.name: services.tasks.labelled_items(row) for row in mirror.label_sets}


def text_of(services: Services, item: LabelledItem) -> str:
    return services.blobs.path(item.media).read_text(encoding="utf-8")


def test_each_control_gets_what_was_said_for_it(collected: dict[str, list[LabelledItem]]) -> None:
    said = {name: [(each.key, each.regions) for each in items] for name, items in collected.items()}

    assert said["colour"] == [("1", (Choice("red"),))]
    assert said["stars"] == [("1", (Number(4),))]
    assert said["who"] == [("1", (Span("PER", 0, 5),)), ("2", ())]
    assert said["box"] == [("1", (Box("Cat", 0.25, 0.25, 0.5, 0.5),)), ("2", ())]


def test_an_answer_about_a_region_is_an_example_of_that_part(collected: dict[str, list[LabelledItem]]) -> None:
    (state,) = collected["state"]

    assert (state.regions, state.part) == ((Choice("ill"),), Box("", 0.25, 0.25, 0.5, 0.5))


def test_texts_are_kept_as_they_are_shown(collected: dict[str, list[LabelledItem]], services: Services) -> None:
    assert [text_of(services, collected[name][0]) for name in ("who", "stars")] == ["Alice sings", "Nice & warm"]


def test_a_control_that_nobody_has_used_yet_ends_its_run_quietly(
    client: FlaskClient,
    services: Services,
    queue: InlineQueue,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    only_colour = annotated(1, item("colour", "photo", "choices", {"choices": ["red"]}))
    body = {"annotations": [only_colour], "project": PROJECT, "label_config": CONFIG}
    assert client.post("/train", json=body).status_code == 201

    services.training.advance()
    queue.run_all()

    mirror = services.projects.find(KIND, PROJECT)
    assert mirror is not None
    name_of = {row.id: row.name for row in mirror.label_sets}
    ended = {name_of[run.label_set_id]: run for run in services.training.of_project(mirror.project.id)}
    states = {name: run.state for name, run in ended.items()}
    assert states == {"colour": "queued", **dict.fromkeys(("box", "state", "who", "stars"), "cancelled")}
    assert {run.error for run in ended.values()} == {None}
    assert "nothing is labelled with 'box' yet" in services.training.log_lines(ended["box"].id)[-1].text
