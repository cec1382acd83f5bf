"""How good a model is, asked over HTTP and computed a second time here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import agent_projects
import numpy as np
import pytest
from builders import build_checkpoint, image_bytes
from doubles import InlineQueue
from labelled_projects import make_label_set, make_project
from PIL import Image
from trained_projects import (
    BOX_SIDE,
    GRID,
    add_training,
    box_at,
    build_detector,
    id_of,
    paint,
    path_of,
    upload,
)

from backend.projects.service import LabelSet
from backend.projects.tasks import LabelledItem, Task
from backend.runs.service import USUAL_RATIOS
from backend.services import Services
from backend.training import snapshot
from backend.training.run import TrainingRun
from models.examples import Split
from models.labels import Objective
from models.regions import Box, Choice, Region
from models.runtime import Session


@pytest.fixture
def labelled(services: Services, label_set: LabelSet) -> list[Task]:
    """Images of the split test, where the detector is right, nearly right, wrong and blind."""
    near = Box("red", 2.7 / GRID, 1.6 / GRID, BOX_SIDE, BOX_SIDE)
    said: list[tuple[dict[tuple[int, int], int], list[Region]]] = [
        ({(1, 1): 0, (6, 6): 1}, [box_at("red", 1, 1), box_at("green", 6, 6)]),
        ({(2, 1): 0}, [near]),
        ({(5, 5): 1}, [box_at("red", 5, 5)]),
        ({(3, 3): 1}, [box_at("green", 3, 3), box_at("green", 6, 1)]),
        ({(3, 3): 0}, []),
    ]
    return [upload(services, label_set, paint(cells), split="test", said=regions) for cells, regions in said]


def average_precision(
    found: list[tuple[float, int, list[float]]], truths: list[tuple[int, list[float]]], iou: float
) -> float:
    """Compute what COCO computes, one box after the other: found are score, image and box; truths image and box."""
    taken: set[int] = set()
    precisions, recalls, hits = [], [], 0
    for rank, (_, image, box) in enumerate(sorted(found, key=lambda each: -each[0]), 1):
        overlaps = [
            (overlap(box, true), index)
            for index, (where, true) in enumerate(truths)
            if where == image and index not in taken
        ]
        best, index = max(overlaps, default=(0.0, -1))
        if best >= iou:
            taken.add(index)
            hits += 1
        precisions.append(hits / rank)
        recalls.append(hits / len(truths))
    at = [
        max([p for p, r in zip(precisions, recalls, strict=True) if r >= step / 100], default=0.0)
        for step in range(101)
    ]
    return sum(at) / 101


def overlap(one: list[float], other: list[float]) -> float:
    """Return the intersection of two boxes (x, y, width, height) over their union."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def test_what_is_measured_is_what_anybody_would_compute(
    agent: Any,
    services: Services,
    label_set: LabelSet,
    run: TrainingRun,
    labelled: list[Task],
    work: Callable[[], None],
) -> None:
    """No results before, then average precision as a second implementation computes it (M-028)."""
    path = f"{path_of(run)}/evaluate"
    assert agent.error("GET", f"{path}/results")[:2] == (404, "RESULTS_NOT_FOUND")

    begun = agent.ok("POST", path)["run"]
    assert (begun["kind"], begun["split"], begun["total"]) == ("evaluate", "test", 5)
    assert agent.ok("GET", f"{path}/results")["metrics"] is None
    work()
    measured = agent.ok("GET", f"{path}/results")

    metrics = measured["metrics"]
    assert (measured["run"]["status"], measured["split"], measured["confusion"]) == ("completed", "test", None)
    assert (metrics["split"], metrics["evaluatedImages"]) == ("test", 5)
    found: dict[str, list[tuple[float, int, list[float]]]] = {"red": [], "green": []}
    truths: dict[str, list[tuple[int, list[float]]]] = {"red": [], "green": []}
    for index, image in enumerate(labelled):
        for each in agent.ok("POST", f"{path_of(run)}/infer/{id_of(image)}", json={"threshold": 0})["predictions"]:
            found[each["label"]].append((each["score"], index, each["bbox"]))
        label_path = f"/label-sets/lbs_{label_set.id}/images/{id_of(image)}/annotations"
        for each in agent.ok("GET", label_path)["annotations"]:
            truths[each["label"]].append((index, each["bbox"]))
    strictness = [percent / 100 for percent in range(50, 100, 5)]
    by_label = {
        label: [average_precision(found[label], truths[label], iou) for iou in strictness] for label in ("red", "green")
    }
    assert 0.2 < metrics["map50"] < 0.95
    assert metrics["map50"] == pytest.approx(np.mean([values[0] for values in by_label.values()]), abs=1e-3)
    assert metrics["map50_95"] == pytest.approx(np.mean(list(by_label.values())), abs=1e-3)
    for each in metrics["perClass"]:
        assert each["ap50"] == pytest.approx(by_label[each["label"]][0], abs=1e-3)


