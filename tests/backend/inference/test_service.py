from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from backend_doubles import write_image
from PIL import Image as PillowImage

from backend import logs
from backend.errors import Invalid, Unavailable
from backend.inference.engine import Engine
from backend.inference.service import Inference, Item
from backend.projects.tasks import Predicted
from backend.services import Services
from backend.settings import Settings
from backend.versions.registry import ModelVersion
from models.images import Image
from models.labels import Label, LabelSchema, Medium, Objective
from models.regions import Box, Choice, Region, Span


class Brightness:
    """Says cat for dark images and dog for bright ones, and counts what it was asked."""

    num_bytes = 1
    min_side_px = None

    def __init__(self, schema: LabelSchema) -> None:
        self.schema = schema
        self.num_images = 0
        self.gate = threading.Event()
        self.gate.set()

    def predict(self, images: Sequence[Image]) -> list[list[Region]]:
        self.gate.wait(10)
        self.num_images += len(images)
        return [[Choice("cat" if np.mean(image.pixels) < 100 else "dog", 0.9)] for image in images]


@pytest.fixture
def version(services: Services, label: Callable[[Sequence[str]], None], train: Callable[[], str]) -> ModelVersion:
    label(["cat"] * 5 + ["dog"] * 5)
    return services.versions.get(services.training.get(train()).version_id or "")


@pytest.fixture
def predictor(version: ModelVersion) -> Brightness:
    return Brightness(version.schema)


@pytest.fixture
def inference(services: Services, settings: Settings, predictor: Brightness) -> Inference:
    few = settings.model_copy(update={"web_threads": 4})
    return Inference(Engine(lambda _: predictor, capacity_bytes=10), services.tasks, few)


def item(folder: Path, number: int) -> Item:
    return Item(f"{number:064d}", write_image(folder / f"{number}.png", number))


def test_outcomes_are_in_the_order_of_the_items(inference: Inference, version: ModelVersion, tmp_path: Path) -> None:
    items = [item(tmp_path, number) for number in (200, 10, 201, 11, *range(20, 60))]

    outcomes = inference.predict(version, items)

    said = [outcome.regions[0].label for outcome in outcomes if isinstance(outcome, Predicted)]
    assert said == ["dog", "cat", "dog", *["cat"] * 41]


def test_an_unreadable_item_does_not_disturb_the_others(
    inference: Inference, version: ModelVersion, tmp_path: Path
) -> None:  # C-029
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    items = [item(tmp_path, 10), Item("b" * 64, broken), Item("c" * 64, tmp_path / "gone.png"), item(tmp_path, 200)]

    first, bad, gone, last = inference.predict(version, items)

    assert isinstance(first, Predicted)
    assert isinstance(bad, Invalid)
    assert isinstance(gone, Unavailable | Invalid)
    assert isinstance(last, Predicted)


class LongestWord:
    """Says what it read, and who asked about what."""

    num_bytes = 1
    min_side_px = None
    schema = LabelSchema(Objective.SPANS, (Label("word"),), Medium.TEXT)

    def predict(self, texts: Sequence[str]) -> list[list[Region]]:
        return [[Span("word", 0, len(text), 0.5)] for text in texts]


def test_texts_are_read_from_the_item_itself(services: Services, settings: Settings, version: ModelVersion) -> None:
    few = settings.model_copy(update={"web_threads": 4})
    inference = Inference(Engine(lambda _: LongestWord(), capacity_bytes=10), services.tasks, few)
    items = [Item("a" * 64, "Grüße 🎉".encode()), Item("b" * 64, b"\xff")]

    good, bad = inference.predict(version, items)

    assert good == Predicted((Span("word", 0, 7, 0.5),), 0, 0)
    assert isinstance(bad, Invalid)
    assert bad.code == "text_invalid"


def test_each_part_of_an_image_has_its_own_answer(
    inference: Inference, version: ModelVersion, predictor: Brightness, tmp_path: Path
) -> None:
    path = tmp_path / "halves.png"
    PillowImage.fromarray(np.repeat(np.uint8([[10, 250]]), 4, 1)[..., None].repeat(3, 2)).save(path)
    parts = [None, Box("", 0.25, 0.5, 0.5, 1.0), Box("", 0.75, 0.5, 0.5, 1.0)]

    outcomes = inference.predict(version, [Item("a" * 64, path, part) for part in parts])
    again = inference.predict(version, [Item("a" * 64, path, part) for part in parts])

    assert [each.regions[0].label for each in outcomes if isinstance(each, Predicted)] == ["dog", "cat", "dog"]
    assert again == outcomes
    assert predictor.num_images == 3


def test_what_was_computed_is_not_computed_again(
    inference: Inference, version: ModelVersion, predictor: Brightness, tmp_path: Path
) -> None:  # C-034
    items = [item(tmp_path, number) for number in range(10)]

    first = inference.predict(version, [*items, *items])
    second = inference.predict(version, items)

    assert predictor.num_images == 10
    assert first == [*second, *second]


def test_what_takes_too_long_goes_on_and_is_there_the_next_time(
    services: Services, settings: Settings, version: ModelVersion, predictor: Brightness, tmp_path: Path
) -> None:  # C-006
    hasty = settings.model_copy(update={"predict_timeout_s": 0.1})
    inference = Inference(Engine(lambda _: predictor, capacity_bytes=10), services.tasks, hasty)
    items = [item(tmp_path, number) for number in range(10)]
    predictor.gate.clear()
    with pytest.raises(Unavailable, match="ask again") as too_long:
        inference.run(lambda: inference.predict(version, items))

    predictor.gate.set()
    inference.close()
    known = services.tasks.find_predictions(version.id, [each.media for each in items])

    assert too_long.value.code == "prediction_timeout"
    assert len(known) == 10


def test_who_never_gets_a_place_is_sent_away_with_a_hint(
    services: Services, settings: Settings, predictor: Brightness
) -> None:  # C-039
    few = settings.model_copy(update={"web_threads": 4, "predict_timeout_s": 0.1})
    inference = Inference(Engine(lambda _: predictor, capacity_bytes=10), services.tasks, few)
    leave = threading.Event()
    codes: list[tuple[str, bool]] = []
    for _ in range(4):
        with pytest.raises(Unavailable) as refused:
            inference.run(lambda: leave.wait(10))
        codes.append((refused.value.code, refused.value.retry_after_s is not None))
    leave.set()
    inference.close()

    # two places, one waits in vain and gives its turn back, so the fourth waits in vain as well
    assert codes == [("prediction_timeout", True)] * 2 + [("busy", True)] * 2


def test_the_request_is_named_in_the_lines_that_its_work_logs(inference: Inference) -> None:
    with logs.context(request_id="the-request"):
        assert inference.run(logs.request_id) == "the-request"
