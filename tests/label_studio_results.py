"""What tests of result items share: small configs, and predictions judged by the validator of Label Studio's SDK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from label_studio_sdk.label_interface import LabelInterface

from adapters.label_studio import results
from adapters.label_studio.label_config import Binding, parse
from adapters.label_studio.results import EncodedPrediction, Found
from models.regions import Region

IMAGE = '<Image name="photo" value="$img"/>'
TEXT = '<Text name="story" value="$text"/>'
LABELS = '<Label value="Cat" predicted_values="tabby"/><Label value="Dog" alias="d"/>'


def view(*tags: str, shown: str = IMAGE) -> str:
    """Return a config."""
    return f"<View>{shown}{''.join(tags)}</View>"


def tool(tag: str, name: str = "tool", labels: str = LABELS, attributes: str = "", to_name: str = "photo") -> str:
    """Return a control."""
    return f'<{tag} name="{name}" toName="{to_name}" {attributes}>{labels}</{tag}>'


def binding(xml: str, name: str | None = None) -> Binding:
    """Return a config's only binding, or the one of that name."""
    bindings = parse(xml).bindings
    (found,) = [each for each in bindings if name in (None, each.control_name)]
    return found


def encode(
    xml: str, *regions: Sequence[Region], width_px: int = 1920, height_px: int = 1080, text: str | None = None
) -> EncodedPrediction:
    """Encode the regions of each binding, and let the SDK judge."""
    config = parse(xml)
    found = [
        Found(each, some, 0 if text is not None else width_px, 0 if text is not None else height_px, text)
        for each, some in zip(config.bindings, regions, strict=True)
    ]
    prediction = results.encode(found, config=config, task_id=41)
    judge(xml, prediction.result)
    return prediction


def judge(xml: str, items: Sequence[Any]) -> None:
    """Fail where Label Studio's strict validation would refuse a prediction, or two regions have one id (C-103)."""
    body = {"result": list(items), "score": 0.5, "model_version": "v"}
    assert LabelInterface(xml).validate_prediction(body, return_errors=True) == []
    drawn = [(item["id"], item["from_name"]) for item in items if item["type"] != "relation"]
    assert len(set(drawn)) == len(drawn)
    assert all(isinstance(identity, str) for identity, _ in drawn)


def values(prediction: EncodedPrediction) -> list[dict[str, Any]]:
    """Return the `value` of each item."""
    return [item["value"] for item in prediction.result]


def item(xml: str, value: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an item of a config's first binding."""
    control = parse(xml).bindings[0]
    return {
        "id": "r1",
        "from_name": control.control_name,
        "to_name": control.object_name,
        "type": control.control_tag,
        "original_width": 1920,
        "original_height": 1080,
        "value": value,
        **changes,
    }
