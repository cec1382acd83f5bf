"""Images from and to the disk, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from doubles import FakeWeb
from pictures import photo
from PIL import Image
from terminals import Fault, Terminal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures in folders, and what is none."""
    made = tmp_path / "pictures"
    for number, name in enumerate(["a.png", "inner/b.PNG", "inner/deep/c.jpg", ".hidden/d.png"]):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(photo(number))
    (made / "notes.txt").write_text("none")
    return made


@pytest.fixture
def project(terminal: Terminal) -> str:
    return str(terminal.data("projects", "create", "--name", "toys")["id"])


def test_folders_are_walked(terminal: Terminal, project: str, folder: Path) -> None:
    said = terminal.ok("images", "upload", "toys", folder)

    assert said == "3 new images in toys\n"
    names = [image["filename"] for image in terminal.data("images", "list", project)["items"]]
    assert sorted(names) == ["a.png", "b.PNG", "c.jpg"]


def test_many_files_are_sent_twenty_at_a_time(terminal: Terminal, project: str, tmp_path: Path) -> None:
    for number in range(45):
        (tmp_path / f"{number:02}.png").write_bytes(photo(number, width_px=4, height_px=4))

    told = terminal.data("images", "upload", project, tmp_path, "--split", "val")

    assert (len(told["images"]), told["rejected"], told["dropped"]) == (45, [], 0)
    assert {image["split"] for image in told["images"]} == {"val"}
    assert terminal.num_heard("/images") == 3


