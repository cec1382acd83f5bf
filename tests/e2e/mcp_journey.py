"""What a coding agent does with tools: its own ML backend, and from photos to a model. Knows no SDK, nothing of ours.

Run as a program, it does so with whichever version 1 of the SDK its interpreter has, and prints what came of it:
`python mcp_journey.py URL KEY FOLDER_OF_FOLDERS_OF_PHOTOS`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Call = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Calls a tool and returns its structured content; fails where it refuses."""
_POLL_S = 2
_PATIENCE_S = 300


async def use_ml_backend(call: Call, project: int) -> dict[str, Any]:
    """List, add, train, get, versions, remove (naftiko.md §8, 26); return what was seen."""
    before = (await call("list-ml-backends", {"project": project}))["result"]
    added = await call("add-ml-backend", {"body": {"project": project, "url": "self", "title": "by an agent"}})
    number = {"id": added["id"]}
    started = await call("train", number)
    states = [(await call("get-ml-backend", number))["state"]]
    deadline = time.monotonic() + _PATIENCE_S
    while states[-1] == "TR" and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)
        states.append((await call("get-ml-backend", number))["state"])
    versions = (await call("get-model-versions", number))["versions"]
    removed = await call("remove-ml-backend", number)
    return {
        "before": before,
        "added": added,
        "started": started,
        "states": list(dict.fromkeys(states)),
        "versions": versions,
        "removed": removed,
    }


async def learn_from_photos(call: Call, photos: Path) -> dict[str, Any]:
    """Project, images, label set, labels, training, evaluation, inference, link to the model; return what was seen."""
    me = await call("get-me", {})
    project = (await call("create-project", {"name": f"waste of {os.getpid()}"}))["id"]
    files = sorted(photos.glob("*/*.jpg"))
    ids = {}
    for start in range(0, len(files), 20):
        sent = [
            {"base64": b64encode(each.read_bytes()).decode(), "filename": each.name}
            for each in files[start : start + 20]
        ]
        taken = await call("upload-images", {"projectId": project, "images": sent})
        ids |= {image["filename"]: image["id"] for image in taken["images"]}
    labels = sorted({each.parent.name for each in files})
    wanted = {"projectId": project, "name": "kind", "taskType": "classification", "labels": labels}
    label_set = (await call("create-label-set", wanted))["id"]
    said = "\n".join(["filename,label", *(f"{each.name},{each.parent.name}" for each in files)])
    imported = await call("import-annotations", {"labelSetId": label_set, "format": "csv", "data": said})
    await call("set-splits", {"projectId": project, "ratios": {"train": 0.7, "val": 0.1, "test": 0.2}, "seed": 1})
    config = {"epochs": 4, "imageSize": 64, "maxMinutes": 1}
    training = {"trainingId": (await call("create-training", {"labelSetId": label_set, "config": config}))["id"]}
    startable = await call("validate-training", training)
    await call("start-training", training)
    trained = await _until_ended(call, "get-training", training, lambda told: told)
    asked = (await call("evaluate-model", {**training, "split": "test"}))["run"]
    evaluated = await _until_ended(call, "get-evaluation", {**training, "runId": asked["id"]}, lambda told: told["run"])
    inferred = await call("infer-image", {**training, "imageId": ids[files[0].name], "threshold": 0})
    link = await call("get-model-download", {**training, "format": "onnx"})
    number = (await call("get-project", {"projectId": project}))["number"]
    return {
        "me": me,
        "number": number,
        "num_images": len(ids),
        "imported": imported,
        "startable": startable,
        "trained": trained,
        "evaluated": evaluated,
        "inferred": inferred,
        "labels": labels,
        "link": link,
    }


async def _until_ended(
    call: Call, tool: str, given: dict[str, Any], find: Callable[[dict[str, Any]], Any]
) -> dict[str, Any]:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        told = await call(tool, given)
        if find(told)["status"] in ("completed", "failed", "cancelled"):
            return told
        assert time.monotonic() < deadline, told
        await asyncio.sleep(_POLL_S)


async def _main(url: str, key: str, photos: Path) -> dict[str, Any]:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async with (
        streamablehttp_client(url, headers={"Authorization": f"Bearer {key}"}) as (reader, writer, _),
        ClientSession(reader, writer) as session,
    ):
        protocol = (await session.initialize()).protocolVersion
        tools = [tool.name for tool in (await session.list_tools()).tools]

        async def call(tool: str, given: dict[str, Any]) -> dict[str, Any]:
            result = await session.call_tool(tool, given)
            assert not result.isError, (tool, result.content)
            return result.structuredContent

        seen = await learn_from_photos(call, photos)
        backend = await use_ml_backend(call, seen["number"])
    return {"protocol": protocol, "tools": tools, "photos": seen, "backend": backend}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))))
