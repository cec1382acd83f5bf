"""Fixtures for tests of formats: a project with three images, and files that are brought into it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from labelled_projects import add_image, make_label_set, make_project

from adapters.formats.exchange import Imported, bring_in, hand_out
from adapters.formats.payload import Payload
from backend.accounts.service import Principal
from backend.projects.service import LabelSet, Project
from backend.services import Services
from models.labels import Objective


@pytest.fixture
def ann(services: Services) -> Principal:
    _, key = services.accounts.mint(services.accounts.create_user("ann@example.com"), "test")
    return services.accounts.authenticate(key)


@pytest.fixture
def project(services: Services, ann: Principal) -> Project:
    """With the images a.jpg, b.jpg and c.jpg of 640 × 480 pixels."""
    made = make_project(services, ann.workspace_ids[0])
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        add_image(services, made, name)
    return made


class Exchange:
    """A label set that files are brought into and handed out of."""

    def __init__(self, services: Services, principal: Principal, label_set: LabelSet) -> None:
        self._services = services
        self._principal = principal
        self.label_set = label_set

    def bring(self, form: str, data: Any, **options: Any) -> Imported:
        usual = {"appends": False, "match_by": "auto", "creates_labels": False, "is_trial": False}
        payload = Payload(io.BytesIO(json.dumps({"data": data}).encode()))
        given = {**usual, **options}
        return bring_in(self._services, self._principal, self.label_set.id, payload, format=form, **given)

    def text(self, form: str, split: str | None = None) -> str:
        parts = hand_out(
            self._services, self._principal, self.label_set.id, format=form, split=split, base_url="http://here"
        )
        return "".join(parts)

    def out(self, form: str, split: str | None = None) -> Any:
        return json.loads(self.text(form, split))

    def said(self) -> dict[str, list[dict[str, Any]]]:
        """Return what counts, by file name."""
        return {image["filename"]: image["annotations"] for image in self.out("native")["images"]}


@pytest.fixture
def exchange(services: Services, ann: Principal, project: Project) -> Callable[[Objective, Sequence[str]], Exchange]:
    def make(objective: Objective, names: Sequence[str]) -> Exchange:
        name = f"{objective.value}{len(names)}"
        return Exchange(services, ann, make_label_set(services, project, objective, names, name=name))

    return make