def test_a_batch_that_saw_labelled_images_measures_as_well(
    agent: Any, run: TrainingRun, labelled: list[Task], work: Callable[[], None]
) -> None:
    agent.ok("POST", f"{path_of(run)}/infer-all", json={"split": "test"})
    work()

    measured = agent.ok("GET", f"{path_of(run)}/evaluate/results")

    assert (measured["run"]["kind"], measured["threshold"], measured["split"]) == ("infer-all", 0.25, "test")
    assert measured["metrics"]["evaluatedImages"] == 5


def test_without_labels_nothing_can_be_measured(
    agent: Any, services: Services, label_set: LabelSet, run: TrainingRun, work: Callable[[], None]
) -> None:
    upload(services, label_set, paint({}), split="test")
    agent.ok("POST", f"{path_of(run)}/evaluate", json={"split": "test"})
    work()

    status, code, details = agent.error("GET", f"{path_of(run)}/evaluate/results")

    assert (status, code, details["split"]) == (422, "LABELS_INSUFFICIENT", "test")


def test_val_is_measured_where_test_has_no_labels(
    agent: Any, services: Services, label_set: LabelSet, run: TrainingRun
) -> None:
    upload(services, label_set, paint({}), split="test")
    upload(services, label_set, paint({(0, 0): 0}), split="held_out", said=[])

    begun = agent.ok("POST", f"{path_of(run)}/evaluate")["run"]

    assert (begun["split"], begun["total"]) == ("val", 1)


def test_images_without_a_split_are_measured_in_the_one_that_the_training_drew(
    agent: Any, services: Services, label_set: LabelSet, tmp_path: Path
) -> None:
    learnt, held_out, *_ = [
        upload(services, label_set, paint({(at, 0): 0}), said=[box_at("red", at, 0)]) for at in range(4)
    ]
    items = [
        LabelledItem(task.id, task.content or "", (), split)
        for task, split in ((learnt, Split.TRAIN), (held_out, Split.HELD_OUT))
    ]
    taken = snapshot.store(services.blobs, label_set.schema, items)
    checkpoint = build_detector(tmp_path / "detector", label_set.schema)
    run = add_training(services, label_set, checkpoint, snapshot=taken, ratios=USUAL_RATIOS)

    totals = {
        split: agent.ok("POST", f"{path_of(run)}/evaluate", json={"split": split})["run"]["total"]
        for split in ("train", "val", "test", "unassigned", "all")
    }

    assert totals == {"train": 1, "val": 1, "test": 2, "unassigned": 4, "all": 4}


def test_a_classifier_is_told_what_it_confuses(
    agent: Any, services: Services, tmp_path: Path, work: Callable[[], None]
) -> None:
    [workspace_id] = services.accounts.local(agent.user).workspace_ids
    project = make_project(services, workspace_id)
    label_set = make_label_set(services, project, Objective.CLASSIFICATION, ["red", "green"])
    run = add_training(services, label_set, build_checkpoint(tmp_path / "checkpoint", label_set.schema))
    for colour, size, said in (("red", 8, "red"), ("red", 9, "green"), ("green", 8, "green"), ("green", 9, "green")):
        upload(services, label_set, image_bytes(colour, size=(size, size)), split="test", said=[Choice(said)])
    agent.ok("POST", f"{path_of(run)}/evaluate")
    work()

    measured = agent.ok("GET", f"{path_of(run)}/evaluate/results")

    assert measured["metrics"]["accuracy"] == 0.75
    assert measured["confusion"] == {"labels": ["red", "green"], "matrix": [[1, 0], [1, 2]]}


def test_what_was_measured_stays_until_something_newer_has_been(
    agent: Any, run: TrainingRun, labelled: list[Task], work: Callable[[], None]
) -> None:
    path = f"{path_of(run)}/evaluate"
    first = agent.ok("POST", path)["run"]
    work()
    second = agent.ok("POST", path, json={"threshold": 0.5})["run"]

    known = agent.ok("GET", f"{path}/results")
    awaited = agent.ok("GET", f"{path}/results", query_string={"runId": second["id"]})
    work()
    newest = agent.ok("GET", f"{path}/results")

    assert (known["run"]["id"], known["run"]["status"]) == (first["id"], "completed")
    assert (awaited["run"]["status"], awaited["metrics"]) == ("queued", None)
    assert (newest["run"]["id"], newest["threshold"]) == (second["id"], 0.5)


