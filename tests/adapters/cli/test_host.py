"""`tandem host`: what it says, what it serves, and that all of it ends."""

from __future__ import annotations

import fcntl
import json
import signal
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from processes import RunningServer, wait_for

MODEL = """
from label_studio_ml.model import LabelStudioMLBase


class Mine(LabelStudioMLBase):
    def predict(self, tasks, context=None, **kwargs):
        return [{"result": []} for _ in tasks]
"""
SETUP = {"project": "7.1795203195", "schema": '<View><Text name="t" value="$t"/></View>'}


def post(url: str, body: Any) -> Any:
    with urllib.request.urlopen(url, data=json.dumps(body).encode(), timeout=30) as answer:
        return json.loads(answer.read())


def test_it_says_where_and_what_it_serves_and_ends_with_everything_it_started(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.py").write_text(MODEL)
    server = RunningServer(tmp_path)
    with (tmp_path / "up.log").open("wb") as log:
        server.process = server.tandem("host", str(tmp_path / "mine"), "--name", "pets", output=log)
    server.await_health()
    wait_for(lambda: "Model  " in server.log, "the class is named", while_alive=server.process)

    version = post(f"{server.url}/setup", SETUP)
    pids = server.pids()
    code = server.stop(signal.SIGINT)

    assert version == {"model_version": "0.0.1"}
    assert f"  {server.url}\n" in server.log
    assert "Mine, written for label-studio-ml 2; does not learn (it has no fit)" in server.log
    assert "needs ML_BLOCK_LOCAL_IP=false" in server.log
    assert (server.home / "hosted" / "pets" / "cache.db").is_file()
    assert (len(pids), code) == (3, 0)
    wait_for(lambda: server.pids() == [], "all processes have ended")


def test_code_that_cannot_be_served_ends_it_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(f"{MODEL}\n\nclass Other(LabelStudioMLBase):\n    pass\n")

    code, said = RunningServer(tmp_path).say("host", str(tmp_path / "two.py"))

    assert "two cannot be served. two.py has 2 model classes (Mine, Other); say which one: two.py:Mine" in said
    assert "Traceback" not in said
    assert code != 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.py"], "'missing.py' is no file, no folder and no module"),
        (["model.py", "--name", "../up"], "'../up' is no name for a folder"),
        (["model.py", "--model-dir", "/proc/learnt"], "/proc/learnt cannot hold what the model learns"),
        (["model.py", "--python", "no-such-python"], "no-such-python is no program"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_starts(
    arguments: list[str],
    sentence: str,
    tandem: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEL_DIR", raising=False)
    (tmp_path / "model.py").write_text(MODEL)

    said = tandem("host", *arguments)

    assert said.exit_code == 1
    assert sentence in said.output


def test_a_folder_keeps_what_one_model_learns(
    tandem: Callable[..., Result], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two folders may have the same name."""
    monkeypatch.delenv("MODEL_DIR", raising=False)
    for parent in ("one", "two"):
        (tmp_path / parent / "same").mkdir(parents=True)
        (tmp_path / parent / "same" / "model.py").write_text(MODEL)
    learnt = home / "hosted" / "same"
    learnt.mkdir(parents=True)
    (learnt / "tandem-host.lock").write_text(str(tmp_path / "one" / "same" / "model.py"))

    other = tandem("host", str(tmp_path / "two" / "same"))
    with (learnt / "tandem-host.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = tandem("host", str(tmp_path / "one" / "same"))

    assert "keeps what" in other.output
    assert "choose another --name" in other.output
    assert "another `tandem host` uses" in second.output


def test_another_interpreter_serves_the_model(tmp_path: Path) -> None:
    """What a model needs may be installed beside Tandem's own packages, not among them."""
    (tmp_path / "model.py").write_text(MODEL)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "served by $0" >&2\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    server = RunningServer(tmp_path)
    with (tmp_path / "up.log").open("wb") as log:
        server.process = server.tandem("host", str(tmp_path / "model.py"), "--python", str(python), output=log)

    wait_for(lambda: f"served by {python}" in server.log, "it is started", while_alive=server.process)

    server.stop()
