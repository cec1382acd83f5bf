"""How ids are made."""

from __future__ import annotations

import os
import time
from datetime import datetime
from hashlib import sha256

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id() -> str:
    """Return a new lower-case ULID: 26 characters that sort by the time they were made (https://github.com/ulid/spec)."""
    return ulid_from_int((time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10)))


def derived_id(whole: str, index: int) -> str:
    """Return the ULID of a part of something that has one: always the same, of the same time.

    Args:
        whole: A lower-case ULID.
        index: Which part.
    """
    return whole[:10] + ulid_from_int(int.from_bytes(sha256(f"{whole}/{index}".encode()).digest()[:10]))[10:]


def first_id_at(moment: datetime) -> str:
    """Return the smallest id that can have been made at a moment.

    >>> from datetime import UTC
    >>> first_id_at(datetime(2026, 11, 21, tzinfo=UTC))
    '01m7xpe6000000000000000000'
    """
    return ulid_from_int(int(moment.timestamp() * 1000) << 80)


def ulid_from_int(value: int) -> str:
    """Write 128 bits as a lower-case ULID."""
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))
