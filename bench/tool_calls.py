"""How much longer does a tool call take than the same call over HTTP, with eight clients at once?"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import requests

from adapters.identifiers import read_id, spell
from backend.ids import new_id
from backend.projects.tasks import Task
from backend.runs.service import TrainingRun
from backend.services import Services
from backend.settings import Settings
from backend.storage.database import next_number
from bench import load
from bench.agent_api import NUM_CONNECTIONS, NUM_WORKERS, REPEATS, Round, figures, prepare, run_round, signed
from bench.report import Finding, at_most, show
from tests.processes import RunningServer

_TIMES, _P99_MS = 2.0, 50.0
_NUM_IMAGES = 50
_PROTOCOL = "2026-07-28"
_META = {"protocolVersion": _PROTOCOL, "clientCapabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as folder:
        server = RunningServer(Path(folder), {"TANDEM_WEB_WORKERS": str(NUM_WORKERS), "TANDEM_LOG_FORMAT": "json"})
        server.start()
        try:
            keys, training = prepare(server, 6 * REPEATS + 1)
            project = _add_images(server, training)
            calls: list[tuple[str, str, dict[str, Any]]] = [
                ("/me", "get-me", {}),
                (f"/training/{training}", "get-training", {"trainingId": training}),
                (f"/projects/{project}/images?limit={_NUM_IMAGES}", "list-images",
                 {"projectId": project, "limit": _NUM_IMAGES}),
            ]  # fmt: skip
            pids = server.pids("adapters.cli.main web")
            for _ in range(4 * NUM_WORKERS):  # each process learns to speak MCP with its first call
                _call(server, keys[-1], "get-me", {})
            findings = []
            for path, tool, given in calls:
                over_http = signed(load.request("GET", path), keys[:-1])
                with_tools = signed(_tool_call(tool, given), keys[:-1])
                rounds = [
                    (
                        asyncio.run(run_round(server.port, over_http, pids)),
                        asyncio.run(run_round(server.port, with_tools, pids)),
                    )
                    for _ in range(REPEATS)
                ]
                findings += _describe(tool, rounds)
        finally:
            server.stop()
    title = f"Tool calls, {NUM_WORKERS} web processes, {NUM_CONNECTIONS} clients; medians of {REPEATS} rounds in turn"
    show(title, findings)


def _describe(tool: str, rounds: Sequence[tuple[Round, Round]]) -> list[Finding]:
    over_http, with_tools = zip(*rounds, strict=True)
    return [
        Finding(f"{tool}: over HTTP", figures(over_http)),
        Finding(f"{tool}: as a tool", figures(with_tools)),
        at_most("… p50 as a tool, of HTTP's", median(b.ms(0.5) / a.ms(0.5) for a, b in rounds), _TIMES, "×"),
        at_most("… p99 as a tool", median(each.ms(0.99) for each in with_tools), _P99_MS, "ms"),
    ]


def _tool_call(tool: str, given: dict[str, Any]) -> bytes:
    meta = {f"io.modelcontextprotocol/{name}": value for name, value in _META.items()}
    params = {"name": tool, "arguments": given, "_meta": meta}
    plain = load.request("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    headers = f"MCP-Protocol-Version: {_PROTOCOL}\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}"
    return plain.replace(b"\r\n\r\n", f"\r\n{headers}\r\n\r\n".encode(), 1)


def _call(server: RunningServer, key: str, tool: str, given: dict[str, Any]) -> None:
    head, _, body = _tool_call(tool, given).partition(b"\r\n\r\n")
    lines = (line.partition(": ") for line in head.decode().split("\r\n")[1:])
    headers = {name: value for name, _, value in lines} | {"Authorization": f"Bearer {key}", "Connection": "close"}
    answered = requests.post(f"{server.url}/mcp", data=body, headers=headers, timeout=20).json()
    if answered["result"].get("isError", False):
        raise RuntimeError(answered)


def _add_images(server: RunningServer, training: str) -> str:
    """Put some images into the project of a training; return its id."""
    with closing(Services.build(Settings(home=server.home))) as services, services.database.transaction() as session:
        project_id = session.get_one(TrainingRun, read_id("training_id", training)).project_id
        for _ in range(_NUM_IMAGES):
            task_id = new_id()
            task = Task(id=task_id, number=next_number(session, "task"), project_id=project_id, external_id=task_id)
            session.add(task)
    return spell("project_id", project_id)


if __name__ == "__main__":
    main()
