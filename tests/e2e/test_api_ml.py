"""/api/ml through Label Studio's SDK: in front of a real Label Studio, and on our own with a hosted model."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
import requests
from e2e.agents import make_agent
from e2e.pictures import digits, label_config
from e2e.servers import LabelStudio, Tandem, run_tandem
from label_studio_sdk import LabelStudio as Sdk
from processes import RunningServer, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
Ask = Callable[..., requests.Response]
T = TypeVar("T")
MODEL = """
from urllib.request import urlopen

from label_studio_ml.model import LabelStudioMLBase


class Mine(LabelStudioMLBase):
    def predict(self, tasks, context=None, **kwargs):
        control, item, _ = self.label_interface.get_first_tag_occurence("Choices", "Image")
        found = []
        for task in tasks:
            is_picture = urlopen(task["data"]["image"]).read().startswith(b"\\x89PNG")
            choice = {"from_name": control, "to_name": item, "type": "choices", "value": {"choices": ["0"]}}
            found.append({"result": [choice] * is_picture, "score": 0.5})
        return found

    def fit(self, event, data, **kwargs):
        self.set("model_version", "second")
"""


def make_key(tandem: Tandem) -> str:
    """Return a key of the only user, who is created where there is none."""
    code, said = tandem.say("keys", "create", "--user", "ann@example.com")
    found = re.search(r"mlp_live_\w{24}", said)
    assert code == 0, said
    assert found, said
    return found[0]


@contextlib.contextmanager
def sdk_of(url: str, key: str) -> Iterator[Sdk]:
    """Return Label Studio's own client, unmodified, whose connections are closed afterwards."""
    with httpx.Client(timeout=60) as client:
        yield Sdk(base_url=url, api_key=key, httpx_client=client)


def asking(url: str, key: str) -> Ask:
    """Return what asks an /api/ml."""

    def ask(method: str, path: str, **options: object) -> requests.Response:
        return requests.request(
            method, f"{url}/api/ml{path}", headers={"Authorization": f"Token {key}"}, timeout=100, **options
        )

    return ask


def round_trip(ask: Ask, project_id: int, tandem: Tandem) -> list[tuple[str, int]]:
    """Do all that may be done with a backend, and some that may not; return the statuses."""
    user, password = tandem.auth
    auth = {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}
    about = {"project": project_id, "url": tandem.url}
    steps: list[tuple[str, int]] = []

    def step(name: str, *arguments: str, **options: object) -> requests.Response:
        response = ask(*arguments, **options)
        steps.append((name, response.status_code))
        return response

    step("nobody there", "POST", "/", json={"project": project_id, "url": "http://127.0.0.1:9"})
    step("nothing said", "POST", "/", json={})
    made = step("create", "POST", "/", json={**about, **auth, "title": "Tandem"}).json()
    path = f"/{made['id']}"
    step("list", "GET", f"/?project={project_id}")
    step("list nothing", "GET", "/?project=987654")
    step("get", "GET", path)
    step("patch", "PATCH", path, json={**about, **auth, "title": "Renamed"})
    step("train", "POST", f"{path}/train", json={})
    step("versions", "GET", f"{path}/versions")
    step("not interactive", "POST", f"{path}/interactive-annotating", json={"task": 1})
    step("delete", "DELETE", path)
    step("gone", "GET", path)
    return steps


def test_statuses_are_those_of_label_studio(label_studio: LabelStudio, tandem: Tandem) -> None:
    """N-014."""
    ours, theirs = asking(tandem.url, make_key(tandem)), asking(label_studio.url, label_studio.token)
    projects = [label_studio.create_project(f"Round trip {number}", label_config(["a", "b"])) for number in (1, 2)]

    direct = round_trip(theirs, projects[0].id, tandem)
    through = round_trip(ours, projects[1].id, tandem)

    print(direct)
    assert through == direct
    assert dict(through)["create"] == 201
    assert dict(through)["delete"] == 204
    assert tandem.troubles == []


def test_label_studios_own_token_passes_through(label_studio: LabelStudio, tandem: Tandem) -> None:
    """N-014."""
    project = label_studio.create_project("With a token", label_config(["a", "b"]))

    listed = []
    for url in (label_studio.url, tandem.url):
        with sdk_of(url, label_studio.token) as sdk:
            listed.append(sdk.ml.list(project=project.id))

    assert listed == [[], []]


