"""Both generations of the official MCP client against a real server, over HTTP and over stdio."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import onnxruntime
import pytest
import requests
from e2e.mcp_journey import learn_from_photos, use_ml_backend
from e2e.pictures import DATA
from e2e.servers import run_tandem
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from processes import TANDEM

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

NINE = [
    "list-ml-backends",
    "add-ml-backend",
    "get-ml-backend",
    "remove-ml-backend",
    "update-ml-backend",
    "request-interactive-annotation",
    "create-predictions-all-tasks",
    "train",
    "get-model-versions",
]


@dataclass(frozen=True)
class Reached:
    """A server with two web processes, and somebody's key."""

    url: str
    key: str


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    with run_tandem(tmp_path_factory.mktemp("mcp"), TANDEM_WEB_WORKERS="2", TANDEM_TRAIN_WITHIN_S="20") as server:
        _, said = server.say("keys", "create", "--user", "ann@example.com")
        found = re.search(r"mlp_live_\w{24}", said)
        assert found, said
        yield Reached(server.url, found[0])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few real photos of each kind of waste."""
    source = DATA / "cls_trash" / "train"
    if not source.is_dir():
        pytest.skip(f"{source} is missing; TANDEM_TEST_DATA says where the data sets are")
    folder = tmp_path_factory.mktemp("photos")
    for kind in sorted(source.iterdir()):
        (folder / kind.name).mkdir()
        for photo in sorted(kind.glob("*.jpg"))[:10]:
            shutil.copy(photo, folder / kind.name)
    return folder


@pytest.fixture(scope="module")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with version 1 of the SDK, which cannot be installed beside version 2."""
    folder = tmp_path_factory.mktemp("sdk1")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "mcp>=1.30,<2"], check=True)
    return python


def check(reached: Reached, photos: dict[str, Any], backend: dict[str, Any], tmp_path: Path) -> None:
    """What the journey must have seen."""
    assert photos["me"]["authSource"] == "apiKey"
    assert (photos["imported"]["created"], photos["imported"]["errors"]) == (photos["num_images"], [])
    assert photos["startable"]["startable"] is True
    assert photos["trained"]["status"] == "completed"
    assert photos["evaluated"]["run"]["status"] == "completed"
    assert 0 <= photos["evaluated"]["metrics"]["accuracy"] <= 1
    assert photos["inferred"]["predictions"][0]["label"] in photos["labels"]
    content = requests.get(photos["link"]["url"], timeout=30).content
    assert (len(content), hashlib.sha256(content).hexdigest()) == (photos["link"]["bytes"], photos["link"]["sha256"])
    (tmp_path / "model.onnx").write_bytes(content)
    assert onnxruntime.InferenceSession(tmp_path / "model.onnx").get_modelmeta().custom_metadata_map["labels"]

    assert (backend["before"], backend["added"]["state"]) == ([], "CO")
    assert backend["started"]["training_id"].startswith("trn_")
    assert backend["states"][-1] == "CO"
    assert len(backend["versions"]) == 2
    assert backend["removed"] == {"deleted": True, "id": backend["added"]["id"]}


async def journey(server: Any, photos: Path) -> tuple[dict[str, Any], dict[str, Any], str, list[str]]:
    async with Client(server) as client:

        async def call(tool: str, given: dict[str, Any]) -> dict[str, Any]:
            result = await client.call_tool(tool, given)
            assert not result.is_error, (tool, result.content)
            assert result.structured_content is not None
            return result.structured_content

        tools = [tool.name for tool in (await client.list_tools()).tools]
        seen = await learn_from_photos(call, photos)
        backend = await use_ml_backend(call, seen["number"])
        return seen, backend, str(client.protocol_version), tools


def test_the_client_of_today_does_the_whole_journey(reached: Reached, photos: Path, tmp_path: Path) -> None:
    """N-026, S-002: with protocol 2026-07-28, across two web processes."""
    headers = {"Authorization": f"Bearer {reached.key}"}

    async def over_http() -> tuple[dict[str, Any], dict[str, Any], str, list[str]]:
        async with httpx2.AsyncClient(headers=headers, timeout=120) as http:
            return await journey(streamable_http_client(f"{reached.url}/mcp", http_client=http), photos)

    seen, backend, protocol, tools = asyncio.run(over_http())

    assert protocol == "2026-07-28"
    assert tools[:9] == NINE
    check(reached, seen, backend, tmp_path)


def test_a_desktop_client_does_the_whole_journey_over_stdio(reached: Reached, photos: Path, tmp_path: Path) -> None:
    """`tandem mcp`, with the key and the address in the environment, as client configurations give them."""
    program, *arguments = (*TANDEM, "mcp")
    environment = {"TANDEM_API_KEY": reached.key, "TANDEM_BASE_URL": reached.url, "PATH": "/usr/bin:/bin"}
    server = StdioServerParameters(command=program, args=arguments, env=environment, cwd=Path(__file__).parents[2])

    seen, backend, _, tools = asyncio.run(journey(server, photos))

    assert tools[:9] == NINE
    check(reached, seen, backend, tmp_path)


def test_the_client_of_last_year_does_the_whole_journey(
    reached: Reached, photos: Path, old_python: Path, tmp_path: Path
) -> None:
    """N-026, N-016: version 1 of the SDK, with the handshake of 2025."""
    script = Path(__file__).with_name("mcp_journey.py")

    done = subprocess.run(
        [old_python, "-P", script, f"{reached.url}/mcp", reached.key, photos],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert seen["protocol"].startswith("2025-")
    assert seen["tools"][:9] == NINE
    check(reached, seen["photos"], seen["backend"], tmp_path)
