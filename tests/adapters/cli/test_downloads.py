"""Large files from the web, in `adapters.cli.downloads`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from doubles import Answer, FakeWeb

from adapters.cli.downloads import download
from backend.errors import Conflict, Unavailable

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def nobody(num_bytes: int, total: int | None) -> None:
    pass


def test_a_file_arrives_whole(fake_web: FakeWeb, tmp_path: Path) -> None:
    fake_web.answers["/w.pth"] = CONTENT
    heard: list[tuple[int, int | None]] = []

    download(
        f"{fake_web.url}/w.pth",
        tmp_path / "new" / "w.pth",
        sha256=SHA256[:8],
        told=lambda *said: heard.append(said),
    )

    assert (tmp_path / "new" / "w.pth").read_bytes() == CONTENT
    assert heard[-1] == (len(CONTENT), len(CONTENT))


def test_what_is_there_is_not_fetched_again(fake_web: FakeWeb, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"mine")

    download(f"{fake_web.url}/w.pth", tmp_path / "w.pth", told=nobody)

    assert (tmp_path / "w.pth").read_bytes() == b"mine"
    assert not fake_web.asked


def test_a_fetch_that_was_cut_off_goes_on_where_it_stopped(fake_web: FakeWeb, tmp_path: Path) -> None:
    fake_web.answers["/w.pth"] = CONTENT
    fake_web.break_path("/w.pth", Answer(body=CONTENT, cut_at=5000))
    url, target = f"{fake_web.url}/w.pth", tmp_path / "w.pth"
    with pytest.raises(Unavailable, match="are kept, so try again"):
        download(url, target, sha256=SHA256, told=nobody)
    was_there = target.exists()

    download(url, target, sha256=SHA256, told=nobody)

    assert not was_there
    assert target.read_bytes() == CONTENT
    assert fake_web.asked[-1].headers["range"] == "bytes=5000-"


def test_a_server_without_ranges_begins_again(fake_web: FakeWeb, tmp_path: Path) -> None:
    fake_web.answers["/w.pth"] = Answer(body=CONTENT, max_range_bytes=None)
    (tmp_path / "w.pth.partial").write_bytes(b"something else")

    download(f"{fake_web.url}/w.pth", tmp_path / "w.pth", sha256=SHA256, told=nobody)

    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_an_attempt_that_had_everything_is_finished(fake_web: FakeWeb, tmp_path: Path) -> None:
    fake_web.answers["/w.pth"] = CONTENT
    (tmp_path / "w.pth.partial").write_bytes(CONTENT)

    download(f"{fake_web.url}/w.pth", tmp_path / "w.pth", sha256=SHA256, told=nobody)

    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_another_file_than_expected_is_not_kept(fake_web: FakeWeb, tmp_path: Path) -> None:
    fake_web.answers["/w.pth"] = b"a sign-in page"

    with pytest.raises(Conflict, match="not the expected file"):
        download(f"{fake_web.url}/w.pth", tmp_path / "w.pth", sha256=SHA256[:8], told=nobody)

    assert list(tmp_path.iterdir()) == []


def test_offline_the_message_says_what_to_do(tmp_path: Path) -> None:
    target = tmp_path / "w.pth"

    with pytest.raises(Unavailable) as raised:
        download("http://127.0.0.1:1/w.pth", target, told=nobody)

    assert "cannot be reached from this machine" in raised.value.message
    assert f"fetch http://127.0.0.1:1/w.pth elsewhere and put it at {target}" in raised.value.message


def test_a_refusal_is_no_file(fake_web: FakeWeb, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        download(f"{fake_web.url}/gone.pth", tmp_path / "w.pth", told=nobody)

    assert list(tmp_path.iterdir()) == []
