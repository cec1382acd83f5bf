"""How much of what plain Flask can answer is left to an agent, after keys, limits, storage, logs and figures?"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

import requests
from flask import Flask

from adapters.identifiers import spell
from backend.accounts.service import SCOPES, ApiKey
from backend.projects.service import LabelSet, Origin, Project
from backend.projects.tasks import LabelCounts
from backend.rate_limit import CAPACITY
from backend.services import Services
from backend.settings import Settings
from backend.storage.database import next_number
from backend.training.run import RunState
from bench import load
from bench.report import Finding, at_least, show
from models.labels import Label, LabelSchema, Objective
from tests.processes import RunningServer, free_port, wait_for

NUM_WORKERS = 2
_NUM_THREADS = 24
NUM_CONNECTIONS = 8
NUM_REQUESTS = 1000
"""In a round; few enough keys do that no bucket runs empty."""
REPEATS = 5
_SHARE = 80.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as folder:
        server = RunningServer(Path(folder), {"TANDEM_WEB_WORKERS": str(NUM_WORKERS), "TANDEM_LOG_FORMAT": "json"})
        server.start()
        try:
            keys, training_id = prepare(server, 4 * REPEATS)
            asked = {
                "GET /me": (
                    server.port,
                    signed(load.request("GET", "/me"), keys),
                    server.pids("adapters.cli.main web"),
                ),
                "GET /training/{id}": (
                    server.port,
                    signed(load.request("GET", f"/training/{training_id}"), keys),
                    server.pids("adapters.cli.main web"),
                ),
            }
            answers = {
                name: requests.get(
                    f"{server.url}{path}", headers={"Authorization": f"Bearer {keys[0]}"}, timeout=10
                ).content
                for name, path in (("GET /me", "/me"), ("GET /training/{id}", f"/training/{training_id}"))
            }
            findings = []
            for name, (port, contents, pids) in asked.items():
                with _Plain(Path(folder), answers[name]) as plain:
                    rounds = [
                        (
                            asyncio.run(run_round(plain.port, contents, plain.pids)),
                            asyncio.run(run_round(port, contents, pids)),
                        )
                        for _ in range(REPEATS)
                    ]
                findings += _describe(name, len(answers[name]), rounds)
        finally:
            server.stop()
    show(f"What agents ask, {NUM_WORKERS} web processes; medians of {REPEATS} rounds in turn", findings)


def _describe(name: str, size_bytes: int, rounds: Sequence[tuple[Round, Round]]) -> list[Finding]:
    plain, ours = zip(*rounds, strict=True)
    return [
        Finding(f"{name}, {size_bytes} bytes: plain Flask", figures(plain)),
        Finding(f"{name}: Tandem", figures(ours)),
        at_least(
            "… requests a second, of plain Flask", median(100 * b.per_s / a.per_s for a, b in rounds), _SHARE, "%"
        ),
        at_least(
            "… requests a second of processor time", median(100 * a.cpu_ms / b.cpu_ms for a, b in rounds), _SHARE, "%"
        ),
    ]


def figures(rounds: Sequence[Round]) -> str:
    """Say what is usual in some rounds."""
    per_s, cpu_ms, p50, p99 = (
        median(values)
        for values in zip(*((each.per_s, each.cpu_ms, each.ms(0.5), each.ms(0.99)) for each in rounds), strict=True)
    )
    return f"{per_s:.0f}/s, {cpu_ms:.2f} ms of processor time each, p50 {p50:.1f} ms, p99 {p99:.1f} ms"


class Round:
    """What came of some requests, sent over a few connections, each when the one before was answered."""

    def __init__(self, answers: Sequence[load.Answer], seconds: float, cpu_s: float) -> None:
        failed = [answer for answer in answers if not answer.is_success]
        if failed:
            raise RuntimeError(f"{len(failed)} requests failed, such as {failed[0].status} {failed[0].body[:200]!r}")
        self.per_s = len(answers) / seconds
        self.cpu_ms = 1000 * cpu_s / len(answers)
        self._latencies = sorted(answer.done_s - answer.sent_s for answer in answers)

    def ms(self, quantile: float) -> float:
        """Return a quantile of the latencies."""
        return 1000 * load.rank(self._latencies, quantile)


async def run_round(port: int, contents: Sequence[bytes], pids: Sequence[int]) -> Round:
    """Send requests in turn over a few connections; those processes answer them."""
    waiting = iter([contents[number % len(contents)] for number in range(NUM_REQUESTS)])

    async def ask_on() -> list[load.Answer]:
        answers: list[load.Answer] = []
        with socket.socket() as connection:
            connection.setblocking(False)
            for content in waiting:
                answers.append(await load.exchange(connection, content, port=None if answers else port))
        return answers

    before_s, started_s = _cpu_s(pids), time.perf_counter()
    answers = await asyncio.gather(*(ask_on() for _ in range(NUM_CONNECTIONS)))
    seconds = time.perf_counter() - started_s
    return Round([answer for each in answers for answer in each], seconds, _cpu_s(pids) - before_s)


def _cpu_s(pids: Sequence[int]) -> float:
    """Return how long processes have computed."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_S