def test_a_batch_that_failed_says_why(
    agent: Any, services: Services, run: TrainingRun, labelled: list[Task], work: Callable[[], None]
) -> None:
    for digest in services.versions.get(run.version_id or "").files.values():
        services.blobs.remove(digest)
    agent.ok("POST", f"{path_of(run)}/evaluate")
    work()

    measured = agent.ok("GET", f"{path_of(run)}/evaluate/results")

    assert (measured["run"]["status"], measured["metrics"]) == ("failed", None)
    assert "missing" in measured["run"]["error"]


def test_how_much_must_overlap_can_be_asked_for(
    agent: Any, run: TrainingRun, labelled: list[Task], work: Callable[[], None]
) -> None:
    """Six boxes are found, and there are six: three lie exactly, one is off by a fifth and a tenth of a cell.

    Its overlap is (0.2 - 0.025) · (0.2 - 0.0125) of the image shared, of 2 · 0.2² less that: 0.695.
    """
    measured = {}
    for iou in (0.69, 0.7):
        begun = agent.ok("POST", f"{path_of(run)}/evaluate", json={"iou": iou})["run"]
        work()
        measured[iou] = agent.ok("GET", f"{path_of(run)}/evaluate/results", query_string={"runId": begun["id"]})

    assert [each["iou"] for each in measured.values()] == [0.69, 0.7]
    loose, strict = (each["metrics"] for each in measured.values())
    assert (loose["precision"], loose["recall"], loose["f1"]) == pytest.approx((4 / 6, 4 / 6, 4 / 6))
    assert (strict["precision"], strict["recall"], strict["f1"]) == pytest.approx((3 / 6, 3 / 6, 3 / 6))
    assert loose["map50"] == strict["map50"] == loose["mapAtIou"] > strict["mapAtIou"]


def test_nothing_overlaps_where_images_are_classified(agent: Any, services: Services, tmp_path: Path) -> None:
    [workspace_id] = services.accounts.local(agent.user).workspace_ids
    project = make_project(services, workspace_id)
    label_set = make_label_set(services, project, Objective.CLASSIFICATION, ["red", "green"])
    run = add_training(services, label_set, build_checkpoint(tmp_path / "checkpoint", label_set.schema))

    status, code, details = agent.error("POST", f"{path_of(run)}/evaluate", json={"iou": 0.75})

    assert (status, code, list(details["fields"])) == (400, "VALIDATION_ERROR", ["iou"])


def test_a_trained_model_is_measured_on_images_that_it_has_not_seen(
    agent: Any, services: Services, queue: InlineQueue, work: Callable[[], None]
) -> None:
    """A real fit, nobody assigned splits: the default is what the training drew for tests (M-025, M-028)."""
    [workspace_id] = services.accounts.local(agent.user).workspace_ids
    label_set = agent_projects.make_label_set(services, workspace_id)
    images = agent_projects.add_images(services, label_set, ["red", "green"] * 10)
    path = f"/label-sets/lbs_{label_set.id}/training"
    quick = {"epochs": 1, "imageSize": 32, "pretrained": False}
    training = agent.ok("POST", path, json={"config": quick})
    agent.ok("POST", f"/training/{training['id']}/start")
    for _ in range(3):
        services.training.advance()
        queue.run_all()

    begun = agent.ok("POST", f"/training/{training['id']}/evaluate")["run"]
    agent.ok("POST", f"/training/{training['id']}/infer-all", json={"threshold": 0})
    work()
    measured = agent.ok("GET", f"/training/{training['id']}/evaluate/results", query_string={"runId": begun["id"]})
    said = agent.ok("GET", f"/training/{training['id']}/infer-all/results")["predictions"]

    assert agent.ok("GET", f"/training/{training['id']}")["dataset"]["test"] == begun["total"] == 2
    assert (measured["split"], measured["metrics"]["evaluatedImages"]) == ("test", 2)
    labels = [each["predictions"][0]["label"] for each in said]
    whole = agent.ok("GET", f"/training/{training['id']}/evaluate/results")["metrics"]
    right = [label == true for label, true in zip(labels, ["red", "green"] * 10, strict=True)]
    assert whole["accuracy"] == pytest.approx(sum(right) / 20, abs=1e-3)
    network = services.settings.home / "downloaded.onnx"
    network.write_bytes(agent.ask("GET", f"/training/{training['id']}/download", buffered=True).data)
    pixels = [np.asarray(Image.open(services.blobs.path(image.content or "")), dtype=np.float32) for image in images]
    (probabilities,) = Session(network, device="cpu").run({"images": np.stack(pixels).transpose(0, 3, 1, 2) / 255})
    assert [each["predictions"][0]["score"] for each in said] == pytest.approx(list(probabilities.max(1)), abs=1e-3)
