"""A model taken away as a file, over HTTP."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnx
import pytest
from labelled_projects import make_label_set, make_project
from terminals import Fault, Terminal
from trained_projects import add_training, build_detector

from adapters.identifiers import spell
from backend.training.run import TrainingRun
from models.labels import Objective


@pytest.fixture
def training(terminal: Terminal, tmp_path: Path) -> str:
    """A training that has completed with a detector made by hand."""
    services = terminal.services
    [user] = services.accounts.users()
    [workspace_id] = services.accounts.local(user).workspace_ids
    label_set = make_label_set(services, make_project(services, workspace_id), Objective.DETECTION, ["red", "green"])
    run = add_training(services, label_set, build_detector(tmp_path / "detector", label_set.schema))
    with services.database.transaction() as session:
        found = session.get_one(TrainingRun, run.id)
        found.settings = {**found.settings, "backbone": "auto", "max_epochs": None, "image_px": None}
    return spell("training_id", run.id)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


def test_a_model_is_saved_under_the_name_of_its_version(terminal: Terminal, training: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    told = terminal.data("models", "download", training, "--output", tmp_path / "out")

    [path] = (tmp_path / "out").iterdir()
    version = terminal.data("training", "show", training)["modelVersion"]
    assert (path.name, str(path)) == (f"{version}.onnx", told["path"])
    assert told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told["bytes"] == path.stat().st_size
    onnx.checker.check_model(onnx.load(path))


def test_a_download_that_was_cut_off_goes_on(terminal: Terminal, training: str, tmp_path: Path) -> None:
    terminal.faults += [Fault("/download", cut_at=1000), *[Fault("/download", status=503)] * 4]

    cut = terminal.tandem("models", "download", training, "--output", tmp_path / "m.onnx")
    is_absent = not (tmp_path / "m.onnx").exists()
    told = terminal.data("models", "download", training, "--output", tmp_path / "m.onnx")

    assert cut.exit_code == 1
    assert "The 1,000 bytes that came are kept" in cut.stderr
    assert is_absent
    assert terminal.heard[-1].headers["range"] == "bytes=1000-"
    assert told["sha256"] == hashlib.sha256((tmp_path / "m.onnx").read_bytes()).hexdigest()
    onnx.checker.check_model(onnx.load(tmp_path / "m.onnx"))


def test_a_model_that_was_changed_on_the_way_is_not_kept(terminal: Terminal, training: str, tmp_path: Path) -> None:
    terminal.faults.append(Fault("/download", change=lambda body: body[:-1] + bytes([body[-1] ^ 1])))

    result = terminal.tandem("models", "download", training, "--output", tmp_path / "out" / "m.onnx", "--json")

    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (1, "UPSTREAM_ERROR")
    assert not list((tmp_path / "out").iterdir())


def test_a_model_that_is_there_is_not_fetched_again(terminal: Terminal, training: str, tmp_path: Path) -> None:
    terminal.ok("models", "download", training, "--output", tmp_path / "m.onnx")
    before = (tmp_path / "m.onnx").stat().st_mtime_ns

    terminal.ok("models", "download", training, "--output", tmp_path / "m.onnx")

    assert (tmp_path / "m.onnx").stat().st_mtime_ns == before


def test_another_file_is_overwritten_only_on_demand(terminal: Terminal, training: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"mine")

    refused = terminal.tandem("models", "download", training, "--output", tmp_path / "m.onnx")
    kept = (tmp_path / "m.onnx").read_bytes()
    terminal.ok("models", "download", training, "--output", tmp_path / "m.onnx", "--force")

    assert refused.exit_code == 5
    assert "--force overwrites it" in refused.stderr
    assert kept == b"mine"
    onnx.checker.check_model(onnx.load(tmp_path / "m.onnx"))


def test_without_a_model_there_is_no_file(terminal: Terminal, training: str, tmp_path: Path) -> None:
    label_set = terminal.data("training", "show", training)["labelSetId"]
    pending = terminal.data("training", "create", label_set)["id"]

    result = terminal.tandem("models", "download", pending, "--output", tmp_path / "m.onnx")

    assert result.exit_code == 5
    assert "MODEL_NOT_READY" in result.stderr
    assert not list(tmp_path.glob("m.onnx*"))
