"""One message over HTTP, answered in the thread that it came in.

The SDK is asynchronous, and the server that it is a part of has a thread for each request. Its session manager keeps
nothing between requests here, so each gets one of its own, on the event loop of its thread. What a tool does blocks
that loop, and nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from selectors import DefaultSelector, SelectorKey
from threading import local
from typing import Any

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from adapters.mcp.calling import Caller, Result
from adapters.mcp.protocol import Context, make_speaker
from adapters.replies import Reply

_CALLER = "tandem.caller"
_READ_BY_SDK = ("content-type", "mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id")


class Exchange:
    """Answers messages; one for all threads."""

    def __init__(self) -> None:
        self._speaker = make_speaker(_find_caller, _at_once)
        self._of_thread = _OfThread()

    def answer(self, message: bytes, headers: Mapping[str, str], caller: Caller) -> Reply:
        """Answer a message.

        Args:
            message: JSON-RPC.
            headers: Of the request that it came in, by names in lower case.
            caller: Who sent it.
        """
        return self._of_thread.own.loop.run_until_complete(self._answer(message, headers, caller))

    async def _answer(self, message: bytes, headers: Mapping[str, str], caller: Caller) -> Reply:
        said: list[Mapping[str, Any]] = []
        to_come = [{"type": "http.request", "body": message, "more_body": False}]

        async def receive() -> Any:
            return to_come.pop() if to_come else await asyncio.Event().wait()

        async def send(event: Any) -> None:
            said.append(event)

        manager = StreamableHTTPSessionManager(
            self._speaker, json_response=True, stateless=True, max_request_body_size=max(1, len(message))
        )
        async with manager.run():
            await manager.handle_request(_scope(headers, caller), receive, send)
        start, *parts = said
        return Reply(
            int(start["status"]),
            {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]},
            b"".join(part.get("body", b"") for part in parts),
        )


class _Eager(DefaultSelector):
    """Asks the system for news only where nothing is left to do: each time, another thread may take the interpreter."""

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        return super().select(timeout) if timeout is None or timeout > 0 else []


class _Loop:
    """An event loop that is closed with the thread that it belongs to."""

    def __init__(self) -> None:
        self.loop = asyncio.SelectorEventLoop(_Eager())

    def __del__(self) -> None:
        self.loop.close()


class _OfThread(local):
    """What each thread has of its own: making a loop takes a good part of what answering a message does."""

    def __init__(self) -> None:
        self.own = _Loop()


def _scope(headers: Mapping[str, str], caller: Caller) -> dict[str, Any]:
    """Describe a request in the words of ASGI; whoever forgets to accept both kinds of answers is forgiven."""
    known = {name: headers[name] for name in _READ_BY_SDK if name in headers}
    known["accept"] = "application/json, text/event-stream"
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/mcp",
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in known.items()],
        _CALLER: caller,
    }


def _find_caller(context: Context) -> Caller:
    assert context.request is not None, "over HTTP, there is one"
    caller: Caller = context.request.scope[_CALLER]
    return caller


async def _at_once(work: Callable[[], Result]) -> Result:
    return work()
