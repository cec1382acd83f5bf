"""A server asked over HTTP."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from doubles import Answer, FakeWeb
from processes import free_port
from reachable import ReachableServer

from adapters.cli.remote import Remote, chosen_remote
from adapters.replies import Problem
from adapters.verbs import Asked


@pytest.fixture
def remote(reachable: ReachableServer) -> Remote:
    return Remote(reachable.url, reachable.mint("ann@example.com"))


def answer(status: int, body: object, **headers: str) -> Answer:
    return Answer(status, json.dumps(body).encode(), {name.replace("_", "-"): each for name, each in headers.items()})


def test_what_is_asked_is_answered(remote: Remote) -> None:
    made = remote.call("projects create", {"name": "cats"})

    assert remote.call("projects show", {"projectId": made["id"]})["name"] == "cats"
    assert remote.call("projects delete", {"projectId": made["id"]}) is None


def test_a_refusal_is_a_problem_with_the_request_that_it_was(remote: Remote) -> None:
    """S-005, as far as commands tell it."""
    with pytest.raises(Problem) as raised:
        remote.call("images show", {"imageId": "img_x"})

    assert (raised.value.code, raised.value.status) == ("NOT_FOUND", 404)
    assert raised.value.request_id


def test_with_the_same_key_it_is_done_once(remote: Remote) -> None:
    """S-011, over the command line's connection."""
    first, again = (remote.call("projects create", {"name": "cats"}, idempotency_key="k") for _ in range(2))

    assert first == again
    with pytest.raises(Problem, match="Idempotency-Key"):
        remote.call("projects create", {"name": "dogs"}, idempotency_key="k")


def test_all_pages_come_one_after_the_other(remote: Remote) -> None:
    """S-012, over the command line's connection."""
    for number in range(5):
        remote.call("projects create", {"name": str(number)})

    assert [each["name"] for each in remote.pages("projects list", {"limit": 2})] == list("43210")


def test_things_are_found_by_names_that_only_one_has(remote: Remote) -> None:
    for name in ("cats", "twice", "twice"):
        project = remote.call("projects create", {"name": name})["id"]
    [cats] = [each["id"] for each in remote.pages("projects list", {}) if each["name"] == "cats"]
    labels = {"taskType": "classification", "labels": ["manx", "persian"]}
    breeds = remote.call("labelsets create", {"projectId": cats, "name": "breeds", **labels})["id"]

    assert remote.find("projectId", "cats") == remote.find("projectId", cats) == cats
    assert remote.find("labelSetId", "cats/breeds") == remote.find("labelSetId", breeds) == breeds
    assert remote.find("imageId", "whatever") == "whatever"
    for named, what in (("cats/no", "no label set 'no'"), ("breeds", "PROJECT/NAME"), ("twice/x", project)):
        with pytest.raises(Problem, match=what):
            remote.find("labelSetId", named)


def test_who_is_too_fast_waits_as_told(fake_web: FakeWeb) -> None:
    """S-006, as far as commands bear it."""
    fake_web.answers["/me"] = json.dumps({"ok": True, "data": {"name": "Ann"}, "requestId": "R"}).encode()
    fake_web.break_path("/me", answer(429, {}, Retry_After="1"))
    said: list[str] = []

    data = Remote(fake_web.url, "key", say=said.append).call("whoami", {})

    assert data == {"name": "Ann"}
    assert said == ["The server asks to be called less often; going on in 1 s."]


def test_a_long_wait_is_nobodys_to_decide_but_theirs_who_asked(fake_web: FakeWeb) -> None:
    problem = {"ok": False, "error": {"code": "RATE_LIMITED", "message": "Too often.", "details": {}}}
    fake_web.break_path("/me", answer(429, problem, Retry_After="61"))

    with pytest.raises(Problem, match="Too often"):
        Remote(fake_web.url, "key").call("whoami", {})


def test_nobody_is_sent_on_with_a_key(fake_web: FakeWeb) -> None:
    """S-015."""
    fake_web.break_path("/me", answer(302, {}, Location="https://elsewhere.example.com/me"))

    with pytest.raises(Problem, match=r"sends us on to https://elsewhere\.example\.com"):
        Remote(fake_web.url, "key").call("whoami", {})


def test_netrc_does_not_take_the_place_of_the_key(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))

    assert remote.call("whoami", {})["email"] == "ann@example.com"


@pytest.mark.parametrize("key", ["ключ", "a\nb"])
def test_what_cannot_be_a_key_is_refused_as_one(reachable: ReachableServer, key: str) -> None:
    with pytest.raises(Problem) as raised:
        Remote(reachable.url, key).call("whoami", {})

    assert raised.value.status == 401


def test_a_server_that_does_not_answer_is_a_problem() -> None:
    with pytest.raises(Problem, match=r"cannot be reached \(connection refused\); is it running\?") as raised:
        Remote(f"http://127.0.0.1:{free_port()}", "key").call("whoami", {})

    assert raised.value.code == "SERVICE_UNAVAILABLE"


def test_who_is_not_logged_in_is_told_how(home: Path) -> None:
    with pytest.raises(Problem, match="tandem auth login") as raised:
        chosen_remote()

    assert raised.value.status == 401


def test_a_body_tells_how_much_of_it_has_been_sent(fake_web: FakeWeb) -> None:
    fake_web.answers["/up"] = b'{"ok": true}'
    fake_web.break_path("/up", answer(429, {}, Retry_After="1"))
    sent: list[tuple[int, int]] = []

    Remote(fake_web.url, "key").send_json("/up", io.BytesIO(b"x" * 100_000), on_sent=lambda *each: sent.append(each))

    assert sent[-1] == (100_000, 100_000)
    assert [len(each.body) for each in fake_web.asked_for("/up")] == [100_000, 100_000]


def test_files_are_sent_as_a_form(fake_web: FakeWeb) -> None:
    fake_web.answers["/up"] = b'{"ok": true, "data": 1, "requestId": "R"}'

    data = Remote(fake_web.url, "key").upload(
        "/up",
        [("files", "a.png", b"one", "image/png"), ("files", "b.png", io.BytesIO(b"two"), "image/png")],
        {"n": "1"},
    )

    [asked] = fake_web.asked_for("/up")
    assert data == 1
    assert asked.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert all(part in asked.body for part in (b'filename="a.png"', b"one", b"two", b'name="n"'))


def test_a_streamed_refusal_is_a_problem_too(remote: Remote) -> None:
    with pytest.raises(Problem, match="no such image"):
        remote.stream(Asked("GET", "/images/img_x/file"))


def test_remotes_do_not_show_their_key(remote: Remote, reachable: ReachableServer) -> None:
    """S-015."""
    key = reachable.mint("ann@example.com")

    assert key not in repr(Remote(reachable.url, key))
