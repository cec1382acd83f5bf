"""All that agents do, on PostgreSQL, a Redis server and two web processes."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import requests
from e2e.agents import Agent, has_ended, make_agent
from e2e.databases import Postgres
from e2e.pictures import Picture, digits
from e2e.servers import Tandem, run_tandem
from PIL import Image

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PICTURES = [picture for picture in digits(160) if picture.label in "01"][:24]
LEARNT, OTHERS = PICTURES[:14], PICTURES[14:]
LABELS = {"name": "digit", "taskType": "classification", "labels": ["0", "1"]}
CAPACITY = 120
"""Calls that a key is good for at once."""


@dataclass(frozen=True)
class Scene:
    """What an agent made.

    Attributes:
        stranger: Shares nothing with `agent`.
        images: Ids by file name; all have a label, and the `OTHERS` are the test split.
        training: Completed.
    """

    agent: Agent
    stranger: Agent
    project: dict[str, Any]
    label_set: str
    images: dict[str, str]
    training: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/training/{self.training['id']}"


@pytest.fixture(scope="module")
def tandem(postgres: Postgres, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tandem]:
    settings = {"DATABASE_URL": postgres.make("mlp"), "REDIS_URL": redis_url, "TANDEM_WEB_WORKERS": "2"}
    with run_tandem(tmp_path_factory.mktemp("tandem"), **settings) as server:
        yield server
        assert server.troubles == []


@pytest.fixture(scope="module")
def scene(tandem: Tandem) -> Scene:
    agent, stranger = make_agent(tandem, "ann@example.com"), make_agent(tandem, "bob@example.com")
    project = agent.ask("POST", "/projects", json={"name": "digits"})
    images = agent.upload(project["id"], PICTURES)
    label_set = agent.ask("POST", f"/projects/{project['id']}/labelsets", json=LABELS)["id"]
    assert agent.label(label_set, PICTURES)["created"] == len(PICTURES)
    learnt = [images[picture.name] for picture in LEARNT]
    assign = {"train": learnt[4:], "val": learnt[:4], "test": [images[picture.name] for picture in OTHERS]}
    agent.ask("PUT", f"/projects/{project['id']}/splits", json={"strategy": "explicit", "assign": assign})
    run_id = agent.start(label_set, epochs=3, imageSize=32)
    training = agent.wait(f"/training/{run_id}", has_ended, "the training has ended")
    return Scene(agent, stranger, project, label_set, images, training)


def test_a_training_is_checked_started_watched_and_listed(scene: Scene) -> None:
    agent, training = scene.agent, scene.training

    assert (training["status"], training["error"]) == ("completed", None)
    assert training["dataset"] == {"train": 10, "val": 4, "test": 10, "labels": len(LEARNT)}
    assert training["log"] != []
    assert training["tokens"]["consumed"] == 1
    assert agent.ask("GET", f"{scene.path}?include=history")["history"] != []
    assert agent.answer("GET", f"{scene.path}/log").text != ""
    for owner in (f"/label-sets/{scene.label_set}", f"/projects/{scene.project['id']}"):
        assert [each["id"] for each in agent.ask("GET", f"{owner}/training")["items"]] == [training["id"]]
    assert agent.ask("PATCH", scene.path, json={"name": "first"})["name"] == "first"


def test_a_training_that_waits_is_checked_cancelled_and_deleted(scene: Scene) -> None:
    agent = scene.agent
    path = f"/label-sets/{scene.label_set}/training"
    described, started = (agent.ask("POST", path, json={"config": {"seed": seed}})["id"] for seed in (1, 2))

    checked = agent.ask("GET", f"/training/{described}/validation")
    agent.ask("POST", f"/training/{started}/start")
    cancelled = agent.ask("POST", f"/training/{started}/cancel")

    assert (checked["startable"], checked["problems"]) == (True, [])
    assert cancelled["status"] == "cancelled"
    for run_id in (described, started):
        agent.ask("DELETE", f"/training/{run_id}")
        assert agent.error("GET", f"/training/{run_id}") == (404, "NOT_FOUND")


def test_starts_at_once_are_one_start(scene: Scene) -> None:
    agent = scene.agent
    run_id = agent.ask("POST", f"/label-sets/{scene.label_set}/training", json={"config": {"seed": 3}})["id"]

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: agent.send("POST", f"/training/{run_id}/start").status_code, range(4)))

    agent.ask("POST", f"/training/{run_id}/cancel")
    assert said == [200] * 4


def test_what_is_inferred_evaluated_and_downloaded_agrees(scene: Scene) -> None:
    agent = scene.agent
    agent.ask("POST", f"{scene.path}/infer-all", json={"split": "test", "threshold": 0})
    agent.ask("POST", f"{scene.path}/evaluate", json={"split": "test"})

    answers = agent.wait(f"{scene.path}/infer-all/results", has_ended, "all images are answered")
    evaluated = agent.wait(f"{scene.path}/evaluate/results", has_ended, "the test split is evaluated")

    best = {one["imageId"]: one["predictions"][0]["label"] for one in answers["predictions"]}
    right = [best[scene.images[picture.name]] == picture.label for picture in OTHERS]
    assert answers["errors"] == []
    assert evaluated["metrics"]["accuracy"] == pytest.approx(sum(right) / len(OTHERS), abs=1e-3)
    one = scene.images[OTHERS[0].name]
    inferred = agent.ask("POST", f"{scene.path}/infer/{one}", json={"threshold": 0})
    assert inferred["predictions"][0]["label"] == best[one]
    assert onnxruntime.InferenceSession(agent.answer("GET", f"{scene.path}/download").content).get_inputs()
    link = agent.ask("GET", f"{scene.path}/download-link?format=pth")
    assert (
        requests.get(link["url"], timeout=30).content
        == agent.answer("GET", f"{scene.path}/download?format=pth").content
    )


def test_pages_hold_every_image_once(scene: Scene) -> None:
    pages = scene.agent.pages(f"/projects/{scene.project['id']}/images", limit=10)

    assert [len(page) for page in pages] == [10, 10, 4]
    assert {image["id"] for page in pages for image in page} == set(scene.images.values())


def test_an_image_is_shown_changed_and_deleted(scene: Scene) -> None:
    agent, project = scene.agent, scene.project["id"]
    [image] = agent.upload(project, [grey(200)]).values()
    said = f"/label-sets/{scene.label_set}/images/{image}/annotations"

    agent.ask("PATCH", f"/images/{image}", json={"split": "val"})
    agent.ask("PUT", said, json={"annotations": [{"label": "1"}]})

    told = agent.ask("GET", f"/images/{image}")
    assert (told["split"], told["labeledIn"]) == ("val", [scene.label_set])
    assert agent.answer("GET", f"/images/{image}/file").content == grey(200).content
    assert [each["label"] for each in agent.ask("GET", said)["annotations"]] == ["1"]
    agent.ask("DELETE", said)
    assert agent.ask("GET", said)["annotations"] == []
    agent.ask("DELETE", f"/images/{image}")
    assert agent.error("GET", f"/images/{image}") == (404, "NOT_FOUND")


def test_uploads_of_one_file_at_once_make_one_image(scene: Scene) -> None:
    agent, project = scene.agent, scene.project["id"]
    files = [[("files", (f"{number}.png", grey(7).content))] for number in range(8)]

    with ThreadPoolExecutor(len(files)) as pool:
        sent = list(pool.map(lambda each: agent.send("POST", f"/projects/{project}/images", files=each), files))

    assert {response.status_code for response in sent} == {201}, [response.text for response in sent]
    made = [response.json()["data"]["images"][0] for response in sent]
    assert len({image["id"] for image in made}) == 1
    assert sorted(image["duplicate"] for image in made) == [False] + [True] * 7
    agent.ask("DELETE", f"/images/{made[0]['id']}")


def test_what_is_exported_can_be_imported_elsewhere(scene: Scene) -> None:
    agent = scene.agent
    project = agent.ask("POST", "/projects", json={"name": "copy"})["id"]
    agent.upload(project, PICTURES)
    label_set = agent.ask("POST", f"/projects/{project}/label-sets", json=LABELS)["id"]
    exported = agent.ask("GET", f"/label-sets/{scene.label_set}/annotations/export?format=native")
    body = {"format": "native", "data": exported}

    tried = agent.ask("POST", f"/label-sets/{label_set}/annotations/import", json={**body, "dryRun": True})
    untouched = agent.ask("GET", f"/label-sets/{label_set}")["labeledImageCount"]
    told = agent.ask("POST", f"/label-sets/{label_set}/annotations/import", json=body)

    assert (tried["created"], untouched) == (len(PICTURES), 0)
    assert (told["created"], told["errors"], told["unmatched"]) == (len(PICTURES), [], [])
    label_set_now = agent.ask("PATCH", f"/label-sets/{label_set}", json={"labels": ["0", "1", "2"]})
    assert [label["name"] for label in label_set_now["labels"]] == ["0", "1", "2"]
    agent.ask("DELETE", f"/label-sets/{label_set}")
    agent.ask("DELETE", f"/projects/{project}")
    assert agent.error("GET", f"/projects/{project}") == (404, "NOT_FOUND")


def test_a_trained_model_answers_label_studio(scene: Scene) -> None:
    changed = scene.agent.ask(
        "PATCH", f"/label-sets/{scene.label_set}", json={"activeTrainingId": scene.training["id"]}
    )

    assert changed["activeTrainingId"] == scene.training["id"]


def test_members_share_what_strangers_cannot_tell_from_nothing(scene: Scene, tandem: Tandem) -> None:
    agent, stranger = scene.agent, scene.stranger
    workspace = f"/workspaces/{scene.project['workspaceId']}"
    foreign = [
        f"/projects/{scene.project['id']}",
        f"/label-sets/{scene.label_set}",
        f"/images/{next(iter(scene.images.values()))}",
        scene.path,
        workspace,
    ]
    hidden = [stranger.error("GET", path) for path in foreign]

    member = agent.ask("POST", f"{workspace}/members", json={"email": "bob@example.com"})
    shared = [stranger.send("GET", path).status_code for path in foreign]
    listed = {each["id"] for each in stranger.ask("GET", "/projects")["items"]}
    agent.ask("DELETE", f"{workspace}/members/{member['userId']}")

    assert hidden == [(404, "NOT_FOUND")] * len(foreign)
    assert shared == [200] * len(foreign)
    assert scene.project["id"] in listed
    assert [stranger.error("GET", path) for path in foreign] == hidden


def test_a_workspace_and_a_key_can_be_made_and_a_key_is_revoked_at_once(scene: Scene) -> None:
    agent = scene.agent
    workspace = agent.ask("POST", "/workspaces", json={"name": "Lab"})["id"]
    key = agent.ask("POST", "/keys", json={"name": "nightly", "scopes": ["projects:read"]})
    nightly = Agent(agent.url, key["secret"])

    assert workspace in {each["id"] for each in agent.ask("GET", "/workspaces")["items"]}
    assert nightly.send("GET", "/projects").ok
    assert nightly.error("POST", "/projects", json={"name": "no"}) == (403, "INSUFFICIENT_SCOPE")
    agent.ask("DELETE", f"/keys/{key['key']['id']}")
    assert {nightly.error("GET", "/projects") for _ in range(8)} == {(401, "API_KEY_INVALID")}
    assert agent.ask("GET", "/usage")


def test_the_project_is_a_backend_of_its_own(scene: Scene) -> None:
    """All nine operations of /api/ml."""
    agent = scene.agent

    def ask(method: str, path: str = "", **options: Any) -> Any:
        return agent.answer(method, f"/api/ml{path}", **options)

    made = ask("POST", json={"project": scene.project["number"], "url": "self", "title": "Tandem"}).json()
    path = f"/{made['id']}"
    assert made["id"] in {each["id"] for each in ask("GET", params={"project": scene.project["number"]}).json()}
    assert ask("GET", path).json()["title"] == "Tandem"
    assert ask("PATCH", path, json={"title": "Renamed"}).json()["title"] == "Renamed"
    assert scene.training["modelVersion"] in ask("GET", f"{path}/versions").json()["versions"]
    assert ask("POST", f"{path}/predict").ok
    assert ask("POST", f"{path}/train", json={"use_ground_truth": False}).ok
    task = agent.ask("GET", f"/images/{scene.images[OTHERS[0].name]}")["taskId"]
    said = agent.send("POST", f"/api/ml{path}/interactive-annotating", json={"task": task, "context": {"result": []}})
    assert said.status_code in (200, 400), said.text
    assert scene.stranger.send("GET", f"/api/ml{path}").status_code == 404
    assert ask("DELETE", path).status_code == 204


def test_a_full_bucket_is_good_for_one_burst_over_all_web_processes(tandem: Tandem) -> None:
    """M-006 and the HTTP part of S-006."""
    agent = make_agent(tandem, "eve@example.com")

    started_at = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(lambda _: agent.send("GET", "/me"), range(2 * CAPACITY)))
    num_came_back = math.ceil(time.monotonic() - started_at)

    refused = [response for response in said if response.status_code == 429]
    wait_s = [response.json()["error"]["details"]["retryAfterSeconds"] for response in refused]
    assert {response.status_code for response in said} == {200, 429}
    assert CAPACITY <= len(said) - len(refused) <= CAPACITY + num_came_back
    assert wait_s == [int(response.headers["Retry-After"]) for response in refused]
    assert min(wait_s) >= 1
    assert agent.answer("GET", "/me").ok


def test_what_is_tested_on_sqlite_holds_here(postgres: Postgres) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "tests/adapters/mlp"]

    told = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "TANDEM_TEST_POSTGRES": postgres.url}, capture_output=True, text=True
    )

    assert told.returncode == 0, told.stdout[-8000:]


def grey(level: int) -> Picture:
    """Return a picture that is not among the digits."""
    file = io.BytesIO()
    Image.new("L", (20, 20), level).save(file, "PNG")
    return Picture(f"grey-{level}.png", "", file.getvalue())
