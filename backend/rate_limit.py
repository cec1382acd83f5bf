"""How often somebody may call: a token bucket that all processes share."""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

log = logging.getLogger(__name__)

CAPACITY = 120
"""Calls that a full bucket holds."""
REFILL_PER_S = 1.0
_DOWN_FOR_S = 5.0
"""How long nobody is counted after Redis did not answer, so that not every request waits for it."""

_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local size, cost = ARGV[1] * ARGV[2], ARGV[2]
local to_full = math.max(tonumber(redis.call('GET', KEYS[1]) or now) - now, 0)
if to_full + cost > size then
  return {to_full, to_full + cost - size}
end
to_full = to_full + cost
redis.call('SET', KEYS[1], string.format('%.0f', now + to_full), 'PX', math.ceil(to_full / 1000))
return {to_full, 0}
"""
"""A bucket is kept as the moment when it will be full again, in µs of Redis' clock, which all processes share.

ARGV: the capacity, and the µs in which one token comes back. Returns µs until it is full, and until one may be taken.
"""
_TAKE_SHA = sha1(_TAKE.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a call to be counted.

    Attributes:
        left: Whole tokens that are left.
        reset_after_s: Seconds until the bucket is full.
        retry_after_s: Seconds until there is a token again; None: there was one.
    """

    left: int
    reset_after_s: int
    retry_after_s: int | None = None


class RateLimit:
    """Buckets in Redis; whoever cannot be counted may pass."""

    def __init__(self, url: str) -> None:
        # One more attempt, at once: a connection may have been idle while Redis was started anew.
        self._retry = Retry(NoBackoff(), 1)
        self._pool = redis.ConnectionPool.from_url(url, socket_connect_timeout=1, socket_timeout=1, retry=self._retry)
        self._mine = threading.local()
        self._down_until = 0.0

    def take(self, key: str, *, capacity: int = CAPACITY, refill_per_s: float = REFILL_PER_S) -> Taken:
        """Take a token out of a caller's bucket.

        Args:
            key: Who calls.
            capacity: Tokens of a full bucket.
            refill_per_s: Tokens that come back each second.
        """
        if time.monotonic() < self._down_until:
            return Taken(capacity, 0)
        try:
            to_full_us, wait_us = self._run(f"tandem:rate:{key}", capacity, round(1e6 / refill_per_s))
        except RedisError as error:
            self._down_until = time.monotonic() + _DOWN_FOR_S
            log.warning("calls not counted", extra={"reason": type(error).__name__, "for_s": _DOWN_FOR_S})
            return Taken(capacity, 0)
        left = math.floor(capacity - to_full_us * refill_per_s / 1e6)
        return Taken(max(left, 0), math.ceil(to_full_us / 1e6), max(1, math.ceil(wait_us / 1e6)) if wait_us else None)

    def _run(self, *arguments: str | int) -> Any:
        try:
            return self._ask("EVALSHA", _TAKE_SHA, 1, *arguments)
        except NoScriptError:
            return self._ask("EVAL", _TAKE, 1, *arguments)

    def _ask(self, *command: str | int) -> Any:
        """Ask Redis over this thread's own connection: to borrow one of a pool takes as long as to ask."""
        connection = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = self._pool.make_connection()
        packed = connection.pack_command(*command)

        def ask() -> Any:
            connection.send_packed_command(packed, check_health=False)
            return connection.read_response()

        return self._retry.call_with_retry(ask, lambda _: connection.disconnect())
