"""What is written to a Label Studio server."""

from __future__ import annotations

import pytest
from doubles import FakeLabelStudio, as_json

from adapters.label_studio import authoring
from adapters.label_studio.client import LabelStudio
from backend.errors import Denied, Invalid, NotFound


@pytest.fixture
def client(fake_label_studio: FakeLabelStudio) -> LabelStudio:
    return LabelStudio(fake_label_studio.url, fake_label_studio.pat)


@pytest.mark.parametrize(
    ("title", "there"), [("a", "a.."), ("b" * 50, "b" * 50), ("c" * 51, "c" * 49 + "…")], ids=["short", "fits", "long"]
)
def test_a_title_is_made_to_fit(client: LabelStudio, title: str, there: str) -> None:
    made = authoring.create_project(client, title, description="", config="<View></View>")

    assert made.title == there
    assert made.uid == "1.1795203195"


def test_a_project_is_found_by_what_its_description_says(client: LabelStudio) -> None:
    for number in range(3):
        authoring.create_project(client, "many", description=f"Ours.\n\nMark {number}.", config="<View></View>")

    found = authoring.find_project(client, "Mark 1.")

    assert found is not None
    assert found.id == 2
    assert authoring.find_project(client, "Mark 7.") is None


def test_a_backend_is_connected_once(client: LabelStudio, fake_label_studio: FakeLabelStudio) -> None:
    project = authoring.create_project(client, "one", description="", config="<View></View>")

    for password in ("old", "new"):
        authoring.connect(client, project.id, "http://tandem:9090", title="Tandem", login=("ann", password))

    [connection] = fake_label_studio.connections
    assert (connection["url"], connection["auth_method"]) == ("http://tandem:9090", "BASIC_AUTH")
    assert connection["basic_auth_pass"] == "new"


def test_a_refusal_is_told_in_label_studios_words(client: LabelStudio, fake_label_studio: FakeLabelStudio) -> None:
    body = {"detail": "Validation error", "validation_errors": {"label_config": ["These labels still exist: cat"]}}
    fake_label_studio.break_path("/api/projects/7/", as_json(body, 400))

    with pytest.raises(Invalid, match=r"^Label Studio refused: These labels still exist: cat$"):
        authoring.change_config(client, 7, "<View></View>")


def test_a_page_that_is_no_json_is_told_as_it_is(client: LabelStudio, fake_label_studio: FakeLabelStudio) -> None:
    fake_label_studio.break_path("/api/projects/7/", as_json(["no dictionary"], 403))

    with pytest.raises(Denied, match="no dictionary"):
        authoring.change_config(client, 7, "<View></View>")


def test_a_project_that_is_gone_is_not_found(client: LabelStudio) -> None:
    with pytest.raises(NotFound):
        authoring.change_config(client, 7, "<View></View>")
