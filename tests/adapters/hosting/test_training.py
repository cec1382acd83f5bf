"""Training of hosted models: off the request path, contained, visible; contract E.3 #8, #12 and C-133, C-135."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hosted_models import CONFIG, UID

from adapters.hosting.host import Host
from adapters.hosting.journal import Journal
from adapters.hosting.process import Program
from adapters.hosting.target import Target
from adapters.hosting.training import Training

LEARNER = """
import json
import os
import time
from label_studio_ml.model import LabelStudioMLBase

NOTES = os.path.join(os.environ["MODEL_DIR"], "notes.json")
NOTED = json.load(open(NOTES)) if os.path.exists(NOTES) else []  # held in memory, as weights are


class Learner(LabelStudioMLBase):
    def setup(self):
        self.set("model_version", "0.0.1")  # as the official template does

    def predict(self, tasks, context=None, **kwargs):
        label = "good" if NOTED else "bad"
        item = {"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": [label]}}
        return [{"result": [item]} for _ in tasks]

    def fit(self, event, data, **kwargs):
        assert not kwargs
        word = data["annotation"].get("word", "")
        if word == "crash":
            raise ValueError("nothing to learn from")
        if word == "kill":
            os._exit(3)
        if word == "slow":
            time.sleep(2)
        notes = json.load(open(NOTES)) if os.path.exists(NOTES) else []
        notes.append([event, sorted(data), data["annotation"]])
        json.dump(notes, open(NOTES, "w"))
        self.set("model_version", f"fitted-{len(notes)}")
        return {"notes": len(notes)}
"""


@pytest.fixture(scope="module")
def learner(make_host: Callable[..., Host]) -> Host:
    return make_host(LEARNER)


def version(client: FlaskClient) -> str:
    return str(client.post("/setup", json={"project": UID, "schema": CONFIG}).get_json()["model_version"])


def label(answer: Any) -> str:
    return str(answer.get_json()["results"][0]["result"][0]["value"]["choices"][0])


def notes(host: Host) -> Any:
    path = host.program.model_folder / "notes.json"
    return json.loads(path.read_text()) if path.exists() else []


def test_a_training_changes_what_is_predicted_and_its_version_stays(
    learner: Host, ask: Any, event: Any, ended: Any, predict: Any
) -> None:
    """C-025, C-135: `setup()` sets 0.0.1 in each construction, and what `fit()` stored outlives it."""
    client = ask(learner)
    assert (version(client), label(predict(client, "a"))) == ("0.0.1", "bad")

    accepted = client.post("/webhook", json=event("ANNOTATION_CREATED", annotation={"word": "x"}, task={"id": 1}))

    assert accepted.status_code == 201
    status = ended(client, accepted)
    assert (status["job_status"], status["result"], status["error"]) == ("finished", {"notes": 1}, None)
    assert (version(client), label(predict(client, "a"))) == ("fitted-1", "good")
    assert notes(learner) == [["ANNOTATION_CREATED", ["annotation", "project", "task"], {"word": "x"}]]


def test_events_about_several_annotations_arrive_one_by_one_under_their_old_names(
    learner: Host, ask: Any, event: Any, ended: Any
) -> None:
    """C-133, C-063."""
    client = ask(learner)
    num_before = len(notes(learner))
    created = event("ANNOTATIONS_CREATED", annotation=[{"id": 1}, {"id": 2}], task=[{"id": 8}, {"id": 9}])

    ended(client, client.post("/webhook", json=created))
    ended(client, client.post("/webhook", json=event("ANNOTATIONS_DELETED", annotations=[{"id": 3}])))

    assert notes(learner)[num_before:] == [
        ["ANNOTATION_CREATED", ["annotation", "project", "task"], {"id": 1}],
        ["ANNOTATION_CREATED", ["annotation", "project", "task"], {"id": 2}],
        ["ANNOTATION_DELETED", ["annotation", "project"], {"id": 3}],
    ]


def test_start_training_names_the_project_in_an_annotation_where_the_model_looks_for_one(
    learner: Host, ask: Any, event: Any, ended: Any
) -> None:
    """E.3 #8: Label Studio sends none."""
    client = ask(learner)

    ended(client, client.post("/webhook", json=event("START_TRAINING")))

    assert notes(learner)[-1] == ["START_TRAINING", ["annotation", "project"], {"project": 7}]


def test_a_crash_of_fit_is_contained_and_reported(
    learner: Host, ask: Any, event: Any, ended: Any, predict: Any
) -> None:
    """C-065, C-133; a process that ends is a crash like any other."""
    client = ask(learner)
    before = version(client), label(predict(client, "a"))

    crashed = ended(client, client.post("/webhook", json=event("ANNOTATION_UPDATED", annotation={"word": "crash"})))
    killed = ended(client, client.post("/webhook", json=event("ANNOTATION_UPDATED", annotation={"word": "kill"})))

    assert (crashed["job_status"], crashed["error"]) == ("failed", "ValueError: nothing to learn from")
    assert (killed["job_status"], killed["error"]) == ("failed", "the model's process ended with code 3")
    assert client.get("/health").get_json()["training_error"] == "the model's process ended with code 3"
    assert (version(client), label(predict(client, "a"))) == before
    later = client.post("/webhook", json=event("ANNOTATION_UPDATED", annotation={"word": "fine"}))
    assert ended(client, later)["job_status"] == "finished"


def test_a_training_blocks_no_prediction_and_start_training_joins_a_waiting_one(
    learner: Host, ask: Any, event: Any, ended: Any, predict: Any
) -> None:
    """C-059, C-060, C-064."""
    client = ask(learner)
    slow = client.post("/webhook", json=event("ANNOTATION_CREATED", annotation={"word": "slow"}))
    jobs = set()

    for _ in range(10):
        started = time.monotonic()
        jobs.add(client.post("/webhook", json=event("START_TRAINING")).get_json()["job"])
        assert time.monotonic() - started < 0.2
    started = time.monotonic()
    answer = predict(client, "a")
    predict_s = time.monotonic() - started

    assert len(jobs) == 1
    assert answer.status_code == 200
    assert predict_s < 1
    assert len(client.get("/is_training", query_string={"project": UID}).get_json()["jobs"]) == 2
    assert ended(client, slow)["job_status"] == "finished"


def test_jobs_that_a_stopped_server_left_behind_have_failed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    job = journal.add_job(UID, "START_TRAINING")

    Training(Program(Target(tmp_path), tmp_path), journal, when_changed=lambda: None).close()

    found = journal.job(job.id)
    assert found is not None
    assert (found.state, found.error) == ("failed", "the server was stopped before the job had ended")
