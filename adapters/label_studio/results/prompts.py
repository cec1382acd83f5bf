"""What does the context of an interactive request ask, and what is the answer without an interactive model?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adapters.label_studio.label_config import LabelConfig

PREDICT = "predict"


@dataclass(frozen=True, slots=True)
class Interaction:
    """An interactive request.

    Attributes:
        event: "predict", or what else the Enterprise editor may ask, such as "capabilities".
        prompts: The result items that the annotator drew.
    """

    event: str
    prompts: tuple[dict[str, Any], ...] = field(default=(), repr=False)


def read(context: object) -> Interaction | None:
    """Read a context, which can be any JSON value; None means that the request is not interactive.

    >>> read(None), read("text"), read({"event": "release"})
    (None, Interaction(event='predict'), Interaction(event='release'))
    """
    if context is None:
        return None
    if not isinstance(context, dict):
        return Interaction(PREDICT)
    event, items = context.get("event"), context.get("result")
    prompts = tuple(item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()
    return Interaction(event if isinstance(event, str) and event else PREDICT, prompts)


def answer_without_model(interaction: Interaction, *, model_name: str, model_version: str) -> list[dict[str, Any]]:
    """Return the `result` for a request that no model of this release can serve: an acknowledgement or nothing.

    The Enterprise editor asks what a backend can do, and to prepare and to release frames; it waits for an answer of
    the matching type. Every other request finds nothing, which clears the suggestions in the browser.
    """
    model_info = {"name": model_name, "version": model_version}
    replies: dict[str, tuple[str, dict[str, Any]]] = {
        "capabilities": ("capabilities", {"prompts": [], "targets": [], "model_info": model_info}),
        "prewarm": ("prewarm_ack", {"status": "unsupported", "cached": [], "pending": [], "frame_count": 0}),
        "track_cancel": ("track_cancel_ack", {"status": "not_found"}),
        "release": ("release_ack", {"status": "released"}),
    }
    if interaction.event not in replies:
        return []
    kind, value = replies[interaction.event]
    return [{"id": kind, "type": kind, "value": value}]


def no_interactive_model_reason(config: LabelConfig) -> str:
    """Say why clicks and boxes find nothing under this config."""
    learnt = ", ".join(binding.control_name for binding in config.bindings)
    also = f"it predicts whole images, for: {learnt}" if learnt else "nor one for any control of this label config"
    return f"This release has no model that answers clicks or boxes; {also}."
