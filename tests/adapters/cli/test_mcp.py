"""`tandem mcp`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from click.testing import Result
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from processes import TANDEM
from reachable import ReachableServer


def test_somebody_must_be_logged_in(tandem: Callable[..., Result]) -> None:
    refused = tandem("mcp")

    assert refused.exit_code == 3
    assert "tandem auth login" in refused.output


def test_a_client_starts_it_with_a_key_and_an_address(reachable: ReachableServer) -> None:
    """And another key may count for one call (N-020)."""
    program, *arguments = (*TANDEM, "mcp")
    environment = {"TANDEM_BASE_URL": reachable.url, "TANDEM_API_KEY": reachable.mint("ann@example.com")}
    bob = f"Bearer {reachable.mint('bob@example.com')}"

    async def talk() -> list[Any]:
        started = StdioServerParameters(command=program, args=arguments, env=environment)
        async with Client(stdio_client(started)) as client:
            return [await client.call_tool("get-me", given) for given in ({}, {"Authorization": bob})]

    said = [result.structured_content["email"] for result in asyncio.run(talk())]

    assert said == ["ann@example.com", "bob@example.com"]
