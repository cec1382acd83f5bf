"""What an agent does with a key, requests and the served guide: from images to a model that runs elsewhere (M-031)."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import requests
from e2e.pictures import DATA, Picture, labels_of, trash
from e2e.servers import run_tandem
from PIL import Image

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


class Agent:
    """Knows an address and a key, and what /agents.md says."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.guide = self.session.get(f"{url}/agents.md", timeout=10).text
        self.session.headers["Authorization"] = f"Bearer {key}"

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request, of a kind that the guide names; wait as long as one is asked to."""
        template = re.sub(r"/(prj|img|lbs|trn)_\w+", "/{…}", path.partition("?")[0])
        pattern = re.escape(f"| `{method}` | `{template}` |").replace(re.escape("{…}"), r"\{\w+\}")
        assert re.search(pattern, self.guide), (method, template)
        response = self.session.request(method, self.url + path, timeout=120, **options)
        if response.status_code == 429:
            time.sleep(int(response.headers["Retry-After"]))
            return self.ask(method, path, **options)
        assert response.ok, response.text
        return response

    def data(self, method: str, path: str, **options: Any) -> Any:
        return self.ask(method, path, **options).json()["data"]

    def upload(self, project: str, pictures: list[Picture]) -> dict[str, str]:
        """Upload pictures, twenty at once; return their ids by name."""
        ids = {}
        for start in range(0, len(pictures), 20):
            files = [("files", (each.name, each.content)) for each in pictures[start : start + 20]]
            told = self.data("POST", f"/projects/{project}/images", files=files)
            assert (told["rejected"], told["dropped"]) == ([], 0)
            ids |= {image["filename"]: image["id"] for image in told["images"]}
        return ids

    def train(self, label_set: str) -> Any:
        """Create, start and wait."""
        training = self.data("POST", f"/label-sets/{label_set}/training", json={"config": {"maxMinutes": 1}})
        assert training["status"] == "pending"
        self.data("POST", f"/training/{training['id']}/start")
        return self.wait(f"/training/{training['id']}", lambda told: told)

    def wait(self, path: str, find: Any) -> Any:
        deadline = time.monotonic() + 600
        while True:
            told = self.data("GET", path)
            if find(told)["status"] in ("completed", "failed", "cancelled"):
                assert find(told)["status"] == "completed", told
                return told
            assert time.monotonic() < deadline, told
            time.sleep(2)

    def model(self, training: str) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(self.ask("GET", f"/training/{training}/download?format=onnx").content)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent of the first person on a fresh server."""
    with run_tandem(tmp_path_factory.mktemp("agent"), TANDEM_TRAIN_WITHIN_S="30") as server:
        code, said = server.say("keys", "create", "--user", "ann@example.com")
        found = re.search(r"mlp_live_\w{24}", said)
        assert code == 0, said
        assert found, said
        yield Agent(server.url, found[0])


def outputs(model: onnxruntime.InferenceSession, content: bytes) -> tuple[Any, dict[str, Any]]:
    """Run a downloaded model on a photo, as its metadata says; return its output, and what was said."""
    said = dict(model.get_modelmeta().custom_metadata_map)
    height, width = json.loads(said["inputSize"])
    photo = Image.open(io.BytesIO(content)).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(photo, dtype=np.float32).transpose(2, 0, 1)[None] * json.loads(said["normalization"])["scale"]
    return model.run(None, {"images": pixels.astype(np.float32)})[0][0], said


