"""How Tandem and a model's process talk: JSON values over a socket, each after its length."""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import suppress
from typing import Any

_LENGTH = struct.Struct(">Q")


class Frames:
    """One end of a conversation; any thread may send, one thread receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")
        self._sending = threading.Lock()

    def send(self, value: Any) -> None:
        """Send a value.

        Raises:
            OSError: The other end is gone.
            ValueError: The value is not JSON, such as NaN.
        """
        body = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
        with self._sending:
            self._connection.sendall(_LENGTH.pack(len(body)))
            self._connection.sendall(body)

    def receive(self) -> Any:
        """Wait for the next value.

        Raises:
            EOFError: The other end is gone; there is nothing more to receive.
        """
        try:
            head = self._file.read(_LENGTH.size)
            body = self._file.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
        except OSError as error:
            self._file.close()
            raise EOFError(str(error)) from error
        if not body:
            self._file.close()
            raise EOFError("the other end closed the conversation")
        return json.loads(body)

    def close(self) -> None:
        """End the conversation, also for a thread that is receiving."""
        with suppress(OSError):  # it has ended already
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
