"""What a person does, from connecting to better predictions, with a real Label Studio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import Trained
from e2e.pictures import Picture, accuracy, digits, label_config, labels_of
from e2e.servers import RUN_TIMEOUT_S, LabelStudio, Project, Tandem, run_tandem

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PICTURES = digits(461)
FIRST, LEARNT, NEXT, OTHERS, SPARE = PICTURES[:20], PICTURES[:150], PICTURES[150], PICTURES[151:451], PICTURES[451:]
CONFIG = label_config(labels_of(PICTURES))


@dataclass
class Story:
    """What was seen while 150 digits were annotated and learnt.

    Attributes:
        states: Of the connection, by /tandem/status.
        progress: Fraction, stage and epoch of the second run.
        answers: Versions that answered while the second run worked.
        runs: Newest first.
    """

    untrained: list[dict[str, Any]] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    progress: list[dict[str, Any]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(scope="module")
def project(label_studio: LabelStudio, tandem: Tandem) -> Project:
    """Digits, imported and connected."""
    made = label_studio.create_project("Digits", CONFIG)
    made.upload(PICTURES)
    assert made.connect(tandem).status_code == 201
    return made


@pytest.fixture(scope="module")
def story(project: Project, tandem: Tandem) -> Story:
    """Annotate 20 pictures and wait until a run begins by itself; annotate the rest, and press "Start Training"."""
    seen = Story()
    project.retrieve_predictions(OTHERS[:20])
    seen.untrained = project.predictions()

    project.annotate(FIRST)
    _await(lambda: tandem.runs(project.uid), "a run begins by itself")
    seen.states.append(tandem.project(project.uid)["state"])
    project.annotate(LEARNT[len(FIRST) :])
    project.start_training()
    first, second = tandem.runs(project.uid)[::-1]
    tandem.await_completed(first["id"])
    before = tandem.setup(project.uid, CONFIG)
    while True:
        state, answer = tandem.project(project.uid)["state"], tandem.setup(project.uid, CONFIG)
        run = tandem.run(second["id"])  # asked last: while it has not ended, it had not ended before either
        if run["state"] not in ("pending", "queued", "running"):
            break
        seen.states.append(state)
        seen.answers.append(answer)
        if run["state"] == "running" and run["progress"]:
            seen.progress.append(run["progress"])
        time.sleep(0.5)
    assert set(seen.answers) == {before}
    tandem.await_completed(second["id"])
    seen.states.append(tandem.project(project.uid)["state"])
    seen.runs = tandem.runs(project.uid)
    return seen


@pytest.fixture(scope="module")
def version(story: Story, project: Project) -> str:
    """What answers after the story; OTHERS have been predicted with it."""
    project.retrieve_predictions(OTHERS)
    return str(project.connection()["model_version"])


def test_a_connected_project_is_shown_as_connected(project: Project, tandem: Tandem) -> None:
    connection = project.connection()

    assert (connection["state"], connection["error_message"]) == ("CO", None)
    assert connection["model_version"] == tandem.setup(project.uid, CONFIG)


def test_a_wrong_password_is_an_error_that_says_so(label_studio: LabelStudio, tandem: Tandem) -> None:
    project = label_studio.create_project("Wrong password", CONFIG)

    refused = project.connect(tandem, password="wrong")

    assert refused.status_code == 400
    assert "authentication parameters were either not provided or are incorrect" in refused.text
    assert label_studio.get("/api/ml/", project=project.id) == []


def test_a_password_that_becomes_wrong_is_said_where_training_is_started(
    label_studio: LabelStudio, tmp_path: Path
) -> None:
    """The reason phrase is all that Label Studio shows of a refusal."""
    project = label_studio.create_project("Changed password", CONFIG)
    with run_tandem(tmp_path) as tandem:
        assert project.connect(tandem).status_code == 201
        tandem.end()
        tandem.settings["BASIC_AUTH_PASS"] = "changed"
        tandem.start()

        project.start_training()
        connection = project.connection()

    assert connection["state"] == "DI"
    assert (
        "401 Client Error: Wrong user or password: set Basic Auth in the connection to BASIC_AUTH_USER and "
        "BASIC_AUTH_PASS of Tandem"
    ) in connection["error_message"]


def test_before_any_training_predictions_are_empty_and_say_so(story: Story) -> None:
    assert len(story.untrained) == 20
    assert {prediction["model_version"] for prediction in story.untrained} == {"untrained"}
    assert all(prediction["result"] == [] for prediction in story.untrained)


def test_twenty_annotations_start_a_run_by_themselves(story: Story) -> None:
    """C-066: the events that started it carried no credentials."""
    first = story.runs[-1]

    assert first["reason"] == "20 changed annotations"
    assert first["state"] == "completed"


def test_the_menu_starts_a_run_which_takes_in_what_came_meanwhile(story: Story, tandem: Tandem) -> None:
    second = story.runs[0]

    assert len(story.runs) == 2
    assert second["reason"] == "Start Training"
    assert "collected 150 labelled items for 'kind'" in [line["text"] for line in tandem.run(second["id"])["log"]]


def test_while_it_trains_the_state_says_so_and_progress_can_be_read(story: Story) -> None:
    fractions = [progress["fraction"] for progress in story.progress]

    assert set(story.states[:-1]) == {"TR"}
    assert story.states[-1] == "CO"
    assert fractions == sorted(fractions)
    assert len(set(fractions)) > 3
    assert all(progress["num_epochs"] >= progress["epoch"] for progress in story.progress)
    assert any(progress["metrics"].get("loss", 0) > 0 for progress in story.progress)


def test_set_up_versions_and_predictions_agree_on_the_new_version(
    version: str, project: Project, story: Story, tandem: Tandem
) -> None:
    """C-025."""
    names = tandem.version_names(project.uid)

    assert len(names) == 2
    assert version == names[-1] == tandem.setup(project.uid, CONFIG)
    assert version in project.label_studio.get(f"/api/ml/{project.backend}/versions")["versions"]
    assert set(project.predicted(version)) == {picture.name for picture in OTHERS}


def test_digits_are_told_as_well_as_by_a_logistic_regression(version: str, project: Project) -> None:
    figure = accuracy(OTHERS, project.predicted(version))

    print(f"digits, 150 labels: {figure:.3f} of {len(OTHERS)} others")
    assert figure >= 0.91


def test_retrieving_predictions_again_asks_for_nothing(version: str, project: Project, tandem: Tandem) -> None:
    """C-041."""
    num_asked, num_stored = tandem.num_answered("contract.predict"), len(project.predictions())

    project.retrieve_predictions(OTHERS[:20])

    assert tandem.num_answered("contract.predict") == num_asked
    assert len(project.predictions()) == num_stored


def test_opening_a_task_in_the_label_stream_again_and_again_stores_one_prediction(
    version: str, project: Project
) -> None:
    """C-042."""
    opened = [project.label_studio.get(f"/api/projects/{project.id}/next")["id"] for _ in range(3)]

    assert opened == [project.task_ids[NEXT.name]] * 3
    assert [prediction["model_version"] for prediction in project.predictions(NEXT)] == [version]


def test_training_on_submission_does_not_delay_annotators(version: str, project: Project) -> None:
    """C-070."""
    without_s = [_submit(project, picture) for picture in SPARE[:4]]
    with training_on_submission(project):
        with_s = [_submit(project, picture) for picture in SPARE[4:8]]

    assert statistics.median(with_s) - statistics.median(without_s) < 1


def test_a_stopped_server_is_disconnected_and_as_it_was_when_it_is_back(
    version: str, project: Project, tandem: Tandem
) -> None:
    """C-026."""
    in_use, names = tandem.setup(project.uid, CONFIG), tandem.version_names(project.uid)

    tandem.end()
    stopped = project.connection()["state"]
    tandem.start()

    assert stopped == "DI"
    assert project.connection()["state"] == "CO"
    assert project.connection()["model_version"] == in_use
    assert tandem.version_names(project.uid) == names


def test_after_a_connection_is_removed_stray_events_are_answered(label_studio: LabelStudio, tandem: Tandem) -> None:
    """C-140."""
    project = label_studio.create_project("Removed", CONFIG)
    project.upload(SPARE)
    assert project.connect(tandem).status_code == 201
    assert label_studio.ask("DELETE", f"/api/ml/{project.backend}").status_code == 204
    num_before = tandem.num_answered("contract.webhook")

    project.annotate(SPARE)

    new = [event for event in tandem.events if event.get("route") == "contract.webhook"][num_before:]
    assert len(new) >= len(SPARE)
    assert {event["status"] for event in new} <= {200, 403}
    assert tandem.troubles == []


def test_an_interactive_request_without_a_model_is_an_empty_answer(version: str, project: Project) -> None:
    """C-058, as far as the server is concerned: the last prompt is gone, and so are the suggestions."""
    body = {"task": project.task_ids[OTHERS[0].name], "context": {"result": []}}

    answered = project.label_studio.post(f"/api/ml/{project.backend}/interactive-annotating", body)

    assert answered == {"data": {"result": [], "score": 0.0, "model_version": version}}


def test_the_doctor_finds_nothing_to_do(tandem: Tandem, project: Project) -> None:
    """C-137."""
    code, said = tandem.say("doctor")

    assert code == 0, said


def test_photos_are_told_as_well_as_by_a_small_network_trained_with_care(trash_project: Trained) -> None:
    figure = accuracy(trash_project.others, trash_project.project.predicted(trash_project.version))

    print(f"cls_trash, 144 labels: {figure:.3f} of {len(trash_project.others)} test photos")
    assert round(figure, 3) >= 0.667


def test_strict_validation_accepts_every_prediction(trash_project: Trained) -> None:
    """C-043; and a legacy token is as good as a personal access token."""
    assert len(trash_project.untrained) == len(trash_project.others)
    assert len(trash_project.project.predicted(trash_project.version)) == len(trash_project.others)
    assert trash_project.tandem.troubles == []


@contextmanager
def training_on_submission(project: Project) -> Iterator[None]:
    """Turn on "Start model training on annotation submission" for a while."""
    path = f"/api/projects/{project.id}/"
    for number in (1, 0):
        changed = project.label_studio.ask("PATCH", path, json={"min_annotations_to_start_training": number})
        assert changed.status_code == 200, changed.text
        if number:
            yield


def _submit(project: Project, picture: Picture) -> float:
    """Annotate a picture; return how long it took."""
    started = time.monotonic()
    project.annotate([picture])
    return time.monotonic() - started


def _await(claim: Any, what: str) -> None:
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while not claim():
        assert time.monotonic() < deadline, f"it did not come true that {what}"
        time.sleep(0.5)
