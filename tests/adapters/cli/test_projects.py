"""`tandem status`, `train` and `project set`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from backend.projects.service import Mirror
from backend.services import Services
from backend.versions.registry import ModelVersion

Tandem = Callable[..., Result]
AddVersion = Callable[[float], ModelVersion]


def test_status_shows_the_connection_and_the_version_in_use(
    tandem: Tandem, project: Mirror, add_version: AddVersion
) -> None:
    add_version(0.9125)

    said = tandem("status")

    assert said.exit_code == 0
    for word in ("7.1795203195", "Connected", "pet-v1 (91.2 %)"):
        assert word in said.output


def test_status_is_there_for_programs_too(tandem: Tandem, services: Services, project: Mirror) -> None:
    services.projects.note_contact(project.origin, error="the label config is broken")

    [told] = json.loads(tandem("status", "--json").output)

    assert told["uid"] == "7.1795203195"
    assert (told["state"], told["readable_state"]) == ("ER", "Error")
    assert told["error"] == "the label config is broken"
    assert told["label_sets"][0] | {"newest_run": None} == {
        "name": "pet",
        "version": None,
        "accuracy": None,
        "is_pinned": False,
        "newest_run": None,
    }


@pytest.mark.parametrize("name", [(), ("7",), ("7.1795203195",)])
def test_training_is_wished_for_by_any_name_of_the_project(
    tandem: Tandem, services: Services, project: Mirror, name: tuple[str, ...]
) -> None:
    said = tandem("train", *name)

    [run] = services.training.of_project(project.project.id)
    assert said.output == f"run {run.id} is pending\n"
    assert run.reason == "tandem train"


def test_training_one_label_set_that_is_not_there_says_which_are(tandem: Tandem, project: Mirror) -> None:
    said = tandem("train", "--label-set", "colour")

    assert said.exit_code == 1
    assert said.output == "Error: say which label set: --label-set with one of pet\n"


def test_an_unknown_project_is_told(tandem: Tandem, project: Mirror) -> None:
    said = tandem("train", "8")

    assert said.exit_code == 4
    assert "there is no project '8'" in said.output


def test_without_a_name_there_must_be_one_project(tandem: Tandem, services: Services, project: Mirror) -> None:
    services.projects.mirror("label_studio", "8.1", document="<View/>", schemas={})

    said = tandem("train")

    assert said.exit_code == 1
    assert "there are 2 projects" in said.output


def test_what_is_set_stays_and_the_rest_too(tandem: Tandem, services: Services, project: Mirror) -> None:
    tandem("project", "set", "--promotion", "manual")
    said = tandem("project", "set", "--train-every", "7", "--quiet", "1.5")

    stored = services.projects.get(project.project.id).project
    assert (stored.promotion, stored.train_every, stored.train_quiet_s) == ("manual", 7, 1.5)
    assert said.output == "7: promotion manual, training after 7 changes and 1.5 quiet seconds\n"


def test_training_can_be_left_to_people(tandem: Tandem, project: Mirror) -> None:
    assert tandem("project", "set", "--train-every", "0").output == "7: promotion always, training by hand only\n"
