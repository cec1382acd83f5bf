"""What does an object tag that shows text hold, given a task's data?"""

from __future__ import annotations

from adapters.label_studio.label_config import Binding


def find(binding: Binding, shown: object) -> str | None:
    """Return the text that an object shows; None where it has to be fetched from a URL.

    Args:
        binding: Whose object.
        shown: What the task's data has for it.
    """
    return shown if isinstance(shown, str) else None
