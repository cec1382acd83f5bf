"""One scenario, told three times: over HTTP, with tools, and on the command line (agent-surface.md §12, 2)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest
import requests
from e2e.pictures import Picture, digits, labels_of
from e2e.servers import Tandem, run_tandem
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from processes import TANDEM
from pydantic.alias_generators import to_snake

from adapters.replies import Reply, read
from adapters.verbs import Place, verbs
from adapters.web import SPOKEN

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

VERBS = {verb.tool or verb.operation.name: verb for verb in verbs(SPOKEN)}
PICTURES = digits(36)
CONFIG = {"epochs": 2, "imageSize": 32, "maxMinutes": 1}


class Speaker(Protocol):
    """Someone who can say everything that the scenario needs."""

    def say(self, tool: str, **given: Any) -> Any:
        """Ask for what a tool does; return the data."""

    def upload(self, project: str, pictures: list[Picture]) -> Any: ...

    def label(self, label_set: str, image: str, annotations: list[dict[str, Any]]) -> Any: ...

    def split(self, project: str, assign: dict[str, list[str]]) -> Any: ...

    def bring(self, label_set: str, rows: str) -> Any:
        """Import classes as CSV."""

    def fetch_model(self, training: str) -> str:
        """Return the SHA-256 of the ONNX file."""


class OverHttp:
    """A script with requests."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"

    def say(self, tool: str, **given: Any) -> Any:
        asked = VERBS[tool].ask(given)
        answered = self.session.request(asked.method, self.url + asked.target, json=asked.body, timeout=60)
        return read(Reply(answered.status_code, {}, answered.content))

    def upload(self, project: str, pictures: list[Picture]) -> Any:
        files = [("files", (each.name, each.content)) for each in pictures]
        answered = self.session.post(f"{self.url}/projects/{project}/images", files=files, timeout=60)
        return answered.json()["data"]

    def label(self, label_set: str, image: str, annotations: list[dict[str, Any]]) -> Any:
        return self.say("set-annotations", labelSetId=label_set, imageId=image, annotations=annotations)

    def split(self, project: str, assign: dict[str, list[str]]) -> Any:
        return self.say("set-splits", projectId=project, strategy="explicit", assign=assign)

    def bring(self, label_set: str, rows: str) -> Any:
        return self.say("import-annotations", labelSetId=label_set, format="csv", data=rows)

    def fetch_model(self, training: str) -> str:
        path = f"/training/{training}/download?format=onnx"
        return hashlib.sha256(self.session.get(self.url + path, timeout=60).content).hexdigest()


