"""How often somebody calls: counted in one bucket over all APIs, and told in every answer."""

from __future__ import annotations

from flask import Response, g

from backend.errors import LimitExceeded
from backend.rate_limit import CAPACITY
from backend.services import Services


def count(services: Services, who: str) -> None:
    """Take one from a caller's bucket.

    Raises:
        LimitExceeded: It is empty.
    """
    g.taken = services.rate_limit.take(who)
    if g.taken.retry_after_s is not None:
        raise LimitExceeded("Too many requests.", code="rate_limited", retry_after_s=g.taken.retry_after_s)


def tell(response: Response) -> None:
    """Say how much is left, where somebody was counted."""
    taken = g.get("taken")
    if taken is not None:
        response.headers["RateLimit-Policy"] = f'"key";q={CAPACITY};w={CAPACITY}'
        response.headers["RateLimit"] = f'"key";r={taken.left};t={taken.reset_after_s}'
