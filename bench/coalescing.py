"""How many runs do 1,000 events make that arrive during a run, and is any of them lost?"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence

from bench import load, samples
from bench.load import Stream
from bench.report import Finding, at_most, exactly, show
from bench.server import UID, Installation

_NUM_EVENTS = 1000
_DURATION_S = 60.0
_NUM_LABELLED = 300
_MAX_RUNS = 2
_FINAL = ("completed", "failed", "cancelled")


def main() -> None:
    """Print the table."""
    with Installation() as installation:
        installation.connect()
        installation.label(samples.labelled(samples.digits(_NUM_LABELLED)))
        first_run = installation.start_training()
        installation.await_run(first_run, "running", *_FINAL)

        def annotate(number: int) -> bytes:
            """Somebody labels one more image, and Label Studio says so."""
            index = _NUM_LABELLED + number
            installation.label(samples.labelled([samples.digit(index)], start=index + 1))
            return installation.event_request(index + 1)

        stream = Stream("/webhook", _NUM_EVENTS / _DURATION_S, annotate, limit_s=1)
        measured = asyncio.run(load.offer(installation.port, [stream], _DURATION_S))
        state = installation.run(first_run)["state"]
        runs = _await_rest(installation)[:-1]
        rows = _ask(installation, "SELECT count(*) FROM events")
        waiting = _ask(installation, "SELECT count(*) FROM events WHERE run_id IS NULL")
        every = installation.get(f"/tandem/projects/{UID}")["train_every"]
        collected = _num_collected(installation, runs[0]["id"]) if runs else 0
    acknowledged = sum(answer.is_success for answer in measured.by_name["/webhook"].answers)
    show(
        f"{_NUM_EVENTS:,} events in {_DURATION_S:.0f} s",
        [
            exactly("events acknowledged", acknowledged, _NUM_EVENTS),
            exactly("events stored", rows, acknowledged),
            Finding("events that no run took in, fewer than make a run", str(waiting), f"< {every}", waiting < every),
            at_most("runs that followed", len(runs), _MAX_RUNS, "runs", digits=0),
            exactly("… completed", sum(run["state"] == "completed" for run in runs), len(runs)),
            exactly("labels that the newest run learnt from", collected, _NUM_LABELLED + _NUM_EVENTS - waiting),
            Finding("the first run when the last event came", state),
        ],
        measured.describe_generator(),
    )


def _await_rest(installation: Installation) -> Sequence[dict[str, str]]:
    """Wait until nothing is left to do; return all runs, newest first."""
    while True:
        project = installation.get(f"/tandem/projects/{UID}")
        runs: list[dict[str, str]] = installation.get(f"/tandem/projects/{UID}/runs")["runs"]
        is_due = project["num_changes_waiting"] >= project["train_every"]
        if not is_due and all(run["state"] in _FINAL for run in runs):
            return runs
        time.sleep(0.5)


def _num_collected(installation: Installation, run_id: str) -> int:
    (line,) = (entry["text"] for entry in installation.run(run_id)["log"] if entry["text"].startswith("collected "))
    return int(line.split()[1])


def _ask(installation: Installation, query: str) -> int:
    with sqlite3.connect(f"file:{installation.database}?mode=ro", uri=True) as connection:
        return int(connection.execute(query).fetchone()[0])


if __name__ == "__main__":
    main()