def test_large_files_are_sent_in_smaller_batches(
    terminal: Terminal, project: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (folder / "a.png").stat().st_size
    monkeypatch.setattr("adapters.cli.images._MAX_BATCH_BYTES", 2 * size + 100)

    terminal.ok("images", "upload", project, folder)

    assert terminal.num_heard("/images") == 2


def test_what_is_there_already_is_said_so(terminal: Terminal, project: str, folder: Path) -> None:
    terminal.ok("images", "upload", project, folder / "a.png")

    assert terminal.ok("images", "upload", project, folder) == f"2 new images in {project}, 1 was there already\n"


def test_rejected_files_are_listed_and_the_others_taken(terminal: Terminal, project: str, folder: Path) -> None:
    (folder / "false.jpg").write_bytes(b"GIF89a")

    result = terminal.tandem("images", "upload", project, folder)
    strict = terminal.tandem("images", "upload", project, folder, "--strict", "--json")

    assert result.exit_code == 0
    assert "3 new images" in result.stdout
    assert "false.jpg" in result.stdout
    assert "UNSUPPORTED_IMAGE_TYPE" in result.stdout
    assert strict.exit_code == 1
    assert [each["filename"] for each in json.loads(strict.stdout)["rejected"]] == ["false.jpg"]


def test_where_nothing_can_be_used_it_fails_as_over_http(terminal: Terminal, project: str, tmp_path: Path) -> None:
    (tmp_path / "false.jpg").write_bytes(b"GIF89a")

    result = terminal.tandem("images", "upload", project, tmp_path / "false.jpg", "--json")

    assert result.exit_code == 1
    problem = json.loads(result.stdout)
    assert (problem["status"], problem["error"]["code"]) == (415, "UNSUPPORTED_IMAGE_TYPE")
    assert problem["error"]["details"]["rejected"][0]["filename"] == "false.jpg"


def test_a_file_that_is_too_large_is_not_sent(
    terminal: Terminal, project: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.cli.images._MAX_IMAGE_BYTES", 2000)
    (folder / "huge.png").write_bytes(bytes(2001))
    for name in ("a.png", "inner/b.PNG"):
        (folder / name).write_bytes(photo(1, width_px=8, height_px=8))

    told = terminal.data("images", "upload", project, folder / "huge.png", folder / "a.png")

    assert [each["code"] for each in told["rejected"]] == ["IMAGE_TOO_LARGE"]
    assert len(told["images"]) == 1


def test_a_batch_that_does_not_get_through_is_sent_again(
    terminal: Terminal, project: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    terminal.faults += [Fault("/images", status=503), Fault("/images", cut_at=10)]

    told = terminal.data("images", "upload", project, folder)

    assert len(told["images"]) == 3
    assert all(image["duplicate"] for image in told["images"])  # they were taken; only the answer was cut off


def test_an_upload_that_was_given_up_says_how_to_go_on(
    terminal: Terminal, project: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    terminal.faults += [Fault("/images", status=503)] * 4

    result = terminal.tandem("images", "upload", project, folder)

    assert result.exit_code == 1
    assert "0 of 3 images were sent before; run the same command again" in result.stderr


def test_a_folder_without_images_is_refused(terminal: Terminal, project: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    result = terminal.tandem("images", "upload", project, tmp_path / "empty", "--json")

    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (1, "NO_FILES")


def test_a_file_that_is_not_there_is_a_mistake_of_the_caller(terminal: Terminal, project: str, tmp_path: Path) -> None:
    result = terminal.tandem("images", "upload", project, tmp_path / "gone.png")

    assert result.exit_code == 2
    assert "No such file" in result.stderr


def test_images_come_back_as_they_were(terminal: Terminal, project: str, folder: Path, tmp_path: Path) -> None:
    terminal.ok("images", "upload", project, folder)

    told = terminal.data("images", "download", "--project", "toys", "--output", tmp_path / "back")

    assert sorted(Path(each["path"]).name for each in told["files"]) == ["a.png", "b.PNG", "c.jpg"]
    assert (tmp_path / "back" / "b.PNG").read_bytes() == (folder / "inner/b.PNG").read_bytes()


def test_what_was_downloaded_is_not_fetched_again(
    terminal: Terminal, project: str, folder: Path, tmp_path: Path
) -> None:
    terminal.ok("images", "upload", project, folder)
    terminal.ok("images", "download", "--project", project, "--output", tmp_path / "back")

    terminal.ok("images", "download", "--project", project, "--output", tmp_path / "back")

    assert terminal.num_heard("/file") == 3


def test_images_of_one_name_do_not_overwrite_each_other(terminal: Terminal, project: str, tmp_path: Path) -> None:
    for number, inner in enumerate(["one", "two"]):
        (tmp_path / inner).mkdir()
        (tmp_path / inner / "same.png").write_bytes(photo(number))
    terminal.ok("images", "upload", project, tmp_path / "one", tmp_path / "two")
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "same.png").write_bytes(b"mine")

    told = terminal.data("images", "download", "--project", project, "--output", tmp_path / "back")

    assert (tmp_path / "back" / "same.png").read_bytes() == b"mine"
    contents = {Path(each["path"]).read_bytes() for each in told["files"]}
    assert contents == {photo(0), photo(1)}


def test_a_smaller_form_is_a_file_of_its_own(terminal: Terminal, project: str, tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(photo(0, width_px=200))
    [image] = terminal.data("images", "upload", project, tmp_path / "wide.png")["images"]

    told = terminal.data("images", "download", image["id"], "--output", tmp_path, "--max-size", 64)

    [file] = told["files"]
    assert Path(file["path"]).name == "wide-64px.jpg"
    assert Path(file["path"]).read_bytes()[:3] == b"\xff\xd8\xff"


def test_an_image_comes_with_its_labels_drawn_on_it(
    terminal: Terminal, project: str, folder: Path, tmp_path: Path
) -> None:
    terminal.ok("images", "upload", project, folder)
    [image, *_] = terminal.data("images", "list", project)["items"]
    label_set = terminal.data("labelsets", "create", project, "--name", "k", "--task-type", "classification",
                              "--labels", "cat")["id"]  # fmt: skip
    terminal.ok("labels", "set", label_set, image["id"], '[{"label": "cat"}]')

    [file] = terminal.data("images", "download", image["id"], "--label-set", label_set, "--output", tmp_path / "drawn")[
        "files"
    ]

    assert Path(file["path"]).name.endswith("-drawn.jpg")
    with Image.open(file["path"]) as drawn:
        assert drawn.format == "JPEG"


def test_images_or_a_project_are_named(terminal: Terminal) -> None:
    assert terminal.tandem("images", "download").exit_code == 2


def test_what_the_server_cannot_fetch_is_rejected_too(
    terminal: Terminal, project: str, folder: Path, fake_web: FakeWeb
) -> None:
    told = terminal.data("images", "upload", project, folder / "a.png", f"{fake_web.url}/private.png")

    assert len(told["images"]) == 1
    assert [each["filename"] for each in told["rejected"]] == ["private.png"]
    assert not fake_web.asked  # nobody may make a server ask its own network
