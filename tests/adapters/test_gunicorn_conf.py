"""How gunicorn is set up, and what that means for those who call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from gunicorn.config import Config
from processes import RunningServer, wait_for

from adapters.gunicorn_conf import options
from backend.settings import Settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """`tandem web` alone, two processes, with Basic auth."""
    running = RunningServer(
        tmp_path_factory.mktemp("web"),
        {"TANDEM_WEB_WORKERS": "2", "BASIC_AUTH_USER": "ada", "BASIC_AUTH_PASS": "grün"},
    )
    assert running.say("migrate") == (0, "")
    with (running.folder / "up.log").open("wb") as log:
        running.process = running.tandem("web", output=log)
    wait_for(lambda: ask(running, "/health")[0] == 200, "the server answers", while_alive=running.process)
    yield running
    assert running.stop() == 0


def ask(server: RunningServer, path: str, **headers: str) -> tuple[int, bytes]:
    sent = {"Authorization": "Basic YWRhOmdyw7xu", **headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(server.url + path, headers=sent), timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def test_every_option_is_one_that_gunicorn_knows() -> None:
    config = Config()

    for name, value in options(Settings(host="::1", port=9090)).items():
        config.set(name, value)

    assert config.address == [("::1", 9090)]
    assert config.worker_class_str == "gthread"
    assert config.accesslog is None
    assert config.control_socket_disable


def test_a_second_port_is_opened_only_where_one_is_named() -> None:
    """N-024."""
    config = Config()

    config.set("bind", options(Settings(host="127.0.0.1", port=9090, rest_port=8080))["bind"])
    named = config.address
    config.set("bind", options(Settings(host="127.0.0.1", port=9090))["bind"])

    assert named == [("127.0.0.1", 9090), ("127.0.0.1", 8080)]
    assert config.address == [("127.0.0.1", 9090)]


def test_threads_and_processes_follow_the_settings() -> None:
    assert options(Settings(web_workers=7, web_threads=5))["workers"] == 7
    assert options(Settings(web_workers=7, web_threads=5))["threads"] == 5
    assert 1 <= options(Settings(web_workers=0))["workers"] <= 4


def test_a_slow_prediction_is_not_taken_for_a_dead_process() -> None:
    """Label Studio waits 100 s; a worker's heart is its main thread, which never predicts."""
    chosen = options(Settings())

    assert chosen["worker_class"] == "gthread"
    assert chosen["timeout"] > 100


@pytest.mark.parametrize("value", ["Basic \xff\xfe\xe2\x82\xac", "Basic !!!!", "Bearer \xe9", "Basic"])
def test_credentials_of_odd_bytes_are_refused_politely(server: RunningServer, value: str) -> None:
    status, body = ask(server, "/health", Authorization=value)

    assert status == 401
    assert "BASIC_AUTH_USER" in json.loads(body)["detail"]


def test_nobody_can_pretend_to_be_a_proxy(server: RunningServer) -> None:
    status, _ = ask(
        server, "/health", **{"X-Forwarded-Proto": "https", "Script-Name": "/x", "Forwarded": "proto=https"}
    )

    assert status == 200


def test_counts_are_of_all_processes_together(server: RunningServer) -> None:
    def num_answered() -> float:
        status, text = ask(server, "/metrics", Accept="text/plain")
        assert status == 200
        lines = [line for line in text.decode().splitlines() if line.startswith("tandem_requests_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines if "health" in line)

    before = num_answered()
    for _ in range(40):
        assert ask(server, "/health")[0] == 200

    assert [num_answered() - before for _ in range(5)] == [40] * 5


def test_every_line_of_its_log_is_json(server: RunningServer) -> None:
    ask(server, "/nowhere")

    assert all(json.loads(line)["process"] == "web" for line in server.log.splitlines())


def test_nothing_is_left_in_the_home_folder_of_the_user(server: RunningServer) -> None:
    """gunicorn 27 would open a control socket there."""
    opened = [os.readlink(entry) for pid in server.pids("web") for entry in Path(f"/proc/{pid}/fd").iterdir()]

    assert opened
    assert not any("gunicorn" in name and name.startswith(str(Path.home())) for name in opened)


def test_a_models_folder_where_the_command_is_given_does_not_hide_ours(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise SystemExit('the wrong models')")
    code = (
        "from adapters.gunicorn_conf import Server; from backend.settings import Settings\n"
        "Server(Settings(home='home')).load(); import models; print(models.__file__)"
    )

    said = subprocess.run(
        (sys.executable, "-P", "-c", code),
        cwd=tmp_path,
        env={**server.environment, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert Path(said.stdout.splitlines()[-1]).is_relative_to(Path(__file__).parents[2])