def test_all_tasks_are_predicted_although_label_studio_cannot_ask_for_it(
    label_studio: LabelStudio, tmp_path: Path
) -> None:
    """N-011, N-014."""
    pictures = [picture for picture in digits(120) if picture.label in "01"]
    learnt, others = pictures[:12], pictures[12:24]
    project = label_studio.create_project("Zeros and ones", label_config(["0", "1"]))
    project.upload([*learnt, *others])
    settings = {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.token}
    settings |= {"TANDEM_TRAIN_EVERY": "0", "TANDEM_TRAIN_WITHIN_S": "5"}
    with run_tandem(tmp_path, **settings) as tandem, sdk_of(tandem.url, make_key(tandem)) as sdk:
        user, password = tandem.auth
        made = sdk.ml.create(
            project=project.id,
            url=tandem.url,
            auth_method="BASIC_AUTH",
            basic_auth_user=user,
            basic_auth_pass=password,
        )
        project.annotate(learnt)
        sdk.ml.train(made.id)
        [run] = tandem.runs(project.uid)
        tandem.await_completed(run["id"])
        version = sdk.ml.get(made.id).model_version

        sdk.ml.predict_all_tasks(made.id, batch_size=5)
        wait_for(lambda: len(project.predicted(version)) == 5, "five tasks are predicted")
        wait_for(lambda: _is_idle(tandem, project.uid), "the job has ended")
        sdk.ml.predict_all_tasks(made.id)
        wait_for(lambda: len(project.predicted(version)) == len(learnt) + len(others), "all tasks are predicted")

        assert sdk.ml.list_model_versions(made.id).versions == [version]
        assert len(project.predictions()) == len(learnt) + len(others)


def _is_idle(tandem: Tandem, uid: str) -> bool:
    return bool(tandem.project(uid)["state"] == "CO")


def slowly(ask: Callable[[int], T], backend_id: int) -> T:
    """Ask at most twice a second, as a key may in the long run."""
    time.sleep(0.5)
    return ask(backend_id)


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[RunningServer]:
    """A model of somebody's, served unmodified."""
    folder = tmp_path / "hosted"
    folder.mkdir()
    (folder / "model.py").write_text(MODEL)
    server = RunningServer(folder)
    start(server)
    yield server
    server.stop(signal.SIGINT)


def start(server: RunningServer) -> None:
    with (server.folder / "up.log").open("ab") as log:
        server.process = server.tandem("host", str(server.folder / "model.py"), output=log)
    server.await_health()


def test_a_hosted_model_is_registered_trained_and_watched(hosted: RunningServer, tmp_path: Path) -> None:
    """N-004, N-008, N-009, N-013."""
    with run_tandem(tmp_path) as tandem, sdk_of(tandem.url, make_key(tandem)) as sdk:
        tandem.setup("7.1795203195", label_config(["a", "b"]))

        made = sdk.ml.create(project=7, url=hosted.url, is_interactive=True)
        sdk.ml.train(made.id)
        wait_for(lambda: slowly(sdk.ml.get, made.id).model_version == "second", "the model has learnt")
        wait_for(lambda: slowly(sdk.ml.get, made.id).state == "CO", "the training has ended")
        versions = sdk.ml.list_model_versions(made.id).versions
        hosted.stop(signal.SIGINT)
        down = sdk.ml.get(made.id)
        start(hosted)
        wait_for(lambda: slowly(sdk.ml.get, made.id).state == "CO", "it is back")
        sdk.ml.delete(made.id)

        assert (made.state, made.model_version) == ("CO", "0.0.1")
        assert versions[0] == "second"
        assert (down.state, down.readable_state) == ("DI", "Disconnected")
        assert sdk.ml.list(project=7) == []
        assert tandem.troubles == []


def test_a_hosted_model_predicts_images_that_an_agent_uploaded(hosted: RunningServer, tmp_path: Path) -> None:
    """N-011: of this server's own project, by another ML backend."""
    with run_tandem(tmp_path) as tandem:
        agent = make_agent(tandem)
        project = agent.ask("POST", "/projects", json={"name": "Digits"})
        agent.upload(project["id"], digits(12))
        agent.ask(
            "POST",
            f"/projects/{project['id']}/labelsets",
            json={"name": "digit", "taskType": "classification", "labels": ["0", "1"]},
        )
        ask = asking(tandem.url, agent.key)
        made = ask("POST", "", json={"project": project["number"], "url": hosted.url}).json()
        path = f"/{made['id']}"

        answered, during = [], []
        for query in ("?batch_size=5", "", ""):
            answered.append(ask("POST", f"{path}/predict{query}").json())
            during.append(ask("GET", path).json()["state"])
            wait_for(
                lambda: slowly(lambda _: ask("GET", path), made["id"]).json()["state"] == "CO", "the job has ended"
            )
        tried = ask("POST", f"{path}/predict/test?random=true").json()

        assert [each["tasks"] for each in answered] == [5, 7, 0]
        assert during[0] == "PR"
        [said] = tried["task"]["predictions"]
        assert (said["model_version"], said["score"]) == (made["model_version"], 0.5)
        assert said["result"] == tried["response"][0]["result"] != []
        assert tandem.troubles == []
