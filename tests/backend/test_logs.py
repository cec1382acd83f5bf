from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from backend import logs
from backend.settings import LogFormat, Settings

log = logging.getLogger("somebody")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def as_json(settings: Settings) -> Settings:
    return settings.model_copy(update={"log_format": LogFormat.JSON})


def test_a_line_is_json_with_its_fields_and_its_context(as_json: Settings, capsys: Any) -> None:
    logs.configure(as_json, process="web")

    with logs.context(request_id="r1"), logs.context(run_id="r2"):
        log.info("run completed", extra={"ms": 1.5, "labels": {"a"}})
    log.warning("after")

    inside, after = map(json.loads, capsys.readouterr().err.splitlines())
    at = datetime.fromisoformat(inside.pop("timestamp"))
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60
    assert inside == {
        "event": "run completed",
        "request_id": "r1",
        "run_id": "r2",
        "level": "info",
        "logger": "somebody",
        "ms": 1.5,
        "labels": "{'a'}",
        "process": "web",
    }
    assert (after["level"], "request_id" in after) == ("warning", False)


def test_a_traceback_is_in_the_line(as_json: Settings, capsys: Any) -> None:
    logs.configure(as_json, process="web")

    try:
        raise RuntimeError("broken")
    except RuntimeError:
        log.exception("job failed")

    line = json.loads(capsys.readouterr().err)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("RuntimeError: broken")


def test_lines_for_people_tell_the_same(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(settings.model_copy(update={"log_format": LogFormat.CONSOLE}), process="web")

    with logs.context(request_id="r1"):
        log.info("run completed", extra={"ms": 1.5})

    said = capsys.readouterr().err
    assert all(word in said for word in ("run completed", "r1", "1.5", "web"))


def test_the_request_is_known_inside_only() -> None:
    with logs.context(request_id="r1"):
        assert logs.request_id() == "r1"

    assert logs.request_id() is None