def signed(plain: bytes, keys: Sequence[str]) -> list[bytes]:
    """Return a request once for each key."""
    return [plain.replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {key}\r\n\r\n".encode()) for key in keys]


def prepare(server: RunningServer, num_rounds: int) -> tuple[list[str], str]:
    """Make a user, so many keys that none of them asks too often, and a training; return those keys and its id."""
    num_keys = -(-num_rounds * NUM_REQUESTS // CAPACITY) + 1
    keys = [f"mlp_live_{number:024}" for number in range(num_keys)]
    with closing(Services.build(Settings(home=server.home))) as services:
        user = services.accounts.create_user("bench@example.com")
        [workspace_id] = services.accounts.local(user).workspace_ids
        with services.database.transaction() as session:
            for key in keys:
                digest = sha256(key.encode()).hexdigest()
                session.add(
                    ApiKey(
                        user_id=user.id, name="bench", digest=digest, prefix="mlp_live_", preview="", scopes=[*SCOPES]
                    )
                )
            project = Project(number=next_number(session, "project"), title="Bench", workspace_id=workspace_id)
            session.add(project)
            session.flush()
            schema = LabelSchema(Objective.CLASSIFICATION, (Label("a"), Label("b")))
            label_set = LabelSet(project_id=project.id, name="kind", title="kind", labels=schema.to_json())
            session.add_all([Origin(project_id=project.id, kind="mlp", uid=project.id), label_set])
            session.flush()
            run = services.runs.describe(services.accounts.local(user), label_set.id, title="first")
            run.state, run.progress = RunState.COMPLETED.value, {"dataset": asdict(LabelCounts(80, 10, 10, 100))}
    return keys, spell("training_id", run.id)


class _Plain:
    """An application that does nothing but answer, in as many processes and threads. A context manager."""

    def __init__(self, folder: Path, body: bytes) -> None:
        self.port = free_port()
        self._body = folder / "body.json"
        self._body.write_bytes(body)

    def __enter__(self) -> Self:
        command = (
            *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}"),
            *("--workers", str(NUM_WORKERS), "--threads", str(_NUM_THREADS), "--worker-class", "gthread"),
            *("--keep-alive", "15", "--log-level", "warning", "--no-control-socket", "bench.agent_api:plain_flask()"),
        )
        self._process = subprocess.Popen(command, env={**os.environ, "BENCH_BODY": str(self._body)})  # noqa: S603
        wait_for(self._answers, "plain Flask answers", while_alive=self._process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def _answers(self) -> bool:
        with suppress(OSError):
            return requests.get(f"http://127.0.0.1:{self.port}/me", timeout=2).ok
        return False


def plain_flask() -> Flask:
    """Return an application that answers everything with the same JSON, which Flask renders each time."""
    app = Flask("plain")
    content: dict[str, Any] = json.loads(Path(os.environ["BENCH_BODY"]).read_bytes())

    @app.get("/<path:_>")
    def same(_: str) -> dict[str, Any]:
        return content

    return app


if __name__ == "__main__":
    main()
