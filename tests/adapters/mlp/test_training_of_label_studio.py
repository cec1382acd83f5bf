"""Trainings of label sets whose labels are in Label Studio."""

from __future__ import annotations

from typing import Any

import pytest
from builders import CONFIG, CREATED_AT, PROJECT, annotation, setup_body, task
from doubles import FakeLabelStudio, InlineQueue
from flask.testing import FlaskClient
from sqlalchemy import select

from backend.projects.service import LabelSet
from backend.projects.tasks import Task
from backend.services import Services
from backend.settings import Settings


@pytest.fixture
def label_set(
    agent: Any,
    client: FlaskClient,
    services: Services,
    settings: Settings,
    fake_label_studio: FakeLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> LabelSet:
    """A project that was set up by Label Studio, and belongs to the agent's workspace because nobody said whose."""
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    monkeypatch.setenv("LABEL_STUDIO_URL", fake_label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", fake_label_studio.pat)
    fake_label_studio.projects[7] = {
        "id": 7,
        "title": "Colours",
        "label_config": CONFIG,
        "created_at": CREATED_AT,
    }
    fake_label_studio.tasks[7] = []
    assert client.post("/setup", json=setup_body()).status_code == 200
    mirror = services.projects.find("label_studio", PROJECT)
    assert mirror is not None
    return mirror.label_sets[0]


def train(agent: Any, services: Services, queue: InlineQueue, label_set: LabelSet, **body: Any) -> Any:
    """Describe and start a training, and have its labels collected; return it."""
    training = agent.ok("POST", f"/label-sets/lbs_{label_set.id}/training", json=body)
    agent.ok("POST", f"/training/{training['id']}/start")
    services.training.advance()
    queue.run_all()
    return agent.ok("GET", f"/training/{training['id']}")


def test_labels_are_fetched_when_it_starts_and_shared_out_for_it_alone(
    agent: Any, services: Services, queue: InlineQueue, label_set: LabelSet, fake_label_studio: FakeLabelStudio
) -> None:
    fake_label_studio.tasks[7] = [
        {**task(number), "annotations": [annotation(number, number, colour)]}
        for number, colour in enumerate(["red", "green"] * 5, 1)
    ]

    training = train(agent, services, queue, label_set, splits={"train": 0.5, "val": 0.5})

    assert training["status"] == "queued"
    assert training["dataset"] == {"train": 5, "val": 5, "test": 0, "labels": 10}
    with services.database.reading() as session:
        assert set(session.scalars(select(Task.split))) == {None}


def test_without_given_shares_it_uses_the_splits_that_all_trainings_there_share(
    agent: Any, services: Services, queue: InlineQueue, label_set: LabelSet, fake_label_studio: FakeLabelStudio
) -> None:
    fake_label_studio.tasks[7] = [
        {**task(number), "annotations": [annotation(number, number)]} for number in range(1, 11)
    ]

    training = train(agent, services, queue, label_set)

    assert training["dataset"] == {"train": 8, "val": 2, "test": 0, "labels": 10}
    with services.database.reading() as session:
        assert set(session.scalars(select(Task.split))) == {"train", "held_out"}


def test_too_few_labels_are_found_out_once_they_are_fetched(
    agent: Any, services: Services, queue: InlineQueue, label_set: LabelSet
) -> None:
    training = train(agent, services, queue, label_set)

    assert training["status"] == "failed"
    assert training["error"]["code"] == "LABELS_INSUFFICIENT"
