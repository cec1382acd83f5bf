"""What comes of comparing predictions with what people said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of a comparison.

    Attributes:
        primary: The one number by which versions are compared, in [0, 1]; greater is better.
        metrics: All numbers as JSON, `primary` among them.
    """

    primary: float
    metrics: Mapping[str, Any]
