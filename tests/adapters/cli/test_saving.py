"""Files of the server, in `adapters.cli.saving`: cut off, changed, and gone on with."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests
from doubles import Answer, Asked, FakeWeb

from adapters.cli.saving import Fetch, save
from adapters.replies import Problem

CONTENT = bytes(range(256)) * 400
CUT = 70_000


def nobody(num_bytes: int, total: int | None) -> None:
    pass


def headers_of(content: bytes) -> dict[str, str]:
    digest = hashlib.sha256(content)
    return {
        "ETag": f'"{digest.hexdigest()}"',
        "Repr-Digest": f"sha-256=:{b64encode(digest.digest()).decode()}:",
    }


def hold(web: FakeWeb, content: bytes) -> None:
    """Keep a file at /m, of which ranges are given out as long as it is the same."""

    def answer(asked: Asked) -> Answer:
        headers = headers_of(content)
        is_same = asked.headers.get("if-range") in (None, headers["ETag"])
        return Answer(body=content, headers=headers, max_range_bytes=1 << 30 if is_same else None)

    web.answers["/m"] = answer


def fetch_from(web: FakeWeb) -> Fetch:
    def fetch(headers: Mapping[str, str]) -> requests.Response:
        response = requests.get(f"{web.url}/m", headers=dict(headers), stream=True, timeout=5)
        if response.status_code >= 400:
            with response:
                raise Problem("INTERNAL", "refused", response.status_code)
        return response

    return fetch


@pytest.fixture
def cut_off(fake_web: FakeWeb, tmp_path: Path) -> Path:
    """A file of which only a part came, because the connection was cut again and again."""
    hold(fake_web, CONTENT)
    fake_web.break_path("/m", Answer(body=CONTENT, headers=headers_of(CONTENT), cut_at=CUT))
    fake_web.break_path("/m", Answer(503), times=4)
    with pytest.raises(Problem, match="goes on from there"):
        save(fetch_from(fake_web), tmp_path / "model", told=nobody, pause_s=0)
    return tmp_path / "model"


def test_a_file_arrives_whole(fake_web: FakeWeb, tmp_path: Path) -> None:
    hold(fake_web, CONTENT)
    heard: list[tuple[int, int | None]] = []

    save(fetch_from(fake_web), tmp_path / "new" / "model", told=lambda *said: heard.append(said))

    assert (tmp_path / "new" / "model").read_bytes() == CONTENT
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model"]


def test_a_connection_that_is_cut_is_made_again_at_once(fake_web: FakeWeb, tmp_path: Path) -> None:
    hold(fake_web, CONTENT)
    fake_web.break_path("/m", Answer(body=CONTENT, headers=headers_of(CONTENT), cut_at=CUT))

    save(fetch_from(fake_web), tmp_path / "model", told=nobody, pause_s=0)

    assert (tmp_path / "model").read_bytes() == CONTENT
    assert fake_web.asked[-1].headers["range"] == f"bytes={CUT}-"


def test_what_was_given_up_is_gone_on_with(fake_web: FakeWeb, cut_off: Path) -> None:
    is_absent = not cut_off.exists()

    save(fetch_from(fake_web), cut_off, told=nobody, pause_s=0)

    assert is_absent
    assert cut_off.read_bytes() == CONTENT
    assert fake_web.asked[-1].headers["range"] == f"bytes={CUT}-"
    assert fake_web.asked[-1].headers["if-range"] == headers_of(CONTENT)["ETag"]


def test_a_file_that_has_changed_meanwhile_comes_from_its_beginning(fake_web: FakeWeb, cut_off: Path) -> None:
    hold(fake_web, CONTENT[::-1])

    save(fetch_from(fake_web), cut_off, told=nobody, pause_s=0)

    assert cut_off.read_bytes() == CONTENT[::-1]


def test_a_part_that_is_too_long_is_forgotten(fake_web: FakeWeb, cut_off: Path) -> None:
    cut_off.with_name("model.partial").write_bytes(CONTENT + b"more")
    fake_web.break_path("/m", Answer(416))

    save(fetch_from(fake_web), cut_off, told=nobody, pause_s=0)

    assert cut_off.read_bytes() == CONTENT


def test_a_file_with_another_digest_is_not_kept(fake_web: FakeWeb, tmp_path: Path) -> None:
    fake_web.answers["/m"] = Answer(body=b"something else", headers=headers_of(CONTENT))
    (tmp_path / "model").write_bytes(b"before")

    with pytest.raises(Problem, match="is not what the server says") as raised:
        save(fetch_from(fake_web), tmp_path / "model", told=nobody)

    assert raised.value.code == "UPSTREAM_ERROR"
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model", b"before")]


def test_a_refusal_is_passed_on(fake_web: FakeWeb, tmp_path: Path) -> None:
    fake_web.answers["/m"] = Answer(404)

    with pytest.raises(Problem, match="refused"):
        save(fetch_from(fake_web), tmp_path / "model", told=nobody)

    assert len(fake_web.asked) == 1
    assert not list(tmp_path.iterdir())
