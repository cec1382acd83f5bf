"""Is Label Studio answered in time while a run trains on all cores and 200 events a second arrive?"""

from __future__ import annotations

import asyncio
import time

from bench import load, samples
from bench.load import Measured, Stream
from bench.report import Finding, at_most, exactly, show
from bench.server import Installation

_DURATION_S = 45.0
_NUM_LABELLED = 1200
_SIDE_PX = 96
"""Large enough for a run that outlasts the measurement."""
_P99_MS = {"/health": 50.0, "/webhook": 50.0, "/setup": 100.0}


def main() -> None:
    """Print the table."""
    with Installation() as installation:
        installation.connect()
        installation.label(samples.labelled(samples.digits(_NUM_LABELLED, side_px=_SIDE_PX)))
        run_id = installation.start_training()
        _await_first_epoch(installation, run_id)
        streams = (
            Stream("/health", 10, lambda _: load.request("GET", "/health"), limit_s=1),
            Stream("/webhook", 200, installation.event_request, limit_s=1),
            Stream("/setup", 5, lambda _: installation.setup_request(), limit_s=3),
        )
        measured = asyncio.run(load.offer(installation.port, streams, _DURATION_S))
        state = installation.run(run_id)["state"]
    findings = [finding for name in _P99_MS for finding in _describe(measured.by_name[name])]
    findings.append(
        Finding("the run trained all the while", "yes" if state == "running" else state, "yes", state == "running")
    )
    show(f"Answers during a training, {_DURATION_S:.0f} s", findings, measured.describe_generator())


def _await_first_epoch(installation: Installation, run_id: str) -> None:
    """Wait until the run computes; before, it fetches and decodes."""
    installation.await_run(run_id, "running", "failed")
    while not installation.run(run_id)["history"]:
        if installation.run(run_id)["state"] != "running":
            raise RuntimeError(f"the run ended before it was measured: {installation.run(run_id)['error']}")
        time.sleep(0.2)


def _describe(measured: Measured) -> list[Finding]:
    name, requests = measured.stream.name, len(measured.answers)
    quantiles = {"p50": 0.5, "p90": 0.9, "p99.9": 0.999, "max": 1.0}
    rest = ", ".join(f"{title} {measured.ms(quantile):.1f}" for title, quantile in quantiles.items())
    return [
        at_most(f"{name} p99", measured.ms(0.99), _P99_MS[name], "ms"),
        Finding("… in ms", rest),
        exactly(f"{name} failed or later than {measured.stream.limit_s:g} s", measured.num_too_late, 0, of=requests),
    ]


if __name__ == "__main__":
    main()
