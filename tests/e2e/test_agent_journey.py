"""What an agent does with a key, requests and the served guide: from images to a model that runs elsewhere (M-031)."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import requests
from e2e.agents import Agent, has_ended, make_agent
from e2e.pictures import DATA, Picture, labels_of, trash
from e2e.servers import run_tandem
from PIL import Image

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


class Reader(Agent):
    """Asks for nothing that /agents.md does not name."""

    @cached_property
    def guide(self) -> str:
        return requests.get(f"{self.url}/agents.md", timeout=10).text

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        template = re.sub(r"/(prj|img|lbs|trn)_\w+", "/{…}", path.partition("?")[0])
        pattern = re.escape(f"| `{method}` | `{template}` |").replace(re.escape("{…}"), r"\{\w+\}")
        assert re.search(pattern, self.guide), (method, template)
        return super().send(method, path, **options)

    def train(self, label_set: str) -> Any:
        """Create, start and wait."""
        training = self.wait(f"/training/{self.start(label_set)}", has_ended, "the training has ended")
        assert training["status"] == "completed", training
        return training

    def model(self, training: str) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(self.answer("GET", f"/training/{training}/download?format=onnx").content)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """An agent of the first person on a fresh server."""
    with run_tandem(tmp_path_factory.mktemp("agent"), TANDEM_TRAIN_WITHIN_S="15") as server:
        yield Reader(server.url, make_agent(server).key)


def outputs(model: onnxruntime.InferenceSession, content: bytes) -> tuple[Any, dict[str, Any]]:
    """Run a downloaded model on a photo, as its metadata says; return its output, and what was said."""
    said = dict(model.get_modelmeta().custom_metadata_map)
    height, width = json.loads(said["inputSize"])
    photo = Image.open(io.BytesIO(content)).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(photo, dtype=np.float32).transpose(2, 0, 1)[None] * json.loads(said["normalization"])["scale"]
    return model.run(None, {"images": pixels.astype(np.float32)})[0][0], said


def test_photos_of_waste_become_a_classifier(agent: Reader) -> None:
    """Steps 1 to 13 of mlp.md §10, with classes."""
    learnt, others = trash("train")[::3], trash("test")[::6]
    assert agent.ask("GET", "/me")["authSource"] == "apiKey"
    project = agent.ask("POST", "/projects", json={"name": "waste"})["id"]
    ids = agent.upload(project, [*learnt, *others])
    label_set = agent.ask(
        "POST",
        f"/projects/{project}/labelsets",
        json={"name": "kind", "taskType": "classification", "labels": labels_of(learnt)},
    )["id"]
    told = agent.label(label_set, [*learnt, *others])
    assert (told["created"], told["errors"], told["unmatched"]) == (len(learnt) + len(others), [], [])
    splits = {"train": [ids[each.name] for each in learnt[5:]], "val": [ids[each.name] for each in learnt[:5]]}
    splits["test"] = [ids[each.name] for each in others]
    agent.ask("PUT", f"/projects/{project}/splits", json={"strategy": "explicit", "assign": splits})

    training = agent.train(label_set)

    agent.ask("POST", f"/training/{training['id']}/evaluate", json={"split": "test"})
    evaluated = agent.wait(f"/training/{training['id']}/evaluate/results", has_ended, "it is evaluated")
    model = agent.model(training["id"])
    right = 0
    for each in others:
        predicted = agent.ask("POST", f"/training/{training['id']}/infer/{ids[each.name]}", json={"threshold": 0})
        probabilities, said = outputs(model, each.content)
        best = int(probabilities.argmax())
        assert json.loads(said["labels"])[best] == predicted["predictions"][0]["label"]
        assert predicted["predictions"][0]["score"] == pytest.approx(float(probabilities[best]), abs=0.05)
        right += predicted["predictions"][0]["label"] == each.label
    assert evaluated["metrics"]["accuracy"] == pytest.approx(right / len(others), abs=1e-3)
    assert said["modelVersion"] == training["modelVersion"]


def test_blood_cells_become_a_detector(agent: Reader) -> None:
    """Steps 1 to 13 of mlp.md §10, with boxes."""
    folder = DATA / "det_bccd"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing; TANDEM_TEST_DATA says where the data sets are")
    notes = sorted(Path(folder / "Annotations").glob("*.xml"))[:24]
    photos = [
        Picture(f"{each.stem}.jpg", "", (folder / "JPEGImages" / f"{each.stem}.jpg").read_bytes()) for each in notes
    ]
    project = agent.ask("POST", "/projects", json={"name": "blood"})["id"]
    ids = agent.upload(project, photos)
    label_set = agent.ask(
        "POST",
        f"/projects/{project}/labelsets",
        json={"name": "cells", "taskType": "detection", "labels": ["RBC", "WBC", "Platelets"]},
    )["id"]
    told = agent.ask(
        "POST",
        f"/label-sets/{label_set}/annotations/import",
        json={"format": "voc", "data": {"files": {each.name: each.read_text() for each in notes}}},
    )
    assert told["matchedImages"] == len(notes)
    splits = agent.ask(
        "PUT",
        f"/projects/{project}/splits",
        json={"strategy": "random", "ratios": {"train": 0.7, "val": 0.15, "test": 0.15}, "seed": 0},
    )
    assert sum(splits.values()) == len(notes)

    training = agent.train(label_set)

    agent.ask("POST", f"/training/{training['id']}/infer-all", json={"split": "test", "threshold": 0.05})
    results = agent.wait(f"/training/{training['id']}/infer-all/results", has_ended, "all images are answered")
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
