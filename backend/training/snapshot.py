"""The exact labelled items of a run, content-addressed: the same labels always give the same snapshot."""

from __future__ import annotations

import json
from collections.abc import Sequence

from backend.storage.blobs import BlobStore
from backend.tasks import LabelledItem
from models.examples import Example, Split
from models.labels import LabelSchema
from models.regions import Box, Region, from_json, to_json


def store(blobs: BlobStore, schema: LabelSchema, items: Sequence[LabelledItem]) -> str:
    """Keep the items, whose media must be in the blob store, and return the snapshot's SHA-256."""
    lines = [
        {
            "key": item.key,
            "media": item.media,
            "regions": to_json(item.regions),
            "split": item.split.value,
            "part": to_json([item.part] if item.part else []),
        }
        for item in sorted(items, key=lambda item: item.key)
    ]
    content = {"format": 1, "schema": schema.to_json(), "items": lines}
    return blobs.put(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def load(blobs: BlobStore, digest: str) -> tuple[LabelSchema, list[Example]]:
    """Return the schema and the examples of a snapshot.

    Raises:
        NotFound: The snapshot or one of its media is missing.
    """
    content = json.loads(blobs.path(digest).read_bytes())
    examples = [
        Example(
            key=line["key"],
            path=blobs.path(line["media"]),
            regions=from_json(line["regions"]),
            split=Split(line["split"]),
            part=_only_box(from_json(line["part"])),
        )
        for line in content["items"]
    ]
    return LabelSchema.from_json(content["schema"]), examples


def _only_box(regions: Sequence[Region]) -> Box | None:
    return next((region for region in regions if isinstance(region, Box)), None)
