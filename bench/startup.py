"""How long does `tandem up` take until it is healthy, and how much memory does a web process need?"""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

from bench import load, samples, versions
from bench.report import Finding, at_most, exactly, show
from bench.server import Installation

GOAL_S = 5.0
GOAL_MB = 250.0
_NUM_RESTARTS = 3


def main() -> None:
    """Print the table."""
    with Installation() as installation:
        findings = [at_most("`tandem up` to healthy, empty home", installation.start_s, GOAL_S, "s")]
        for number in range(_NUM_RESTARTS):
            installation.server.stop()
            findings.append(at_most(f"… started again, {number + 1}", _start(installation), GOAL_S, "s"))
        installation.connect()
        versions.add(installation, samples.digits(60))
        asyncio.run(_load_everywhere(installation))
        findings += _memory(installation.web_pids())
    show("Start and memory", findings)


def _start(installation: Installation) -> float:
    started = time.perf_counter()
    installation.server.start()
    return time.perf_counter() - started


async def _load_everywhere(installation: Installation) -> None:
    """Let each web process predict, so that each has loaded the model."""
    for number, connection in enumerate((await installation.connect_to_each_worker()).values()):
        unseen = samples.task(number, samples.data_url(samples.digit(100 + number)))
        with connection:
            answer = await load.exchange(connection, installation.predict_request([unseen]))
        if not answer.is_success or not answer.json()["results"][0]["result"]:
            raise RuntimeError(f"no prediction: {answer.status} {answer.body[:200]!r}")


def _memory(pids: list[int]) -> list[Finding]:
    mapped = [pid for pid in pids if re.search(r"/torch/|libtorch", Path(f"/proc/{pid}/maps").read_text())]
    return [
        at_most(
            "memory of a web process with a model (PSS), largest", max(_mb(pid, "Pss") for pid in pids), GOAL_MB, "MB"
        ),
        at_most("… counting shared pages in full (RSS)", max(_mb(pid, "Rss") for pid in pids), GOAL_MB, "MB"),
        exactly("web processes with torch mapped", len(mapped), 0, of=len(pids)),
    ]


def _mb(pid: int, kind: str) -> float:
    found = re.search(rf"^{kind}:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


if __name__ == "__main__":
    main()
