"""Data sets on disk, as the body of an import and back."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from adapters.formats.folders import unpack, write_body
from backend.errors import Invalid


def body(path: Path, format: str, **options: Any) -> Any:
    file = io.BytesIO()
    write_body(path, file, {"format": format, **options})
    return json.loads(file.getvalue())


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("format", ["native", "coco", "labelstudio"])
def test_a_json_file_goes_as_it_stands(tmp_path: Path, format: str) -> None:
    write(tmp_path, {"a.json": '\ufeff{"images": [{"width": 1.50}]}'})

    assert body(tmp_path / "a.json", format, mode="append") == {
        "format": format,
        "mode": "append",
        "data": {"images": [{"width": 1.5}]},
    }


def test_a_folder_with_one_json_file_means_this_file(tmp_path: Path) -> None:
    write(tmp_path, {"annotations/instances.json": "[]", "images/a.jpg": ""})

    assert body(tmp_path, "coco")["data"] == []


def test_a_folder_with_several_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"train.json": "[]", "val.json": "[]"})

    with pytest.raises(Invalid, match="holds 2 JSON files; name the one"):
        body(tmp_path, "coco")


@pytest.mark.parametrize("text", ['{"images": [', "filename,label", "", "{} {}"])
def test_what_is_not_json_is_refused_here(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"a.json": text})

    with pytest.raises(Invalid, match=r"a\.json is not JSON"):
        body(tmp_path / "a.json", "coco")


def test_csv_is_a_text(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": '\ufefffilename,label\r\n"é, \\ü.jpg",cat\r\n'})

    assert body(tmp_path / "a.csv", "csv")["data"] == 'filename,label\r\n"é, \\ü.jpg",cat\r\n'


def test_a_spreadsheet_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("é".encode("latin-1"))

    with pytest.raises(Invalid, match="CSV UTF-8"):
        body(tmp_path / "a.csv", "csv")


def test_voc_is_a_folder_of_xml_files(tmp_path: Path) -> None:
    write(tmp_path, {"Annotations/b.xml": "<b/>", "Annotations/a.xml": "<a/>", "JPEGImages/a.jpg": ""})

    assert body(tmp_path, "voc")["data"] == {"files": {"Annotations/a.xml": "<a/>", "Annotations/b.xml": "<b/>"}}
    assert body(tmp_path / "Annotations" / "a.xml", "voc")["data"] == {"files": {"a.xml": "<a/>"}}


@pytest.mark.parametrize(
    "classes",
    [
        {"data.yaml": "names: [car, bus]"},
        {"data.yaml": "names:\n  1: bus\n  0: car\n"},
        {"classes.txt": "car\nbus\n"},
        {"obj.names": "car\r\nbus"},
    ],
)
def test_yolo_names_its_classes_in_one_of_the_usual_files(tmp_path: Path, classes: dict[str, str]) -> None:
    write(tmp_path, {**classes, "labels/train/a.txt": "0 .5 .5 .1 .1", "labels/val/b.txt": "", "train.txt": "a.jpg"})

    expected = {"classes": ["car", "bus"], "files": {"train/a.txt": "0 .5 .5 .1 .1", "val/b.txt": ""}}
    assert body(tmp_path, "yolo")["data"] == expected


def test_yolo_may_lie_flat(tmp_path: Path) -> None:
    write(tmp_path, {"classes.txt": "car", "a.txt": "0 .5 .5 .1 .1", "a.jpg": ""})

    assert body(tmp_path, "yolo")["data"]["files"] == {"a.txt": "0 .5 .5 .1 .1"}


def test_yolo_without_classes_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": ""})

    with pytest.raises(Invalid, match=r"neither data\.yaml nor classes\.txt"):
        body(tmp_path, "yolo")


@pytest.mark.parametrize("format", ["yolo", "voc"])
def test_an_empty_folder_is_refused(tmp_path: Path, format: str) -> None:
    write(tmp_path, {"classes.txt": "car"})

    with pytest.raises(Invalid, match="holds no"):
        body(tmp_path, format)


@pytest.mark.parametrize("format", ["yolo", "voc"])
def test_what_was_unpacked_is_read_as_it_was(tmp_path: Path, format: str) -> None:
    ending = {"yolo": "txt", "voc": "xml"}[format]
    files = {f"a.{ending}": "one", f"b é.{ending}": ""}
    data = {"files": files} | ({"classes": ["car", "big bus"]} if format == "yolo" else {})

    num_images = unpack(io.BytesIO(json.dumps(data).encode()), tmp_path / "out", format)

    assert num_images == 2
    read = body(tmp_path / "out", format)["data"]
    assert {name.rpartition("/")[2]: text for name, text in read["files"].items()} == files
    assert read.get("classes") == data.get("classes")


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    names = ["../../evil.xml", "/etc/passwd.xml", "c:\\windows\\evil.xml", "..", "inner/../../evil.xml", "a\x00.xml"]
    data = {"files": dict.fromkeys(names, "<annotation/>")}

    num_images = unpack(io.BytesIO(json.dumps(data).encode()), tmp_path / "in" / "out", "voc")

    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert num_images == len(names) == len(written)
    assert all(path.parent == tmp_path / "in" / "out" / "Annotations" for path in written)
