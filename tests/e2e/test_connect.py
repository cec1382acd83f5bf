"""`tandem connect`, through Label Studio's SDK, with a real Label Studio."""

from __future__ import annotations

import pytest
from e2e.pictures import label_config
from e2e.servers import LabelStudio, Tandem

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_a_project_is_connected_once_however_often_it_is_asked_for(label_studio: LabelStudio, tandem: Tandem) -> None:
    project = label_studio.create_project("From the command line", label_config(["cat", "dog"]))

    answers = [tandem.say("connect", str(project.id), "--url", tandem.url) for _ in range(2)]

    connections = label_studio.ask("GET", f"/api/ml/?project={project.id}").json()
    assert [code for code, _ in answers] == [0, 0]
    assert all("Connected" in said for _, said in answers)
    assert [(row["url"], row["state"], row["auth_method"]) for row in connections] == [(tandem.url, "CO", "BASIC_AUTH")]


def test_a_project_that_does_not_exist_is_named(tandem: Tandem) -> None:
    code, said = tandem.say("connect", "987654", "--url", tandem.url)

    assert code == 4
    assert "no project 987654" in said


def test_a_url_that_does_not_answer_is_said_in_label_studios_words(label_studio: LabelStudio, tandem: Tandem) -> None:
    project = label_studio.create_project("Nobody there", label_config(["cat", "dog"]))

    code, said = tandem.say("connect", str(project.id), "--url", "http://127.0.0.1:9")

    assert code == 1
    assert "127.0.0.1" in said
    assert label_studio.ask("GET", f"/api/ml/?project={project.id}").json() == []
