"""What is said about images, from and to the disk, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pictures import photo
from terminals import Fault, Terminal


@pytest.fixture
def image(terminal: Terminal, tmp_path: Path) -> str:
    """One of two images, 100 × 50, of a project with a label set toys/things for boxes around a car or a bus."""
    terminal.ok("projects", "create", "--name", "toys")
    terminal.ok("labelsets", "create", "toys", "--name", "things", "--task-type", "detection", "--labels", '["car"]')
    for number, name in enumerate("ab"):
        (tmp_path / f"{name}.png").write_bytes(photo(number, width_px=100, height_px=50))
    told = terminal.data("images", "upload", "toys", tmp_path / "a.png", tmp_path / "b.png")
    return str(told["images"][0]["id"])


ANNOTATIONS = '[{"label": "car", "bbox": [10, 20, 30, 20]}]'
NATIVE = f'{{"images": [{{"filename": "a.png", "annotations": {ANNOTATIONS}}}]}}'


def test_an_image_is_labelled_by_a_file(terminal: Terminal, image: str, tmp_path: Path) -> None:
    (tmp_path / "said.json").write_text(ANNOTATIONS)

    assert terminal.ok("labels", "set", "toys/things", image, f"@{tmp_path}/said.json") == f"{image}: 1 car\n"
    assert terminal.data("labels", "show", "toys/things", image)["annotations"][0]["bbox"] == [10, 20, 30, 20]


def test_an_image_is_labelled_by_standard_input(terminal: Terminal, image: str) -> None:
    body = '{"annotations": [{"label": "car", "bbox": [0.1, 0.4, 0.3, 0.4]}]}'

    told = terminal.data("labels", "set", "toys/things", image, "-", "--coords", "normalized", stdin=body)

    assert told["annotations"][0]["bbox"] == [10, 20, 30, 20]


def test_an_image_may_contain_nothing(terminal: Terminal, image: str) -> None:
    assert terminal.ok("labels", "set", "toys/things", image, "[]") == f"{image}: labelled as containing nothing\n"


@pytest.mark.parametrize(
    ("written", "code"),
    [("[{", "INVALID_JSON"), ('{"label": "car"}', "VALIDATION_ERROR"), ("@gone.json", "VALIDATION_ERROR")],
)
def test_what_is_no_list_of_annotations_is_refused_here(
    terminal: Terminal, image: str, written: str, code: str
) -> None:
    result = terminal.tandem("labels", "set", "toys/things", image, written, "--json")

    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (1, code)


def test_a_data_set_is_imported(terminal: Terminal, image: str, tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text(NATIVE)

    said = terminal.ok("labels", "import", "toys/things", tmp_path / "set.json", "--format", "native")

    assert said == "1 image labelled, with 1 annotation.\n"
    assert len(terminal.data("labels", "show", "toys/things", image)["annotations"]) == 1


def test_an_import_can_be_tried(terminal: Terminal, image: str, tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text(NATIVE)
    arguments = ("labels", "import", "toys/things", tmp_path / "set.json", "--format", "native", "--dry-run")

    assert terminal.data(*arguments)["created"] == 1
    assert "would be labelled" in terminal.ok(*arguments)
    assert terminal.data("labels", "show", "toys/things", image)["labeled"] is False


def test_what_is_left_out_is_told(terminal: Terminal, image: str, tmp_path: Path) -> None:
    lines = {"a": "0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n0 .5 .5", "gone": "0 .5 .5 .1 .1"}
    for name, text in {**lines, "classes": "car\nbus"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    arguments = ("labels", "import", "toys/things", tmp_path, "--format", "yolo", "--strict")

    result = terminal.tandem(*arguments)

    assert result.exit_code == 1
    assert "1 image labelled, with 1 annotation." in result.stdout
    assert "Not in the project: gone.txt" in result.stdout
    assert "a.txt#2" in result.stdout
    assert "UNKNOWN_LABEL" in result.stdout
    told = terminal.data(*arguments[:-1], "--create-missing-labels")
    assert (told["created"], told["newLabels"]) == (2, ["bus"])


def test_an_import_may_add_to_what_was_said(terminal: Terminal, image: str, tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text(NATIVE)
    arguments = ("labels", "import", "toys/things", tmp_path / "set.json", "--format", "native")

    told = [terminal.data(*arguments), terminal.data(*arguments, "--mode", "append", "--match-by", "filename")]

    assert [each["created"] for each in told] == [1, 1]
    assert len(terminal.data("labels", "show", "toys/things", image)["annotations"]) == 2


def test_what_is_sent_again_with_the_same_key_is_done_once(terminal: Terminal, image: str, tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text(NATIVE)
    arguments = ("labels", "import", "toys/things", tmp_path / "set.json", "--format", "native", "--mode", "append")

    for _ in range(2):
        terminal.ok(*arguments, "--idempotency-key", "k1")

    assert len(terminal.data("labels", "show", "toys/things", image)["annotations"]) == 1


def test_a_file_that_is_not_json_is_not_sent(terminal: Terminal, image: str, tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text(NATIVE[:-2])

    result = terminal.tandem("labels", "import", "toys/things", tmp_path / "set.json", "--format", "coco", "--json")

    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (1, "IMPORT_INVALID")
    assert terminal.num_heard("/import") == 0


def test_a_data_set_that_is_too_large_is_not_sent(
    terminal: Terminal, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.cli.labels.MAX_JSON_BYTES", 50)
    (tmp_path / "set.json").write_text(NATIVE)

    result = terminal.tandem("labels", "import", "toys/things", tmp_path / "set.json", "--format", "native", "--json")

    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (1, "PAYLOAD_TOO_LARGE")
    assert terminal.num_heard("/import") == 0


@pytest.mark.parametrize("format", ["native", "coco", "labelstudio", "yolo", "voc"])
def test_what_was_exported_can_be_imported(terminal: Terminal, image: str, tmp_path: Path, format: str) -> None:
    terminal.ok("labels", "set", "toys/things", image, ANNOTATIONS)
    arguments = ("toys/things", tmp_path / "out", "--format", format)

    terminal.ok("labels", "export", "toys/things", "--format", format, "--output", tmp_path / "out")
    terminal.ok("labels", "clear", "toys/things", image)
    told = terminal.data("labels", "import", *arguments, "--strict")

    assert (told["matchedImages"], told["created"]) == (1, 1)
    [annotation] = terminal.data("labels", "show", "toys/things", image)["annotations"]
    assert annotation["bbox"] == pytest.approx([10, 20, 30, 20], abs=0.01)


def test_an_export_is_printed_where_it_goes_nowhere(terminal: Terminal, image: str) -> None:
    terminal.ok("labels", "set", "toys/things", image, ANNOTATIONS)

    printed = json.loads(terminal.ok("labels", "export", "toys/things", "--format", "coco"))

    assert printed["annotations"][0]["bbox"] == [10, 20, 30, 20]
    assert printed == terminal.data("labels", "export", "toys/things", "--format", "coco")


def test_an_export_to_a_folder_says_where(terminal: Terminal, image: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    arguments = ("labels", "export", "toys/things", "--format", "voc")

    assert terminal.tandem(*arguments).exit_code == 2
    refused = terminal.tandem(*arguments, "--output", tmp_path / "full")
    assert refused.exit_code == 1
    assert "not an empty folder" in refused.stderr


def test_an_export_that_is_cut_off_leaves_nothing(terminal: Terminal, image: str, tmp_path: Path) -> None:
    terminal.ok("labels", "set", "toys/things", image, ANNOTATIONS)
    terminal.faults.append(Fault("/export", cut_at=5))

    result = terminal.tandem("labels", "export", "toys/things", "--format", "voc", "--output", tmp_path / "out")

    assert result.exit_code == 1
    assert "cut off" in result.stderr
    assert not (tmp_path / "out").exists()
