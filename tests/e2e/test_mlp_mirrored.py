"""An agent's project in a real Label Studio: it uploads, a person annotates there, it trains, they see predictions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from e2e.agents import Agent, has_ended, make_agent
from e2e.pictures import Picture, labels_of, trash
from e2e.servers import RUN_TIMEOUT_S, LabelStudio, Project, Tandem, run_tandem

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Story:
    """What was there after each step.

    Attributes:
        images: Ids by file name.
        there: The project as people see it.
        training: The agent's, completed.
    """

    agent: Agent
    tandem: Tandem
    project: dict[str, Any]
    label_set: dict[str, Any]
    images: dict[str, str]
    there: Project
    learnt: list[Picture]
    others: list[Picture]
    training: dict[str, Any]


@pytest.fixture(scope="module")
def story(label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    learnt, others = _some(trash("train"), 10), _some(trash("test"), 4)
    settings = {
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.personal_access_token,
        "TANDEM_TRAIN_EVERY": "0",
    }
    with run_tandem(tmp_path_factory.mktemp("mirrored"), **settings) as tandem:
        agent = make_agent(tandem)
        project = agent.ask("POST", "/projects", json={"name": "Waste of agents"})
        label_set = agent.ask(
            "POST",
            f"/projects/{project['id']}/labelsets",
            json={"name": "kind", "taskType": "classification", "labels": labels_of(learnt)},
        )
        images = agent.upload(project["id"], learnt)
        said = f"/label-sets/{label_set['id']}/images/{images[learnt[0].name]}/annotations"
        agent.ask("PUT", said, json={"annotations": [{"label": learnt[0].label}]})
        agent.ask("PATCH", f"/projects/{project['id']}", json={"labelStudio": {"create": True}})
        path = f"/projects/{project['id']}"
        linked = agent.wait(path, lambda found: found["labelStudio"]["projectId"], "the project is there")
        images |= agent.upload(project["id"], others)
        there = Project(label_studio, linked["labelStudio"]["projectId"], "", "")
        agent.wait(path, lambda _: len(there.tasks()) == len(images), "all images are there")
        _connected(there)
        name_of = {image_id: name for name, image_id in images.items()}
        there.task_ids = {name_of[task["data"]["tandem_id"]]: task["id"] for task in there.tasks()}

        there.annotate(learnt[1:])
        labelled = f"/label-sets/{label_set['id']}"
        agent.wait(labelled, lambda found: found["labeledImageCount"] == len(learnt), "all labels are here")
        run_id = agent.start(label_set["id"], epochs=10)
        training = agent.wait(f"/training/{run_id}", has_ended, "it has ended")
        yield Story(agent, tandem, project, label_set, images, there, learnt, others, training)


def test_every_image_is_one_task(story: Story) -> None:
    tasks = story.there.tasks()

    assert sorted(task["data"]["tandem_id"] for task in tasks) == sorted(story.images.values())


def test_label_studio_shows_the_very_file_that_was_uploaded(story: Story) -> None:
    picture = story.others[0]
    address = next(
        task["data"]["image"] for task in story.there.tasks() if task["id"] == story.there.task_ids[picture.name]
    )

    assert requests.get(address, timeout=30).content == picture.content


def test_what_the_agent_said_before_is_an_annotation_there(story: Story) -> None:
    first = story.there.task_ids[story.learnt[0].name]
    annotations = {task["id"]: task["annotations"] for task in story.there.tasks()}

    [said] = annotations[first]
    assert said["result"][0]["value"] == {"choices": [story.learnt[0].label]}
    assert {len(about) for task_id, about in annotations.items() if task_id != first} == {0, 1}


def test_what_the_person_said_is_what_the_agent_reads(story: Story) -> None:
    found = [[(each["label"], each["source"]) for each in _annotations(story, picture)] for picture in story.learnt]

    own, *others = ([(picture.label, "human")] for picture in story.learnt)
    assert found == [[(own[0][0], "agent")], *others]


def test_the_agents_training_completes(story: Story) -> None:
    assert (story.training["status"], story.training["error"]) == ("completed", None)
    assert story.training["dataset"]["train"] + story.training["dataset"]["val"] == len(story.learnt)


def test_its_predictions_are_seen_in_label_studio(story: Story) -> None:
    story.there.retrieve_predictions(story.others)

    predicted = story.there.predicted(story.training["modelVersion"])
    assert sorted(predicted) == sorted(picture.name for picture in story.others)
    inferred = {
        picture.name: story.agent.ask(
            "POST",
            f"/training/{story.training['id']}/infer/{story.images[picture.name]}",
            json={"threshold": 0},
        )["predictions"]
        for picture in story.others
    }
    assert predicted == {name: max(found, key=lambda each: each["score"])["label"] for name, found in inferred.items()}


def test_what_it_finds_in_a_split_is_seen_there_and_nothing_else(story: Story) -> None:
    before = story.there.predicted(story.training["modelVersion"])
    chosen = story.learnt[:2]
    for picture in chosen:
        story.agent.ask("PATCH", f"/images/{story.images[picture.name]}", json={"split": "test"})

    path = f"/training/{story.training['id']}/infer-all"
    story.agent.ask("POST", path, json={"split": "test"})
    run = story.agent.wait(f"{path}/results", has_ended, "all images are answered")["run"]

    assert (run["status"], run["total"], run["error"]) == ("completed", 2, None)
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while len(after := story.there.predicted(story.training["modelVersion"])) < len(before) + 2:
        assert time.monotonic() < deadline, "the predictions are not there"
        time.sleep(0.5)
    assert sorted(after) == sorted([*before, *(picture.name for picture in chosen)])


def test_a_new_label_set_can_be_answered_there(story: Story) -> None:
    story.agent.ask(
        "POST",
        f"/projects/{story.project['id']}/labelsets",
        json={"name": "things", "taskType": "detection", "labels": ["lid"]},
    )

    path = f"/projects/{story.project['id']}"
    config = f"/api/projects/{story.there.id}/"
    story.agent.wait(
        path, lambda _: "lid" in story.there.label_studio.get(config)["label_config"], "the label is there"
    )
    names = [each["name"] for each in story.agent.ask("GET", path)["labelSets"]]
    assert names == ["kind", "things"]
    assert story.agent.ask("GET", path)["labelStudio"]["error"] is None


def test_nothing_went_wrong(story: Story) -> None:
    assert story.tandem.troubles == []


def _some(pictures: list[Picture], number: int) -> list[Picture]:
    """Return so many pictures of each of two labels that are easily told apart."""
    wanted = ("cardboard", "glass")
    return [picture for label in wanted for picture in [each for each in pictures if each.label == label][:number]]


def _connected(there: Project) -> None:
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while not (found := there.label_studio.get("/api/ml/", project=there.id)):
        assert time.monotonic() < deadline, "the project is not connected"
        time.sleep(0.5)
    there.backend = found[0]["id"]


def _annotations(story: Story, picture: Picture) -> list[dict[str, Any]]:
    path = f"/label-sets/{story.label_set['id']}/images/{story.images[picture.name]}/annotations"
    return list(story.agent.ask("GET", path)["annotations"])
