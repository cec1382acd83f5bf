"""The exact labelled items of a run, content-addressed: the same labels always give the same snapshot."""

from __future__ import annotations

import json
from collections.abc import Sequence

from backend.projects.service import LabelSet
from backend.projects.tasks import LabelCounts, LabelledItem, Tasks
from backend.storage.blobs import BlobStore
from backend.training.run import TrainingRun, Trigger
from models.examples import Example, Split
from models.labels import LabelSchema
from models.regions import Box, Region, from_json, to_json


def take(run: TrainingRun, label_set: LabelSet, tasks: Tasks, blobs: BlobStore) -> tuple[str, LabelCounts]:
    """Store what people said by now, as a run is to learn it; return the snapshot's SHA-256, and how much it holds.

    Raises:
        Invalid: Somebody described the run, and it is too little ("labels_insufficient").
    """
    seed = int(run.settings["seed"])
    counts = tasks.count_labelled(label_set, ratios=run.ratios, seed=seed)
    if run.trigger == Trigger.API:
        counts.require_enough()
    items = tasks.labelled_items(label_set, ratios=run.ratios, seed=seed)
    return store(blobs, label_set.schema, items), counts


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


def splits(blobs: BlobStore, digest: str) -> dict[str, Split]:
    """Return the split of each medium in a snapshot, by SHA-256.

    Raises:
        NotFound: The snapshot is missing.
    """
    content = json.loads(blobs.path(digest).read_bytes())
    return {line["media"]: Split(line["split"]) for line in content["items"]}


def _only_box(regions: Sequence[Region]) -> Box | None:
    return next((region for region in regions if isinstance(region, Box)), None)
