"""What models say, asked over HTTP; networks are made by hand, and workers work in this process."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import agent_projects
import numpy as np
import pytest
from builders import PROJECT, build_checkpoint, data_url, image_bytes, predict, setup_body, task
from doubles import InlineQueue
from flask.testing import FlaskClient
from labelled_projects import make_label_set, make_project
from PIL import Image
from trained_projects import BOX_SIDE, GRID, SIDE_PX, add_training, build_detector, id_of, paint, path_of, upload

from backend.projects.service import LabelSet, Origin
from backend.projects.tasks import LabelledItem, Task
from backend.runs.service import USUAL_RATIOS
from backend.services import Services
from backend.settings import Settings
from backend.training import snapshot
from backend.training.run import RunState, TrainingRun
from models.examples import Split
from models.labels import Objective
from models.regions import Box, Choice, Region
from models.runtime import Session


@pytest.fixture
def label_set(services: Services, agent: Any) -> LabelSet:
    [workspace_id] = services.accounts.local(agent.user).workspace_ids
    project = make_project(services, workspace_id)
    return make_label_set(services, project, Objective.DETECTION, ["red", "green"])


@pytest.fixture
def run(services: Services, label_set: LabelSet, tmp_path: Path) -> TrainingRun:
    return add_training(services, label_set, build_detector(tmp_path / "detector", label_set.schema))


@pytest.fixture
def work(
    services: Services, queue: InlineQueue, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Be clock and worker until nothing waits."""
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")

    def do() -> None:
        for _ in range(20):
            services.prediction_jobs.advance()
            if not queue.jobs:
                return
            queue.run_all()

    return do


def box_at(label: str, column: int, row: int, *, side: float = BOX_SIDE) -> Box:
    """Return the box that the detector finds for a cell."""
    return Box(label, (column + 0.5) / GRID, (row + 0.5) / GRID, side, side)


def test_an_image_is_answered_at_once_in_pixels(
    agent: Any, services: Services, label_set: LabelSet, run: TrainingRun
) -> None:
    image = upload(services, label_set, paint({(2, 1): 0, (6, 5): 1}))

    said = agent.ok("POST", f"{path_of(run)}/infer/{id_of(image)}")

    assert (said["imageId"], said["trainingId"]) == (id_of(image), f"trn_{run.id}")
    assert (said["taskType"], said["width"], said["height"]) == ("detection", 160, 80)
    assert sorted((each["label"], each["bbox"]) for each in said["predictions"]) == [
        ("green", [114.0, 47.0, 32.0, 16.0]),
        ("red", [34.0, 7.0, 32.0, 16.0]),
    ]
    assert all(each["score"] > 0.9 for each in said["predictions"])
    assert said["inferenceMs"] > 0


def test_only_sure_boxes_are_answered_and_only_the_best_of_them(
    agent: Any, services: Services, label_set: LabelSet, run: TrainingRun
) -> None:
    image = upload(services, label_set, paint({(1, 1): 0, (4, 4): 1, (6, 6): 0}))
    path = f"{path_of(run)}/infer/{id_of(image)}"

    everything = agent.ok("POST", path, json={"threshold": 0})["predictions"]
    usual = agent.ok("POST", path)["predictions"]
    best = agent.ok("POST", path, json={"maxDetections": 2})["predictions"]

    assert min(each["score"] for each in everything) < 0.25
    assert usual == [each for each in everything if each["score"] >= 0.25]
    assert best == usual[:2]
    assert agent.ok("POST", path, json={"threshold": 1})["predictions"] == []


