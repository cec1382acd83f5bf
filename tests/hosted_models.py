"""What hosted models in tests are asked about."""

from __future__ import annotations

CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="mood" toName="text">'
    '<Choice value="good"/><Choice value="bad"/></Choices></View>'
)
UID = "7.1795203195"
