"""`tandem up` as its users meet it: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from processes import RunningServer, free_port, wait_for

from adapters.cli.up import find_gpus
from backend.settings import Device, Settings

SETUP = {
    "project": "7.1795203195",
    "schema": '<View><Image name="i" value="$image"/><Choices name="pet" toName="i"><Choice value="cat"/>'
    '<Choice value="dog"/></Choices></View>',
    "hostname": "http://label-studio.test",
}


def post(server: RunningServer, path: str, body: object) -> Any:
    request = urllib.request.Request(f"{server.url}{path}", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_everything_runs_and_training_steps_back_for_the_rest(server: RunningServer) -> None:
    for words in ("main web", "worker background", "worker clock", "worker trainer", "redis"):
        wait_for(lambda words=words: server.pids(words), f"{words} runs")

    assert os.getpriority(os.PRIO_PROCESS, server.pids("worker trainer")[0]) == 15
    assert os.getpriority(os.PRIO_PROCESS, server.pids("worker clock")[0]) == 0


def test_the_log_says_where_to_connect_and_what_label_studio_needs(server: RunningServer) -> None:
    """C-136."""
    wait_for(lambda: "label studio not usable" in server.log, "everything is said")

    events = {event["event"]: event for event in map(json.loads, server.log.splitlines())}
    ready = events["server ready"]
    assert ready["urls"] == [server.url]
    assert ready["basic_auth"] is False
    assert ready["webhooks"] == "auto: open to everyone"
    assert ready["label_studio_needs"] == "ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false"
    assert "LABEL_STUDIO_URL" in events["label studio not usable"]["reason"]


def test_what_it_stores_is_for_its_owner_only(server: RunningServer) -> None:
    assert server.home.stat().st_mode & 0o777 == 0o700


def test_its_redis_has_no_port(server: RunningServer) -> None:
    [redis] = server.pids("redis")
    listening = {line.split()[9] for line in Path(f"/proc/{redis}/net/tcp").read_text().splitlines() if " 0A " in line}
    opened = [os.readlink(entry) for entry in Path(f"/proc/{redis}/fd").iterdir()]

    assert not listening & {link.removeprefix("socket:[").removesuffix("]") for link in opened}


def test_a_second_one_on_the_same_folder_is_refused(server: RunningServer) -> None:
    code, said = server.say("up", PORT=str(free_port()))

    assert code == 5
    assert said == (
        f"Error: another `tandem up` (process {server.pid}) uses {server.home}; stop it, or set TANDEM_HOME and PORT "
        "to run a second server\n"
    )


def test_a_taken_port_is_one_clear_sentence(server: RunningServer, tmp_path: Path) -> None:
    code, said = server.say("up", TANDEM_HOME=str(tmp_path))

    assert code == 1
    assert said == (
        f"Error: port {server.port} is taken by another program; stop it, or choose another port: "
        f"PORT={server.port + 1} tandem up\n"
    )


def test_a_database_that_cannot_be_reached_ends_it_with_a_sentence_and_nothing_is_left(tmp_path: Path) -> None:
    server = RunningServer(tmp_path, {"DATABASE_URL": f"sqlite:////proc/none/{tmp_path.name}/x.sqlite3"})

    code, said = server.say("up")

    assert code == 1
    assert said.endswith("Error: the database could not be prepared; the lines above say why\n")
    assert server.pids() == []


def test_what_crashes_comes_back(server: RunningServer) -> None:
    wait_for(lambda: server.pids("worker clock"), "the clock runs")
    before = {words: server.pids(words)[0] for words in ("main web", "worker clock", "redis")}

    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    for words, pid in before.items():
        wait_for(lambda words=words, pid=pid: set(server.pids(words)) - {pid}, f"{words} is back")
    server.await_health()
    wait_for(lambda: server.say("doctor", "--json")[1].count('"broken"') == 0, "the doctor is content")


def test_after_a_kill_nothing_runs_and_a_restart_finds_everything_as_it_was(tmp_path: Path) -> None:
    server = RunningServer(tmp_path)
    server.start()
    version = post(server, "/setup", SETUP)["model_version"]
    wait_for(lambda: server.pids("worker trainer"), "all of it runs")

    server.stop(signal.SIGKILL)
    wait_for(lambda: server.pids() == [], "nothing is left running")
    server.start()

    [project] = json.loads(server.say("status", "--json")[1])
    assert project["uid"] == SETUP["project"]
    assert project["label_sets"][0]["name"] == "pet"
    assert post(server, "/setup", SETUP)["model_version"] == version
    assert server.stop(signal.SIGINT) == 0
    assert server.pids() == []


@pytest.mark.parametrize(
    ("device", "chosen", "expected"),
    [
        (Device.CPU, "0,1", []),
        (Device.AUTO, "0,1", ["0", "1"]),
        (Device.AUTO, "GPU-5a", ["GPU-5a"]),
        (Device.AUTO, "-1", []),
        (Device.AUTO, "", []),
    ],
)
def test_one_trainer_for_each_gpu_that_may_be_used(
    monkeypatch: pytest.MonkeyPatch, device: Device, chosen: str, expected: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)

    assert find_gpus(Settings(device=device)) == expected


def test_without_a_choice_nvidia_smi_says_which_gpus_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists_two = tmp_path / "nvidia-smi"
    lists_two.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho 'GPU 1: B (UUID: GPU-2)'\n")
    lists_two.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    assert find_gpus(Settings()) == ["0", "1"]


def test_a_header_that_is_not_ascii_and_a_forged_forwarding_disturb_nobody(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(
            b"GET /health HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \xff\xfe\xe2\x82\xac\r\n"
            b"X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(4096), b""))

    assert answer.startswith(b"HTTP/1.1 200 ")
