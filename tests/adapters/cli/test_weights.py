"""`tandem weights`."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from doubles import FakeWeb
from sam_files import write_sam

from adapters.cli import weights
from adapters.cli.weights import KNOWN, Known

Tandem = Callable[..., Result]
CONTENT = b"weights of a network"


@pytest.fixture
def backbone(fake_web: FakeWeb, monkeypatch: pytest.MonkeyPatch) -> Known:
    """Let resnet18 be a small file of a web server in this process."""
    fake_web.answers["/resnet18.pth"] = CONTENT
    sha256 = hashlib.sha256(CONTENT).hexdigest()[:8]
    known = Known("training", f"{fake_web.url}/resnet18.pth", f"resnet18-{sha256}.pth", sha256)
    monkeypatch.setitem(weights.KNOWN, "resnet18", known)
    return known


@pytest.fixture
def sam(fake_web: FakeWeb, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Known:
    """Let mobile_sam be a small archive of a web server in this process."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for path in write_sam(tmp_path / "sam").iterdir():
            opened.write(path, f"../somewhere/{path.name}")
        opened.writestr("readme.txt", "hello")
    fake_web.answers["/sam.zip"] = archive.getvalue()
    known = Known("clicks", f"{fake_web.url}/sam.zip", "sam.zip")
    monkeypatch.setitem(weights.KNOWN, "mobile_sam", known)
    return known


def told(tandem: Tandem) -> dict[str, object]:
    result = tandem("weights", "list", "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.output)
    return found


def test_without_weights_the_list_says_what_answers_and_what_can_be_had(tandem: Tandem, home: Path) -> None:
    shown = tandem("weights", "list").output

    assert str(home / "weights") in shown
    assert "colours and edges" in shown
    assert all(name in shown for name in KNOWN)
    assert told(tandem)["here"] == []


def test_a_fetched_backbone_lies_where_training_looks(tandem: Tandem, home: Path, backbone: Known) -> None:
    result = tandem("weights", "fetch", "resnet18")

    assert result.exit_code == 0, result.output
    assert (home / "weights" / backbone.file).read_bytes() == CONTENT
    assert "resnet18" not in told(tandem)["can_be_fetched"]


def test_a_fetched_segmenter_answers_clicks(tandem: Tandem, home: Path, sam: Known) -> None:
    result = tandem("weights", "fetch", "mobile_sam")

    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (home / "weights" / "mobile_sam").iterdir()) == ["decoder.onnx", "encoder.onnx"]
    assert sorted(path.name for path in (home / "weights").iterdir()) == ["mobile_sam"]
    assert told(tandem)["clicks"] == "mobile_sam"
    assert "in use" in tandem("weights", "list").output


def test_what_is_there_is_not_fetched_again(tandem: Tandem, sam: Known, fake_web: FakeWeb) -> None:
    tandem("weights", "fetch", "mobile_sam")

    result = tandem("weights", "fetch", "mobile_sam")

    assert "already" in result.output
    assert len(fake_web.asked) == 1


def test_an_archive_without_networks_is_refused(tandem: Tandem, home: Path, sam: Known, fake_web: FakeWeb) -> None:
    fake_web.answers["/sam.zip"] = b"no archive"

    result = tandem("weights", "fetch", "mobile_sam")

    assert result.exit_code == 1
    assert "no archive with ONNX files" in result.output
    assert list((home / "weights").iterdir()) == []


def test_files_that_cannot_answer_are_listed_with_the_reason(tandem: Tandem, home: Path) -> None:
    folder = home / "weights" / "broken"
    folder.mkdir(parents=True)
    for name in ("encoder.onnx", "decoder.onnx"):
        (folder / name).write_bytes(b"no network")

    listed = told(tandem)

    [broken] = listed["here"]
    assert "not an ONNX file" in broken["state"]
    assert listed["clicks"] is None


def test_offline_a_fetch_says_what_to_do(
    tandem: Tandem, home: Path, monkeypatch: pytest.MonkeyPatch, backbone: Known
) -> None:
    monkeypatch.setitem(weights.KNOWN, "resnet18", Known("", "http://127.0.0.1:1/r.pth", "r.pth"))

    result = tandem("weights", "fetch", "resnet18")

    assert result.exit_code == 1
    assert "cannot be reached from this machine" in result.output
    assert "elsewhere and put it at" in " ".join(result.output.split())


def test_a_known_backbone_is_called_like_its_architecture() -> None:
    """`models.learning.backbones` finds files by name: the architecture, a hyphen, the beginning of their SHA-256."""
    backbones = {name: known for name, known in KNOWN.items() if known.file.endswith(".pth")}

    assert len(backbones) == 5
    for name, known in backbones.items():
        assert known.file == f"{name}-{known.sha256}.pth"
        assert known.url.endswith(f"-{known.sha256}.pth")
