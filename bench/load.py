"""How is load made that hides nothing? Open loop: requests are sent when they are due, whatever became of the others.

Latency counts from the moment a request was due, so neither a slow server nor a slow generator can postpone what would
have been slow ("coordinated omission"). Whatever fails counts as infinitely slow. As Label Studio does, each request
opens a connection of its own and offers to keep it alive.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

GIVE_UP_S = 20.0
_HEAD = (
    "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: tandem-bench\r\n"
    "Accept: */*\r\nConnection: keep-alive\r\n"
)


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests of one kind, arriving independently of each other.

    Attributes:
        name: For the table.
        per_s: How many arrive in a second, on average.
        make: Returns the bytes of the request with this number.
        limit_s: How long Label Studio waits for the answer.
    """

    name: str
    per_s: float
    make: Callable[[int], bytes]
    limit_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request.

    Attributes:
        due_s, sent_s, done_s: When; seconds of `time.perf_counter`.
        status: 0 where no answer came.
    """

    due_s: float
    sent_s: float
    done_s: float
    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether it was answered, and with success."""
        return 200 <= self.status < 300

    @property
    def latency_s(self) -> float:
        """Seconds from when it was due to the end of the answer; infinite for a failure."""
        return self.done_s - self.due_s if self.is_success else math.inf

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Measured:
    """The answers of one stream."""

    stream: Stream
    answers: Sequence[Answer]

    def ms(self, quantile: float) -> float:
        """Return the smallest latency that so many of all requests did not exceed, in milliseconds."""
        return 1000 * rank(sorted(answer.latency_s for answer in self.answers), quantile)

    @property
    def num_failed(self) -> int:
        """How many were not answered with success."""
        return sum(not answer.is_success for answer in self.answers)

    @property
    def num_too_late(self) -> int:
        """How many were answered after Label Studio had given up, or failed."""
        return sum(answer.latency_s > self.stream.limit_s for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Load:
    """What a load measured.

    Attributes:
        by_name: The streams.
        cpu_share: How much of one core the generator took.
    """

    by_name: dict[str, Measured]
    cpu_share: float

    def describe_generator(self) -> str:
        """Say how far the generator itself can be trusted: its own delays are in all latencies."""
        lags = sorted(a.sent_s - a.due_s for measured in self.by_name.values() for a in measured.answers)
        return (
            f"generator: {len(lags):,} requests, sent {1000 * rank(lags, 0.5):.1f} ms after they were due (p50), "
            f"{1000 * rank(lags, 0.99):.1f} (p99), {1000 * lags[-1]:.1f} (max); {self.cpu_share:.0%} of a core"
        )


def rank(ordered: Sequence[float], quantile: float) -> float:
    """Return an exact quantile of ordered values (nearest rank): one of them, never between two."""
    return ordered[max(0, math.ceil(quantile * len(ordered)) - 1)] if ordered else math.nan


def request(method: str, path: str, body: object = None) -> bytes:
    """Return the bytes of a request with a JSON body."""
    head = _HEAD.format(method=method, path=path)
    if body is None:
        return f"{head}\r\n".encode()
    content = json.dumps(body).encode()
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


async def offer(port: int, streams: Sequence[Stream], duration_s: float, *, seed: int = 0) -> Load:
    """Send requests for so long, wait for their answers, and return what became of each."""
    gc.collect()
    gc.disable()  # a collection would delay everything that is due meanwhile
    started_s, cpu_started_s = time.perf_counter(), time.process_time()
    try:
        seeds = np.random.SeedSequence(seed).spawn(len(streams))
        moments = [
            _moments(stream.per_s, duration_s, np.random.default_rng(each))
            for stream, each in zip(streams, seeds, strict=True)
        ]
        answers = await asyncio.gather(
            *(_feed(port, stream, started_s, each) for stream, each in zip(streams, moments, strict=True))
        )
    finally:
        gc.enable()
    cpu_share = (time.process_time() - cpu_started_s) / (time.perf_counter() - started_s)
    measured = {stream.name: Measured(stream, each) for stream, each in zip(streams, answers, strict=True)}
    return Load(measured, cpu_share)


def _moments(per_s: float, duration_s: float, draw: np.random.Generator) -> list[float]:
    """Return when requests are due: a Poisson process of which the number of arrivals is known."""
    return sorted(draw.uniform(0, duration_s, round(per_s * duration_s)).tolist())


async def _feed(port: int, stream: Stream, started_s: float, moments: Sequence[float]) -> list[Answer]:
    sent: list[asyncio.Task[Answer]] = []
    for number, moment in enumerate(moments):
        content = stream.make(number)
        due_s = started_s + moment
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        sent.append(asyncio.create_task(ask(port, content, due_s=due_s)))
    return await asyncio.gather(*sent)


async def ask(port: int, content: bytes, *, due_s: float | None = None) -> Answer:
    """Send one request over a connection of its own."""
    with socket.socket() as connection:
        connection.setblocking(False)
        return await exchange(connection, content, port=port, due_s=due_s)


async def exchange(
    connection: socket.socket, content: bytes, *, port: int | None = None, due_s: float | None = None
) -> Answer:
    """Send one request over a connection, which is made first where a port is given."""
    loop = asyncio.get_running_loop()
    sent_s = time.perf_counter()
    status, body = 0, b""
    try:
        async with asyncio.timeout(GIVE_UP_S):
            if port is not None:
                await loop.sock_connect(connection, ("127.0.0.1", port))
            await loop.sock_sendall(connection, content)
            status, body = await _receive(loop, connection)
    except (OSError, TimeoutError, ValueError):
        status = 0
    return Answer(sent_s if due_s is None else due_s, sent_s, time.perf_counter(), status, body)


async def _receive(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> tuple[int, bytes]:
    received = bytearray()
    head_end = length = -1
    while head_end < 0 or len(received) < head_end + length:
        chunk = await loop.sock_recv(connection, 1 << 18)
        if not chunk:
            raise ValueError("the connection was closed before the answer was complete")
        received += chunk
        if head_end < 0 and (found := received.find(b"\r\n\r\n")) >= 0:
            head_end = found + 4
            length = _content_length(received[:head_end])
    return int(received[9:12]), bytes(received[head_end : head_end + length])


def _content_length(head: bytearray) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without Content-Length")
