"""A taxonomy's path ⇄ the name of a label."""

from __future__ import annotations

import re
from collections.abc import Sequence


def join_path(path: Sequence[str]) -> str:
    r"""Make one name of a path from the root.

    >>> join_path(["Animal", "Cat"]), join_path(["and/or"])
    ('Animal/Cat', 'and\\/or')
    """
    return "/".join(re.sub(r"([\\/])", r"\\\1", step) for step in path)


def split_path(name: str) -> list[str]:
    r"""Return the path of which a name was made.

    >>> split_path("Animal/Cat"), split_path("and\\/or")
    (['Animal', 'Cat'], ['and/or'])
    """
    return [re.sub(r"\\(.)", r"\1", step, flags=re.DOTALL) for step in re.findall(r"(?:[^\\/]|\\.)+", name, re.DOTALL)]