def test_photos_of_waste_become_a_classifier(agent: Agent) -> None:
    """Steps 1 to 13 of mlp.md §10, with classes."""
    learnt, others = trash("train")[::3], trash("test")[::6]
    assert agent.data("GET", "/me")["authSource"] == "apiKey"
    project = agent.data("POST", "/projects", json={"name": "waste"})["id"]
    ids = agent.upload(project, [*learnt, *others])
    label_set = agent.data(
        "POST",
        f"/projects/{project}/labelsets",
        json={"name": "kind", "taskType": "classification", "labels": labels_of(learnt)},
    )["id"]
    labels = "\n".join(f"{each.name},{each.label}" for each in [*learnt, *others])
    told = agent.data(
        "POST",
        f"/label-sets/{label_set}/annotations/import",
        json={"format": "csv", "data": f"filename,label\n{labels}\n"},
    )
    assert (told["created"], told["errors"], told["unmatched"]) == (len(learnt) + len(others), [], [])
    splits = {"train": [ids[each.name] for each in learnt[5:]], "val": [ids[each.name] for each in learnt[:5]]}
    splits["test"] = [ids[each.name] for each in others]
    agent.data("PUT", f"/projects/{project}/splits", json={"strategy": "explicit", "assign": splits})

    training = agent.train(label_set)

    agent.data("POST", f"/training/{training['id']}/evaluate", json={"split": "test"})
    evaluated = agent.wait(f"/training/{training['id']}/evaluate/results", lambda told: told["run"])
    model = agent.model(training["id"])
    right = 0
    for each in others:
        predicted = agent.data("POST", f"/training/{training['id']}/infer/{ids[each.name]}", json={"threshold": 0})
        probabilities, said = outputs(model, each.content)
        best = int(probabilities.argmax())
        assert json.loads(said["labels"])[best] == predicted["predictions"][0]["label"]
        assert predicted["predictions"][0]["score"] == pytest.approx(float(probabilities[best]), abs=0.05)
        right += predicted["predictions"][0]["label"] == each.label
    assert evaluated["metrics"]["accuracy"] == pytest.approx(right / len(others), abs=1e-3)
    assert said["modelVersion"] == training["modelVersion"]


def test_blood_cells_become_a_detector(agent: Agent) -> None:
    """Steps 1 to 13 of mlp.md §10, with boxes."""
    folder = DATA / "det_bccd"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing; TANDEM_TEST_DATA says where the data sets are")
    notes = sorted(Path(folder / "Annotations").glob("*.xml"))[:24]
    photos = [
        Picture(f"{each.stem}.jpg", "", (folder / "JPEGImages" / f"{each.stem}.jpg").read_bytes()) for each in notes
    ]
    project = agent.data("POST", "/projects", json={"name": "blood"})["id"]
    ids = agent.upload(project, photos)
    label_set = agent.data(
        "POST",
        f"/projects/{project}/labelsets",
        json={"name": "cells", "taskType": "detection", "labels": ["RBC", "WBC", "Platelets"]},
    )["id"]
    told = agent.data(
        "POST",
        f"/label-sets/{label_set}/annotations/import",
        json={"format": "voc", "data": {"files": {each.name: each.read_text() for each in notes}}},
    )
    assert told["matchedImages"] == len(notes)
    splits = agent.data(
        "PUT",
        f"/projects/{project}/splits",
        json={"strategy": "random", "ratios": {"train": 0.7, "val": 0.15, "test": 0.15}, "seed": 0},
    )
    assert sum(splits.values()) == len(notes)

    training = agent.train(label_set)

    agent.data("POST", f"/training/{training['id']}/infer-all", json={"split": "test", "threshold": 0.05})
    results = agent.wait(f"/training/{training['id']}/infer-all/results", lambda told: told["run"])
    assert (len(results["predictions"]), results["errors"]) == (splits["test"], [])
    model = agent.model(training["id"])
    name_of = {image_id: name for name, image_id in ids.items()}
    num_boxes = 0
    for predicted in results["predictions"]:
        maps, said = outputs(model, next(each.content for each in photos if each.name == name_of[predicted["imageId"]]))
        labels, powers = json.loads(said["labels"]), json.loads(said["reading"])["powers"]
        for box in predicted["predictions"]:
            k = labels.index(box["label"])
            assert np.abs(maps[k] ** powers[k] - box["score"]).min() < 0.05  # we decode large photos reduced
            num_boxes += 1
    assert num_boxes > 0