class WithTools:
    """A coding agent."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key

    def say(self, tool: str, **given: Any) -> Any:
        async def call() -> Any:
            headers = {"Authorization": f"Bearer {self.key}"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=60) as http,
                Client(streamable_http_client(f"{self.url}/mcp", http_client=http)) as client,
            ):
                return await client.call_tool(tool, given)

        result = asyncio.run(call())
        assert not result.is_error, result.content
        return result.structured_content

    def upload(self, project: str, pictures: list[Picture]) -> Any:
        images = [{"filename": each.name, "base64": b64encode(each.content).decode()} for each in pictures]
        return self.say("upload-images", projectId=project, images=images)

    def label(self, label_set: str, image: str, annotations: list[dict[str, Any]]) -> Any:
        return self.say("set-annotations", labelSetId=label_set, imageId=image, annotations=annotations)

    def split(self, project: str, assign: dict[str, list[str]]) -> Any:
        return self.say("set-splits", projectId=project, strategy="explicit", assign=assign)

    def bring(self, label_set: str, rows: str) -> Any:
        return self.say("import-annotations", labelSetId=label_set, format="csv", data=rows)

    def fetch_model(self, training: str) -> str:
        return str(self.say("get-model-download", trainingId=training, format="onnx")["sha256"])


class OnTheCommandLine:
    """Somebody at a terminal, or a CI job."""

    def __init__(self, server: Tandem, key: str, folder: Path) -> None:
        self.folder = folder
        self.environment = {**server.environment, "TANDEM_API_KEY": key, "TANDEM_BASE_URL": server.url}

    def run(self, *words: str) -> Any:
        done = subprocess.run((*TANDEM, *words, "--json"), env=self.environment, capture_output=True, timeout=120)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def say(self, tool: str, **given: Any) -> Any:
        verb = VERBS[tool]
        words = verb.command.split()
        words += [str(given[each.name]) for each in verb.arguments if each.place is Place.PATH]
        for argument in verb.arguments:
            if argument.place is not Place.PATH and argument.name in given:
                words += _option(argument.name, given[argument.name])
        return self.run(*words)

    def upload(self, project: str, pictures: list[Picture]) -> Any:
        folder = self.folder / "pictures"
        folder.mkdir()
        for each in pictures:
            (folder / each.name).write_bytes(each.content)
        return self.run("images", "upload", project, *(str(folder / each.name) for each in pictures))

    def label(self, label_set: str, image: str, annotations: list[dict[str, Any]]) -> Any:
        return self.run("labels", "set", label_set, image, json.dumps(annotations))

    def split(self, project: str, assign: dict[str, list[str]]) -> Any:
        return self.run("splits", "set", project, "--assign", json.dumps(assign))

    def bring(self, label_set: str, rows: str) -> Any:
        file = self.folder / "labels.csv"
        file.write_text(rows)
        return self.run("labels", "import", label_set, "--format", "csv", str(file))

    def fetch_model(self, training: str) -> str:
        file = self.folder / "model.onnx"
        self.run("models", "download", training, "--format", "onnx", "--output", str(file))
        return hashlib.sha256(file.read_bytes()).hexdigest()


def _option(name: str, value: Any) -> list[str]:
    option = "--" + to_snake(name).replace("_", "-")
    match value:
        case bool():
            return [option if value else option.replace("--", "--no-", 1)]
        case str() | int() | float():
            return [option, str(value)]
        case list() if all(isinstance(each, str) for each in value):
            return [word for each in value for word in (option, each)]
    return [option, json.dumps(value)]


def scenario(speaker: Speaker) -> dict[str, Any]:
    """Rows 8 to 35 of agent-surface.md §9, but for what needs waiting twice; return all that was said."""
    told: dict[str, Any] = {}
    say = speaker.say
    told["create-project"] = say("create-project", name="digits", description="handwritten")
    project = {"projectId": told["create-project"]["id"]}
    told["update-project"] = say("update-project", **project, description="written by hand")
    told["upload-images"] = speaker.upload(project["projectId"], PICTURES[:20])
    ids = {image["filename"]: image["id"] for image in told["upload-images"]["images"]}
    image = {"imageId": ids[PICTURES[0].name]}
    told["list-images"] = say("list-images", **project, limit=3)
    told["get-image"] = say("get-image", **image)
    told["update-image"] = say("update-image", **image, split="val")
    labels = labels_of(PICTURES)
    told["create-label-set"] = say(
        "create-label-set", **project, name="digit", taskType="classification", labels=labels
    )
    label_set = {"labelSetId": told["create-label-set"]["id"]}
    rows = "\n".join(["filename,label", *(f"{each.name},{each.label}" for each in PICTURES[:20])])
    told["import-annotations"] = speaker.bring(label_set["labelSetId"], rows)
    told["get-annotations"] = say("get-annotations", **label_set, **image)
    said = [{"label": PICTURES[0].label}]
    told["set-annotations"] = speaker.label(label_set["labelSetId"], image["imageId"], said)
    told["update-label-set"] = say("update-label-set", **label_set, name="digits")
    told["list-label-sets"] = say("list-label-sets", **project)
    told["get-label-set"] = say("get-label-set", **label_set)
    splits = {"train": [ids[each.name] for each in PICTURES[4:20]], "val": [ids[each.name] for each in PICTURES[:4]]}
    told["set-splits"] = speaker.split(project["projectId"], splits)
    told["create-training"] = say("create-training", **label_set, config=CONFIG)
    training = {"trainingId": told["create-training"]["id"]}
    told["update-training"] = say("update-training", **training, name="first")
    told["validate-training"] = say("validate-training", **training)
    told["start-training"] = say("start-training", **training)
    told["get-training"] = until_ended(lambda: say("get-training", **training), lambda told: told)
    told["list-trainings"] = say("list-trainings", **label_set)
    told["get-model-download"] = say("get-model-download", **training, format="onnx")
    assert speaker.fetch_model(training["trainingId"]) == told["get-model-download"]["sha256"]
    told["promote-model"] = say("promote-model", **label_set, activeTrainingId=training["trainingId"])
    told["infer-image"] = say("infer-image", **training, **image, threshold=0)
    say("infer-all", **training, split="val", threshold=0)
    told["get-batch-results"] = until_ended(lambda: say("get-batch-results", **training), lambda told: told["run"])
    evaluation = {**training, "runId": say("evaluate-model", **training, split="val")["run"]["id"]}
    told["get-evaluation"] = until_ended(lambda: say("get-evaluation", **evaluation), lambda told: told["run"])
    told["get-project"] = say("get-project", **project, imageLimit=1)
    told["clear-annotations"] = say("clear-annotations", **label_set, **image)
    told["delete-image"] = say("delete-image", **image)
    told["delete-project"] = say("delete-project", **project)
    return told


def until_ended(ask: Callable[[], Any], find: Callable[[Any], Any]) -> Any:
    deadline = time.monotonic() + 300
    while True:
        told = ask()
        if find(told)["status"] in ("completed", "failed", "cancelled"):
            assert find(told)["status"] == "completed", told
            return told
        assert time.monotonic() < deadline, told
        time.sleep(1)


_ID = re.compile(r"\b(?:[a-z]+_)?[0-7][0-9a-hjkmnp-tv-z]{25}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_SIGNATURE = re.compile(r"sig=[\w.-]+")
_VERSION = re.compile(r"\b\w+-v\d+-[0-9a-f]{8}\b")
_MEASURED = {"number", "taskId", "inferenceMs", "log", "jobId"}
"""Counted over the whole server, or measured."""


def comparable(told: Any) -> Any:
    """Return what was said without ids and times; two trainings of the same data learn the same."""
    match told:
        case Mapping():
            return {name: comparable(value) for name, value in told.items() if name not in _MEASURED}
        case list():
            return [comparable(each) for each in told]
        case str():
            for pattern in (_SIGNATURE, _ID, _TIME, _VERSION):
                told = pattern.sub("…", told)
            return told
        case float():
            return round(told, 3)
    return told


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tandem]:
    with run_tandem(tmp_path_factory.mktemp("scenario"), TANDEM_TRAIN_WITHIN_S="20") as running:
        yield running


def test_a_scenario_comes_to_the_same_over_http_with_tools_and_on_the_command_line(
    server: Tandem, tmp_path: Path
) -> None:
    """S-002."""
    keys = []
    for _ in range(3):  # a key each: a bucket of requests each
        _, said = server.say("keys", "create", "--user", "ann@example.com")
        found = re.search(r"mlp_live_\w{24}", said)
        assert found, said
        keys.append(found[0])

    over_http = scenario(OverHttp(server.url, keys[0]))
    with_tools = scenario(WithTools(server.url, keys[1]))
    on_the_command_line = scenario(OnTheCommandLine(server, keys[2], tmp_path))

    for tool, said in over_http.items():
        if VERBS[tool].operation.status == 204:
            assert said is None
            continue
        assert comparable(with_tools[tool]) == comparable(said), tool
        assert comparable(on_the_command_line[tool]) == comparable(said), tool