def test_the_downloaded_network_says_what_infer_says(
    agent: Any, services: Services, label_set: LabelSet, run: TrainingRun, tmp_path: Path
) -> None:
    """Preprocessing and decoding as the file's metadata say, by nothing but NumPy (M-025)."""
    content = paint({(1, 1): 0, (4, 4): 1, (6, 1): 0}, size=(SIDE_PX, SIDE_PX))
    image = upload(services, label_set, content)
    network = tmp_path / "downloaded.onnx"
    network.write_bytes(agent.ask("GET", f"{path_of(run)}/download", buffered=True).data)
    said = agent.ok("POST", f"{path_of(run)}/infer/{id_of(image)}", json={"threshold": 0.1})

    pixels = np.asarray(Image.open(io.BytesIO(content)), dtype=np.float32) / 255
    (output,) = Session(network, device="cpu").run({"images": pixels.transpose(2, 0, 1)[None]})
    found = []
    for label, scores in zip(("red", "green"), output[0, :2], strict=True):
        for row, column in np.argwhere(scores >= 0.1):
            around = scores[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            if scores[row, column] == around.max():
                x, y, width, height = output[0, 2:, row, column] * SIDE_PX
                found.append((label, scores[row, column], [x - width / 2, y - height / 2, width, height]))

    assert len(found) == len(said["predictions"]) == 3
    by_score = sorted(found, key=lambda each: (each[0], each[2][0]))
    for (label, score, bbox), each in zip(
        by_score, sorted(said["predictions"], key=lambda each: (each["label"], each["bbox"][0])), strict=True
    ):
        assert each["label"] == label
        assert each["score"] == pytest.approx(score, abs=1e-3)
        assert each["bbox"] == pytest.approx(bbox, abs=1e-3)


def test_label_studio_is_told_the_same(agent: Any, services: Services, client: FlaskClient, tmp_path: Path) -> None:
    """The same regions in percent, and the same ids, as POST /predict answers with (M-026)."""
    config = (
        '<View><Image name="photo" value="$img"/><RectangleLabels name="colour" toName="photo">'
        '<Label value="red"/><Label value="green"/></RectangleLabels></View>'
    )
    assert client.post("/setup", json=setup_body(schema=config)).status_code == 200
    mirror = services.projects.find("label_studio", PROJECT)
    assert mirror is not None
    [label_set] = [each for each in mirror.label_sets if each.name == "colour"]
    run = add_training(services, label_set, build_detector(tmp_path / "detector", label_set.schema, min_score=0.3))
    services.versions.promote(services.versions.get(run.version_id or ""), reason="test")
    content = paint({(2, 1): 0, (6, 5): 1})
    sent = task(41, data_url(content))
    image = upload(services, label_set, content, external_id="41")

    [told] = predict(client, sent, label_config=config)
    said = agent.ok("POST", f"{path_of(run)}/infer/{id_of(image)}", json={"includeLabelStudio": True})

    assert said["labelStudio"] == told
    assert len(told["result"]) == len(said["predictions"]) == 2
    for item, each in zip(told["result"], said["predictions"], strict=True):
        value = item["value"]
        percent = [value[side] for side in ("x", "y", "width", "height")]
        assert value["rectanglelabels"] == [each["label"]]
        assert [at * side / 100 for at, side in zip(percent, [160, 80] * 2, strict=True)] == pytest.approx(each["bbox"])
        assert item["score"] == each["score"]


def test_an_image_of_another_project_is_unknown(
    agent: Any, stranger: Any, services: Services, label_set: LabelSet, run: TrainingRun, tmp_path: Path
) -> None:
    [workspace_id] = services.accounts.local(agent.user).workspace_ids
    other = make_label_set(services, make_project(services, workspace_id), Objective.DETECTION, ["red", "green"])
    elsewhere, image = upload(services, other, paint({})), upload(services, label_set, paint({}))

    assert agent.error("POST", f"{path_of(run)}/infer/{id_of(elsewhere)}")[:2] == (404, "NOT_FOUND")
    assert agent.error("POST", f"{path_of(run)}/infer/img_unknown")[:2] == (404, "NOT_FOUND")
    assert stranger.error("POST", f"{path_of(run)}/infer/{id_of(image)}")[:2] == (404, "NOT_FOUND")
    for method, path in (
        ("POST", "infer-all"),
        ("GET", "infer-all/results"),
        ("POST", "evaluate"),
        ("GET", "evaluate/results"),
    ):
        assert stranger.error(method, f"{path_of(run)}/{path}")[:2] == (404, "NOT_FOUND")


def test_a_training_that_has_not_completed_has_no_answers(
    agent: Any, services: Services, label_set: LabelSet, run: TrainingRun
) -> None:
    image = upload(services, label_set, paint({}))
    with services.database.transaction() as session:
        session.get_one(TrainingRun, run.id).state = RunState.RUNNING.value

    for path in (f"infer/{id_of(image)}", "infer-all", "evaluate"):
        status, code, details = agent.error("POST", f"{path_of(run)}/{path}")
        assert (status, code, details) == (409, "MODEL_NOT_READY", {"status": "running"})


def test_an_image_that_cannot_be_read_is_an_error(
    agent: Any, services: Services, label_set: LabelSet, run: TrainingRun
) -> None:
    broken = upload(services, label_set, b"not an image")

    assert agent.error("POST", f"{path_of(run)}/infer/{id_of(broken)}")[:2] == (400, "IMAGE_INVALID")


def test_who_waits_too_long_is_told_so_and_may_ask_again(
    agent: Any, make_client: Callable[..., FlaskClient], services: Services, label_set: LabelSet, run: TrainingRun
) -> None:
    image = upload(services, label_set, paint({}))
    hasty = type(agent)(make_client(predict_timeout_s=0.001), agent.user, agent.key)

    assert hasty.error("POST", f"{path_of(run)}/infer/{id_of(image)}")[:2] == (504, "INFERENCE_TIMEOUT")


def test_a_key_that_is_not_for_inference_gets_none(
    make_agent: Callable[..., Any], agent: Any, services: Services, label_set: LabelSet, run: TrainingRun
) -> None:
    image = upload(services, label_set, paint({}))
    reader = make_agent(scopes=["training:read"])

    status, code, details = reader.error("POST", f"{path_of(run)}/infer/{id_of(image)}")

    assert (status, code, details) == (403, "INSUFFICIENT_SCOPE", {"requiredScopes": ["inference:run"]})


def test_all_images_of_a_split_are_answered_in_the_background(
    agent: Any, services: Services, label_set: LabelSet, run: TrainingRun, work: Callable[[], None]
) -> None:
    """Nothing while it goes on; then all images, page by page, and those that failed (M-027)."""
    images = [upload(services, label_set, paint({(number % 8, 3): 0})) for number in range(3)]
    broken = upload(services, label_set, b"not an image")
    images.append(upload(services, label_set, paint({(5, 5): 1})))
    upload(services, label_set, paint({(0, 0): 0}), split="train")
    path = f"{path_of(run)}/infer-all"

    assert agent.error("GET", f"{path}/results")[:2] == (404, "RESULTS_NOT_FOUND")
    begun = agent.ok("POST", path, json={"split": "unassigned"})["run"]
    assert (begun["kind"], begun["status"], begun["progress"], begun["total"]) == ("infer-all", "queued", 0, 5)
    early = agent.ok("GET", f"{path}/results")
    assert (early["predictions"], early["errors"], early["nextCursor"]) == ([], [], None)
    work()
    upload(services, label_set, paint({}))  # later: it is in no results of that run

    done = agent.ok("GET", f"{path}/results")
    assert done["run"] == begun | {
        **{name: done["run"][name] for name in ("startedAt", "finishedAt")},
        **{"status": "completed", "progress": 100.0, "done": 4, "failed": 1},
    }
    assert [each["imageId"] for each in done["predictions"]] == [id_of(image) for image in images]
    assert [each["predictions"][0]["label"] for each in done["predictions"]] == ["red"] * 3 + ["green"]
    [error] = done["errors"]
    assert (error["imageId"], error["code"]) == (id_of(broken), "IMAGE_INVALID")

    first = agent.ok("GET", f"{path}/results", query_string={"limit": 3})
    second = agent.ok("GET", f"{path}/results", query_string={"limit": 3, "cursor": first["nextCursor"]})
    assert (first["hasMore"], second["hasMore"], second["nextCursor"]) == (True, False, None)
    both = [each["imageId"] for each in first["predictions"] + second["predictions"]]
    assert both == [id_of(image) for image in images]
    assert first["errors"] + second["errors"] == [error]


def test_results_stay_those_of_the_images_that_were_asked_about(
    agent: Any, services: Services, label_set: LabelSet, run: TrainingRun, work: Callable[[], None]
) -> None:
    """Whoever lets a model look at unassigned images may assign them afterwards."""
    image = upload(services, label_set, paint({}))
    agent.ok("POST", f"{path_of(run)}/infer-all", json={"split": "unassigned"})
    work()
    with services.database.transaction() as session:
        session.get_one(Task, image.id).split = "train"
    services.tasks.forget_predictions([run.version_id or ""])

    done = agent.ok("GET", f"{path_of(run)}/infer-all/results")

    assert [each["imageId"] for each in done["predictions"]] == [id_of(image)]


def test_the_same_wish_that_goes_on_is_the_same_run(
    agent: Any, services: Services, label_set: LabelSet, run: TrainingRun, work: Callable[[], None]
) -> None:
    upload(services, label_set, paint({}))
    path = f"{path_of(run)}/infer-all"

    first = agent.ok("POST", path)["run"]
    same = agent.ok("POST", path, json={"split": "all", "threshold": 0.25})["run"]
    other = agent.ok("POST", path, json={"threshold": 0.3})["run"]
    work()
    new = agent.ok("POST", path)["run"]

    assert first["id"] == same["id"]
    assert len({first["id"], other["id"], new["id"]}) == 3
    assert agent.ok("GET", f"{path}/results", query_string={"runId": other["id"]})["run"]["threshold"] == 0.3
    assert agent.ok("GET", f"{path}/results")["run"]["id"] == new["id"]


def test_a_run_over_no_images_completes(agent: Any, run: TrainingRun, work: Callable[[], None]) -> None:
    agent.ok("POST", f"{path_of(run)}/infer-all")
    work()

    done = agent.ok("GET", f"{path_of(run)}/infer-all/results")

    assert (done["run"]["status"], done["run"]["total"], done["predictions"]) == ("completed", 0, [])


def test_a_cursor_of_somebody_else_is_refused(
    agent: Any, services: Services, label_set: LabelSet, run: TrainingRun
) -> None:
    agent.ok("POST", f"{path_of(run)}/infer-all")

    for cursor in ("x", "²", "9" * 40):
        path = f"{path_of(run)}/infer-all/results"
        assert agent.error("GET", path, query_string={"cursor": cursor})[:2] == (400, "VALIDATION_ERROR")


def test_a_project_in_label_studio_gets_the_predictions_too(
    agent: Any, services: Services, label_set: LabelSet, run: TrainingRun, work: Callable[[], None], queue: InlineQueue
) -> None:
    with services.database.transaction() as session:
        session.get_one(Origin, label_set.project_id).kind = "label_studio"
    upload(services, label_set, paint({}))
    services.prediction_jobs.advance()

    for body in ({"split": "unassigned"}, {"saveAsPredictions": False}, {}):
        agent.ok("POST", f"{path_of(run)}/infer-all", json=body)
        services.prediction_jobs.advance()
        queue.run_all()
        written = services.prediction_jobs.of_project(label_set.project_id)
        assert len(written) == (body == {})

    assert written[0].versions == {label_set.id: run.version_id}


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


def test_only_what_overlaps_by_half_is_measured(agent: Any, run: TrainingRun) -> None:
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
