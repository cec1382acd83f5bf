"""The conversation between Tandem and a model's process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from adapters.hosting.shim.label_studio_ml._tandem.frames import Frames


@pytest.fixture
def ends() -> Iterator[tuple[Frames, Frames]]:
    one, other = (Frames(connection) for connection in socket.socketpair())
    yield one, other
    one.close()
    other.close()
    for end in (one, other):
        with pytest.raises(EOFError):
            end.receive()


def test_values_arrive_in_order_whatever_their_size(ends: tuple[Frames, Frames]) -> None:
    ours, theirs = ends
    values = [{"x": "ü" * 300_000}, None, [1, 2.5]]
    sender = threading.Thread(target=lambda: [ours.send(value) for value in values])
    sender.start()

    assert [theirs.receive() for _ in values] == values
    sender.join()


def test_what_is_no_json_is_refused_before_anything_is_sent(ends: tuple[Frames, Frames]) -> None:
    ours, theirs = ends
    with pytest.raises(ValueError, match="Out of range float"):
        ours.send(float("nan"))

    ours.send("next")
    assert theirs.receive() == "next"
