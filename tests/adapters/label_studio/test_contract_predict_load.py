"""POST /predict when something of ours fails, and when more is asked than the server can do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builders import build_checkpoint, counted, image_bytes, labels, predict, predict_body, task
from doubles import Answer, Asked, FakeWeb
from flask.testing import FlaskClient
from sqlalchemy import func, select

from backend.projects.service import Mirror
from backend.projects.tasks import Prediction
from backend.services import Services
from backend.versions.registry import ModelVersion
from models.checkpoint import ONNX

MakeClient = Callable[..., FlaskClient]


def test_a_model_that_cannot_be_loaded_is_500_without_a_traceback(
    client: FlaskClient, services: Services, mirror: Mirror, tmp_path: Path
) -> None:
    """C-038."""
    folder = build_checkpoint(tmp_path / "broken", mirror.label_sets[0].schema)
    (folder / ONNX).write_bytes(b"no network")
    files = services.versions.keep(folder)
    broken = services.versions.register(mirror.label_sets[0].id, files, run_id="01test", snapshot="0" * 64)
    services.versions.promote(broken, reason="test")
    errors = counted("tandem_errors_total", route="contract.predict")

    response = client.post("/predict", json=predict_body(task(1)))

    assert response.status_code == 500
    assert response.mimetype == "application/json"
    assert "Traceback" not in response.get_data(as_text=True) + response.status
    assert str(tmp_path) not in response.get_data(as_text=True)
    assert counted("tandem_errors_total", route="contract.predict") == errors + 1
    assert services.connections.state(mirror.project.id).state == "ER"
    assert client.get("/health").status_code == 200


def test_a_version_whose_files_are_gone_says_so(client: FlaskClient, services: Services, version: ModelVersion) -> None:
    services.blobs.path(version.files[ONNX]).unlink()

    response = client.post("/predict", json=predict_body(task(1)))

    assert response.status_code == 404
    assert "restore it from a backup" in response.status


@contextmanager
def held_image(fake_web: FakeWeb, colour: str = "green") -> Iterator[tuple[str, threading.Semaphore]]:
    """Give an image that is sent when the block ends, and a semaphore that says how many wait for it."""
    waiting, released = threading.Semaphore(0), threading.Event()

    def hold(_: Asked) -> Answer:
        waiting.release()
        released.wait(30)
        return Answer(body=image_bytes(colour))

    fake_web.answers.update({f"/{number}.png": hold for number in range(10)})
    try:
        yield f"{fake_web.url}/{{}}.png", waiting
    finally:
        released.set()


def test_more_requests_than_the_server_takes_are_sent_away_for_a_while(
    make_client: MakeClient, version: ModelVersion, fake_web: FakeWeb
) -> None:
    """C-039: two predict, one waits, the next is told to come back, and health checks and events go on."""
    client = make_client(web_threads=4, allow_local_fetch=True)

    def ask(number: int) -> Any:
        return client.application.test_client().post("/predict", json=predict_body(task(1, address.format(number))))

    with ThreadPoolExecutor(8) as callers:
        with held_image(fake_web) as (address, waiting):
            working = [callers.submit(ask, number) for number in range(2)]
            assert all(waiting.acquire(timeout=20) for _ in working)
            more = [callers.submit(ask, number) for number in range(2, 8)]
            refused = [call.result() for call in _first_done(more, 5)]
            healthy = client.get("/health").status_code
            stored = client.post("/webhook", json={"action": "X"}).status_code
        served = [call.result() for call in (*working, *more) if call.result() not in refused]

    assert [response.status_code for response in refused] == [503] * 5
    assert {response.headers["Retry-After"] for response in refused} == {"5"}
    assert {response.get_json()["code"] for response in refused} == {"busy"}
    assert (healthy, stored) == (200, 200)
    assert [labels(response.get_json()["results"]) for response in served] == [[["green"]]] * 3


def _first_done(calls: list[Any], number: int) -> list[Any]:
    done = threading.Semaphore(0)
    for call in calls:
        call.add_done_callback(lambda _: done.release())
    assert all(done.acquire(timeout=20) for _ in range(number))
    return [call for call in calls if call.done()]


def test_first_predictions_side_by_side_load_the_model_once(client: FlaskClient, version: ModelVersion) -> None:
    loads = counted("tandem_model_loads_total")

    def ask(number: int) -> list[list[str]]:
        image = image_bytes("red", size=(40 + number, 40))
        return labels(predict(client.application.test_client(), task(number, image)))

    with ThreadPoolExecutor(8) as callers:
        found = list(callers.map(ask, range(8)))

    assert found == [[["red"]]] * 8
    assert counted("tandem_model_loads_total") == loads + 1


def test_a_request_that_takes_too_long_is_504_and_goes_on_in_the_background(
    make_client: MakeClient, services: Services, version: ModelVersion
) -> None:
    """C-034: Label Studio gives up after 100 s; the work is not lost."""
    client = make_client(predict_timeout_s=0.0)
    batch = [task(number, image_bytes("red", size=(50 + number, 50))) for number in range(20)]

    response = client.post("/predict", json=predict_body(*batch))

    assert response.status_code == 504
    assert "ask again" in response.status
    for _ in range(200):
        with services.database.reading() as session:
            if session.scalar(select(func.count()).select_from(Prediction)) == 20:
                break
        time.sleep(0.05)
    known = counted("tandem_predictions_total", outcome="known")
    patient = make_client()
    assert labels(predict(patient, *batch)) == [["red"]] * 20
    assert counted("tandem_predictions_total", outcome="known") == known + 20
