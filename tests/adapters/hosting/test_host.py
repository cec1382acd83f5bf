"""Processes of hosted models: several of them, several models, both generations."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hosted_models import CONFIG, UID
from processes import wait_for

from adapters.hosting.host import Host
from adapters.hosting.process import ModelFailed

SHARED = """
import os
import time
from label_studio_ml.model import LabelStudioMLBase


class Shared(LabelStudioMLBase):
    def predict(self, tasks, context=None, **kwargs):
        text = tasks[0]["data"]["text"]
        if text == "set":
            self.set("word", "shared")
            time.sleep(0.7)
        return [{"result": [], "model_version": f"{self.get('word')} {self.has('word')} {os.getpid()}"}]
"""
FIRST = '''
import json
import os
from label_studio_ml.model import LabelStudioMLBase


class First(LabelStudioMLBase):
    """As label-studio-ml 1.0.9 had them: loads what the last training left, when it is constructed."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.from_name, self.info = list(self.parsed_label_config.items())[0]
        self.labels = self.info["labels"]
        self.favourite = "bad"
        if self.train_output:
            with open(self.train_output["file"]) as file:
                self.favourite = json.load(file)
        self.num_constructed = 1

    def predict(self, tasks, **kwargs):
        self.num_constructed += 1
        choice = {"choices": [self.favourite]}
        item = {"from_name": self.from_name, "to_name": self.info["to_name"][0], "type": "choices", "value": choice}
        return [{"result": [item], "score": self.num_constructed / 10, "cluster": None} for _ in tasks]

    def fit(self, tasks, workdir=None, **kwargs):
        assert (tuple(tasks), kwargs["event"]) == ((), "ANNOTATION_CREATED")
        path = os.path.join(workdir, "weights.json")
        with open(path, "w") as file:
            json.dump(kwargs["data"]["annotation"]["label"], file)
        return {"file": path}
'''
TWIN = """
import os

with open("helper_of_mine.py", "w") as helper, open("models.py", "w") as models:
    helper.write("SAID = 'WORD'")
import helper_of_mine
import models
from label_studio_ml.model import LabelStudioMLBase

assert models.__file__.startswith(os.getcwd())


class Twin(LabelStudioMLBase):
    def predict(self, tasks, context=None, **kwargs):
        return [{"result": [], "model_version": helper_of_mine.SAID}]
"""


def body(*texts: str) -> dict[str, Any]:
    tasks = [{"id": 1, "data": {"text": text}} for text in texts]
    return {"project": UID, "label_config": CONFIG, "tasks": tasks, "params": {"context": None}}


def words(host: Host, text: str) -> list[str]:
    return str(host.predict(body(text)).entries[0]["model_version"]).split()


def test_values_are_shared_between_processes(make_host: Callable[..., Host]) -> None:
    """C-130: the second request goes to the other process while the first one is busy."""
    host = make_host(SHARED, num_processes=2)
    wait_for(lambda: host.num_ready == 2, "both processes are loaded")
    with ThreadPoolExecutor() as pool:
        setting = pool.submit(words, host, "set")
        word, has, process = words(host, "get")
        while word == "None":
            word, has, process = words(host, "get")

    assert (word, has) == ("shared", "True")
    assert process != setting.result()[2]


def test_two_models_with_equal_module_names_run_side_by_side(make_host: Callable[..., Host]) -> None:
    """C-131: each in a process of its own, with its folder first; ours named `models` does not hide theirs."""
    hosts = []
    for word in ("one", "two"):
        hosts.append(make_host(TWIN.replace("WORD", word)))

    assert [words(host, "x") for host in hosts] == [["one"], ["two"]]


def test_a_model_of_the_first_generation_predicts_and_learns(make_host: Callable[..., Host], ended_job: Any) -> None:
    """E.2: label config and train_output in the constructor, a folder and a result for each job."""
    host = make_host(FIRST)
    assert host.setup("7", {"project": UID, "schema": CONFIG, "hostname": "http://ls"}) == "INITIAL"
    before = host.predict(body("a", "b"))
    again = host.predict(body("a"))
    project = {"id": 7, "label_config": CONFIG}

    job = host.learn(UID, "ANNOTATION_CREATED", {"project": project, "annotation": {"label": "good"}})

    assert ended_job(host, job).error is None
    [folder] = [path for path in host.program.model_folder.iterdir() if path.is_dir()]
    assert json.loads((folder / "job_result.json").read_text()) == {"file": str(folder / "weights.json")}
    after = host.predict(body("a"))
    assert (before.entries[0]["score"], again.entries[0]["score"]) == (0.2, 0.3)  # constructed once
    assert [entry["result"][0]["value"]["choices"] for entry in before.entries] == [["bad"], ["bad"]]
    assert after.entries[0]["result"][0]["value"]["choices"] == ["good"]
    assert after.version == after.entries[0]["model_version"] == folder.name
    assert host.versions() == [folder.name]
    assert host.setup("7", {"project": UID, "schema": CONFIG}) == folder.name


def test_code_that_cannot_be_loaded_is_refused_with_a_sentence(make_host: Callable[..., Host]) -> None:
    with pytest.raises(ModelFailed) as refused:
        make_host("import nothing_like_this")

    assert refused.value.message == "ModuleNotFoundError: No module named 'nothing_like_this'"
