from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from backend.errors import NotFound
from backend.inference.engine import Engine
from backend.versions.registry import ModelVersion


def version(name: str) -> ModelVersion:
    return cast(ModelVersion, SimpleNamespace(id=name, name=name))


@dataclass
class Loaded:
    name: str
    num_bytes: int = 100


def test_a_version_is_loaded_once_whoever_asks() -> None:
    loads: list[str] = []

    def load(wanted: ModelVersion) -> Any:
        time.sleep(0.05)
        loads.append(wanted.id)
        return Loaded(wanted.id)

    engine = Engine(load, capacity_bytes=1000)
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(engine.predictor(version("a")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert loads == ["a"]
    assert len(set(map(id, got))) == 1


def test_the_least_recently_used_version_goes_first() -> None:
    engine = Engine(lambda wanted: cast(Any, Loaded(wanted.id)), capacity_bytes=250)
    for name in ("a", "b", "a", "c"):
        engine.predictor(version(name))

    assert [engine.is_loaded(name) for name in ("a", "b", "c")] == [True, False, True]
    assert engine.num_bytes == 200


def test_a_version_larger_than_the_memory_still_answers() -> None:
    engine = Engine(lambda wanted: cast(Any, Loaded(wanted.id)), capacity_bytes=10)

    engine.predictor(version("a"))
    engine.predictor(version("b"))

    assert [engine.is_loaded(name) for name in ("a", "b")] == [False, True]


def test_a_load_that_failed_is_tried_again() -> None:
    attempts: list[str] = []

    def load(wanted: ModelVersion) -> Any:
        attempts.append(wanted.id)
        if len(attempts) == 1:
            raise NotFound("a file is missing")
        return Loaded(wanted.id)

    engine = Engine(load, capacity_bytes=1000)

    with pytest.raises(NotFound):
        engine.predictor(version("a"))
    engine.predictor(version("a"))

    assert len(attempts) == 2
