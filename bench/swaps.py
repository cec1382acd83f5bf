"""Does anybody notice when another version takes over, 50 times under load, and how soon do all processes agree?"""

from __future__ import annotations

import asyncio
import socket
import time
from itertools import count, cycle

from bench import load, samples, versions
from bench.load import Answer, Stream
from bench.report import Finding, at_most, exactly, show
from bench.server import UID, Installation

GOAL_S = 1.0
_NUM_SWAPS = 50
_EVERY_S = 0.6
_PROBES = 3
"""How often a process must say the new version in a row."""


def main() -> None:
    """Print the table."""
    with Installation() as installation:
        installation.connect()
        names = [versions.add(installation, samples.digits(60), seed=seed) for seed in (0, 1)]
        measured, swapped_s, agreed_s = asyncio.run(_swap(installation, names))
        num_workers = len(installation.web_pids())
    answers = [answer for each in measured.by_name.values() for answer in each.answers]
    num_failed = sum(each.num_failed for each in measured.by_name.values())
    num_mixed = sum(
        len(_versions(answer)) != 1 or not _versions(answer) <= set(names) for answer in answers if answer.is_success
    )
    slowest = [f"{name} p99 {each.ms(0.99):.0f} ms" for name, each in measured.by_name.items()]
    show(
        f"{_NUM_SWAPS} version swaps under load",
        [
            exactly("requests failed", num_failed, 0, of=len(answers)),
            exactly("answers of no version, or of several", num_mixed, 0, of=len(answers)),
            exactly("answers of the old version to requests sent after the swap", _num_stale(answers, swapped_s), 0),
            at_most(
                f"until all {num_workers} processes answer the new version, slowest swap",
                max(agreed_s),
                GOAL_S,
                "s",
                digits=3,
            ),
            Finding("… median", f"{load.rank(sorted(agreed_s), 0.5):.3f} s"),
            Finding("load", ", ".join(slowest)),
        ],
        measured.describe_generator(),
    )


async def _swap(
    installation: Installation, names: list[str]
) -> tuple[load.Load, list[tuple[float, float, str]], list[float]]:
    """Swap under load.

    Returns:
        What the load measured; for each swap when it was asked for, when it was acknowledged, and to which version;
        and the seconds from there until every process had answered it.
    """
    numbers = count(1)

    def predict(_: int) -> bytes:
        """Ask for one digit; every fifth is unseen by either version, the others come from the cache."""
        number = next(numbers)
        index = 100 + (number if number % 5 == 0 else 1) % 1600
        return installation.predict_request([samples.task(number, samples.data_url(samples.digit(index)))])

    streams = (
        Stream("/predict", 30, predict, limit_s=100),
        Stream("/setup", 20, lambda _: installation.setup_request(), limit_s=3),
    )
    connections = await installation.connect_to_each_worker()
    offering = asyncio.create_task(load.offer(installation.port, streams, _NUM_SWAPS * _EVERY_S))
    swaps: list[tuple[float, float, str]] = []
    agreed_s: list[float] = []
    for name, _ in zip(cycle(names), range(_NUM_SWAPS), strict=False):
        pin = load.request("POST", f"/tandem/projects/{UID}/versions/{name}/pin", {})
        answer = await load.ask(installation.port, pin)
        if not answer.is_success:
            raise RuntimeError(f"the swap was refused: {answer.status} {answer.body[:200]!r}")
        swaps.append((answer.sent_s, answer.done_s, name))
        probed = [_until_agreed(installation, connection, name) for connection in connections.values()]
        agreed_s.append(max(await asyncio.gather(*probed)) - answer.done_s)
        await asyncio.sleep(max(0.0, answer.sent_s + _EVERY_S - time.perf_counter()))
    for connection in connections.values():
        connection.close()
    return await offering, swaps, agreed_s


async def _until_agreed(installation: Installation, connection: socket.socket, name: str) -> float:
    """Ask one process until it answers a version in /setup and /predict alike; return when it first did."""
    task = samples.task(1, samples.data_url(samples.digit(99)))
    requests = (installation.setup_request(), installation.predict_request([task]))
    first_s, agreed = 0.0, 0
    while agreed < _PROBES:
        answers = [await load.exchange(connection, request) for request in requests]
        if not all(answer.is_success for answer in answers):
            raise RuntimeError(f"a process does not answer: {[answer.status for answer in answers]}")
        if all(_versions(answer) == {name} for answer in answers):
            first_s = first_s if agreed else answers[-1].done_s
            agreed += 1
        else:
            agreed = 0
    return first_s


def _versions(answer: Answer) -> set[str]:
    """Return the versions that an answer of /setup or /predict names."""
    body = answer.json()
    return {result["model_version"] for result in body["results"]} if "results" in body else {body["model_version"]}


def _num_stale(answers: list[Answer], swaps: list[tuple[float, float, str]]) -> int:
    """Count answers of another version than the one in use all the while between sending and answering."""
    stale = 0
    for (_, acknowledged_s, name), (asked_s, _, _) in zip(swaps, [*swaps[1:], (float("inf"), 0.0, "")], strict=True):
        inside = [a for a in answers if a.is_success and a.sent_s > acknowledged_s and a.done_s < asked_s]
        stale += sum(_versions(answer) != {name} for answer in inside)
    return stale


if __name__ == "__main__":
    main()
