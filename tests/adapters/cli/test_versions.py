"""`tandem versions`."""

from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import Result

from backend.projects.service import Mirror
from backend.services import Services
from backend.versions.registry import ModelVersion

Tandem = Callable[..., Result]
AddVersion = Callable[[float], ModelVersion]


def in_use(services: Services, project: Mirror) -> tuple[str, bool]:
    label_set = services.projects.get_label_set(project.label_sets[0].id)
    return services.versions.current([label_set])[label_set.id].name, label_set.is_pinned


def test_the_list_marks_the_one_in_use(tandem: Tandem, add_version: AddVersion) -> None:
    add_version(0.5)
    add_version(0.75)

    told = json.loads(tandem("versions", "list", "--json").output)

    assert [(version["name"], version["is_in_use"]) for version in told] == [("pet-v1", False), ("pet-v2", True)]
    assert "75.0 %" in tandem("versions", "list").output


def test_an_untrained_project_has_none(tandem: Tandem, project: Mirror) -> None:
    assert tandem("versions", "list").output == "no version yet: the project has not been trained\n"


def test_a_pinned_version_answers_until_it_is_unpinned(
    tandem: Tandem, services: Services, project: Mirror, add_version: AddVersion
) -> None:
    add_version(0.5)
    add_version(0.75)

    assert tandem("versions", "pin", "pet-v1").exit_code == 0
    assert in_use(services, project) == ("pet-v1", True)
    assert "pinned" in tandem("versions", "list").output

    assert tandem("versions", "unpin").exit_code == 0
    assert in_use(services, project) == ("pet-v1", False)


def test_rolling_back_names_the_version_that_answers_now(
    tandem: Tandem, services: Services, project: Mirror, add_version: AddVersion
) -> None:
    add_version(0.5)
    add_version(0.75)

    said = tandem("versions", "rollback")

    assert said.output.startswith("pet-v1 answers")
    assert in_use(services, project) == ("pet-v1", True)


def test_there_must_be_something_to_go_back_to(tandem: Tandem, add_version: AddVersion) -> None:
    add_version(0.5)

    said = tandem("versions", "rollback")

    assert said.exit_code == 5
    assert said.output == "Error: 'pet' has no earlier version to go back to\n"


def test_pinning_what_is_not_there_is_told(tandem: Tandem, project: Mirror) -> None:
    said = tandem("versions", "pin", "pet-v9")

    assert said.exit_code == 4
    assert "no model version 'pet-v9'" in said.output
