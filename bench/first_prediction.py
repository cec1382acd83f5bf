"""How long after the annotation that makes it due does a new version predict?"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Any

from bench import load, samples
from bench.report import Finding, at_most, show
from bench.server import UID, Installation

GOAL_S = 120.0
_STAGES = (20, 150)
"""Numbers of labels: the first that train at all, and as many as people label in an hour."""
_PAUSE_S = 0.2
_PATIENCE_S = 900.0


def main() -> None:
    """Print the table."""
    findings: list[Finding] = []
    with Installation() as installation:
        installation.connect()
        for start, end in zip((0, *_STAGES), _STAGES, strict=False):
            before = installation.version()
            due_s = _annotate(installation, start, end)
            seconds = asyncio.run(_await_prediction(installation, before)) - due_s
            run = installation.get(f"/tandem/projects/{UID}/runs")["runs"][0]
            findings += [
                at_most(f"annotation {end} → prediction of a new version", seconds, GOAL_S, "s"),
                Finding("… of which training", f"{_seconds(run, 'started_at', 'finished_at'):.1f} s"),
            ]
    show("First prediction of a new version, digits of 8 × 8 pixels", findings)


def _annotate(installation: Installation, start: int, end: int) -> float:
    """Label images one by one, with their events; return when the last event was sent."""
    sent_s = 0.0
    for index in range(start, end):
        installation.label(samples.labelled([samples.digit(index)], start=index + 1))
        sent_s = time.perf_counter()
        answer = asyncio.run(load.ask(installation.port, installation.event_request(index + 1)))
        if not answer.is_success:
            raise RuntimeError(f"an event was not taken: {answer.status} {answer.body[:200]!r}")
    return sent_s


async def _await_prediction(installation: Installation, before: str) -> float:
    """Ask for a prediction again and again; return when the first came that another version made."""
    request = installation.predict_request([samples.task(1797, samples.data_url(samples.digit(1796)))])
    deadline = time.perf_counter() + _PATIENCE_S
    while time.perf_counter() < deadline:
        answer = await load.ask(installation.port, request)
        if answer.is_success and answer.json()["results"][0]["model_version"] != before:
            return answer.done_s
        await asyncio.sleep(_PAUSE_S)
    raise TimeoutError(f"{before} still answers: {installation.get(f'/tandem/projects/{UID}')['newest_run']}")


def _seconds(run: dict[str, Any], start: str, end: str) -> float:
    return (datetime.fromisoformat(run[end]) - datetime.fromisoformat(run[start])).total_seconds()


if __name__ == "__main__":
    main()
