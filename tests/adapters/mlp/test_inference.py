"""What models say, asked over HTTP; networks are made by hand, and workers work in this process."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import PROJECT, data_url, predict, setup_body, task
from doubles import InlineQueue
from flask.testing import FlaskClient
from labelled_projects import make_label_set, make_project
from PIL import Image
from trained_projects import (
    SIDE_PX,
    add_training,
    build_detector,
    id_of,
    paint,
    path_of,
    upload,
)

from backend.projects.service import LabelSet, Origin
from backend.projects.tasks import Task
from backend.services import Services
from backend.training.run import RunState, TrainingRun
from models.labels import Objective
from models.runtime import Session


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
    kept = upload(services, label_set, paint({}))
    upload(services, label_set, paint({(1, 1): 0}), split="test")

    for body in ({"split": "val"}, {"saveAsPredictions": False}, {}, {"split": "unassigned"}):
        agent.ok("POST", f"{path_of(run)}/infer-all", json=body)
        services.prediction_jobs.advance()
        queue.run_all()

    of_some, of_all = services.prediction_jobs.of_project(label_set.project_id)
    assert of_all.versions == of_some.versions == {label_set.id: run.version_id}
    assert of_all.selection == {}
    assert services.batch_work.names(of_some) == [kept.external_id]
