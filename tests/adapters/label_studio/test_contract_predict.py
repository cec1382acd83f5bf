"""Section A.5 of the contract: POST /predict for batches, exactly N results whatever the tasks are."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import (
    CONFIG,
    PROJECT,
    add_version,
    basic,
    counted,
    data_url,
    image_bytes,
    labels,
    predict,
    predict_body,
    setup_body,
    task,
)
from doubles import Answer, Asked, FakeLabelStudio, FakeWeb
from flask.testing import FlaskClient

from adapters.label_studio.access import KIND
from backend.projects.service import Mirror
from backend.services import Services
from backend.versions.registry import UNTRAINED, ModelVersion

MakeClient = Callable[..., FlaskClient]
MULTIPLE = CONFIG.replace("<Choices", '<Choices choice="multiple"')
ALIASED = CONFIG.replace('value="red"', 'value="Rot" alias="R" predicted_values="red"').replace("green", "GREEN")


# --- Results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 50])
def test_each_task_gets_its_result_in_order(client: FlaskClient, version: ModelVersion, number: int) -> None:
    """C-027."""
    colours = [["red", "green"][index * index % 3 % 2] for index in range(number)]

    found = predict(client, *(task(index, colour) for index, colour in enumerate(colours)))

    assert labels(found) == [[colour] for colour in colours]


def test_an_entry_has_result_version_and_score(client: FlaskClient, version: ModelVersion) -> None:
    """C-028."""
    named = client.post("/setup", json=setup_body()).get_json()["model_version"]

    for entry in predict(client, task(1), task(2, "green"), task(3, b"no image"), task(4, "blue")):
        assert entry.keys() == {"result", "score", "model_version"}
        assert isinstance(entry["result"], list)
        assert entry["model_version"] == named == version.name
        assert 0 <= entry["score"] <= 1


def test_a_region_fits_the_config(client: FlaskClient, version: ModelVersion) -> None:
    """C-035, C-076."""
    [entry] = predict(client, task(1, "green"))

    [item] = entry["result"]
    assert item.pop("id")
    assert 0.9 < item.pop("score") <= 1
    assert item == {
        "from_name": "colour",
        "to_name": "photo",
        "type": "choices",
        "origin": "prediction",
        "original_width": 32,
        "original_height": 24,
        "image_rotation": 0,
        "value": {"choices": ["green"]},
    }


def test_labels_are_those_of_the_config_of_the_request(client: FlaskClient, version: ModelVersion) -> None:
    """C-035, the alias rule: the version says red and green, the config of today R and GREEN."""
    assert labels(predict(client, task(1), task(2, "green"), label_config=ALIASED)) == [["R"], ["GREEN"]]


def test_a_label_that_the_config_has_lost_is_left_out(client: FlaskClient, version: ModelVersion) -> None:
    config = CONFIG.replace('"green"', '"yellow"')

    assert labels(predict(client, task(1), task(2, "green"), label_config=config)) == [["red"], []]


def test_several_labels_are_one_item(client: FlaskClient, services: Services, tmp_path: Path) -> None:
    """C-076, multiple: any number of labels, also none."""
    client.post("/setup", json=setup_body(schema=MULTIPLE))
    mirror = services.projects.find(KIND, PROJECT)
    assert mirror is not None
    add_version(services, mirror.label_sets[0], tmp_path)

    found = predict(client, task(1), task(2, "green"), task(3, "blue"), label_config=MULTIPLE)

    assert labels(found) == [["red"], ["green"], []]
    assert found[2]["score"] == 0.5  # nothing tells whether there is nothing or it was missed


def test_ids_are_unique_texts(client: FlaskClient, version: ModelVersion) -> None:
    """C-103."""
    ids = [item["id"] for entry in predict(client, *(task(n) for n in range(20))) for item in entry["result"]]

    assert len(set(ids)) == 20
    assert all(isinstance(item_id, str) and item_id for item_id in ids)


def test_the_same_request_gets_the_same_answer(
    client: FlaskClient, make_client: MakeClient, version: ModelVersion
) -> None:
    """C-033, and C-139: from a replica too."""
    body = predict_body(task(1), task(2, "green"), task(3, b"no image"))

    answers = {caller.post("/predict", json=body).get_data() for caller in (client, client, make_client(), client)}

    assert len(answers) == 1


def test_sizes_are_those_of_the_upright_image(client: FlaskClient, version: ModelVersion) -> None:
    """C-036, and an image larger than the network's side that is decoded in reduced size."""
    sizes = []
    for size, orientation in (((640, 480), 1), ((640, 480), 6)):
        image = image_bytes("red", size=size, form="JPEG", orientation=orientation)
        [item] = predict(client, task(1, image))[0]["result"]
        sizes.append((item["original_width"], item["original_height"]))

    assert sizes == [(640, 480), (480, 640)]


# --- Fields that are missing or odd ----------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [None, {}, {"context": None}, {"login": None}, [], "text", 3])
def test_params_may_be_missing(client: FlaskClient, version: ModelVersion, params: object) -> None:
    """C-031."""
    response = client.post("/predict", json={**predict_body(task(1)), "params": params})

    assert labels(response.get_json()["results"]) == [["red"]]


def test_without_a_label_config_that_of_the_set_up_counts(client: FlaskClient, version: ModelVersion) -> None:
    """C-031."""
    assert labels(predict(client, task(1), label_config=None)) == [["red"]]


@pytest.mark.parametrize("project", [None, "8.1"])
def test_without_a_label_config_anywhere_it_is_400(client: FlaskClient, project: str | None) -> None:
    """C-031."""
    response = client.post("/predict", json=predict_body(task(1), project=project, label_config=None))

    assert response.status_code == 400
    assert response.status.startswith("400 label_config: ")


def test_without_a_project_nothing_is_found(client: FlaskClient, version: ModelVersion) -> None:
    [entry] = predict(client, task(1), project=None)

    assert entry == {"result": [], "score": 0, "model_version": UNTRAINED}


def test_no_tasks_have_no_results(client: FlaskClient, version: ModelVersion) -> None:
    """C-032."""
    assert predict(client) == []


@pytest.mark.parametrize("tasks", [None, {}, "x", 1, [1], [[]], [None], [{"data": 5}], [{"id": 2**64}], [{"id": {}}]])
def test_tasks_of_the_wrong_type_are_400(client: FlaskClient, version: ModelVersion, tasks: object) -> None:
    """C-032, and numbers beyond 64 bits."""
    response = client.post("/predict", json={**predict_body(), "tasks": tasks})

    assert response.status_code == 400
    assert response.status.startswith("400 tasks")


def test_before_the_first_training_nothing_is_invented(client: FlaskClient, mirror: Mirror) -> None:
    entries = predict(client, task(1), task(2, "green"))

    assert entries == [{"result": [], "score": 0, "model_version": UNTRAINED}] * 2


@pytest.mark.parametrize(
    "config",
    ["<View/>", '<View><Text name="t" value="$t"/><TextArea name="l" toName="t"/></View>'],
)
def test_a_config_without_a_control_we_learn_gives_empty_results(client: FlaskClient, config: str) -> None:
    """C-037."""
    assert labels(predict(client, task(1), task(2), label_config=config)) == [[], []]


def test_a_label_config_that_cannot_be_read_is_400(client: FlaskClient, version: ModelVersion) -> None:
    response = client.post("/predict", json=predict_body(task(1), label_config="<View>"))

    assert response.status_code == 400
    assert response.get_json()["code"] == "label_config_invalid"


# --- Media -----------------------------------------------------------------------------------------------------------


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


_HEADER = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
PIXEL_BOMB = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", _HEADER) + _chunk(b"IDAT", zlib.compress(bytes(10**6)))
BAD_IMAGES: dict[str, object] = {
    "not there": {},
    "null": {"img": None},
    "number": {"img": 5},
    "list": {"img": ["/data/upload/7/a.png"]},
    "blank": {"img": " "},
    "text": {"img": "a photo of a cat"},
    "no image": {"img": data_url(b"hello")},
    "cut": {"img": data_url(image_bytes("red", size=(200, 200))[:120])},
    "bomb": {"img": data_url(PIXEL_BOMB)},
    "data URL": {"img": "data:image/png;base64,###"},
    "no port": {"img": "http://127.0.0.1:1/a.png"},
    "odd port": {"img": "http://127.0.0.1:x/a.png"},
    "brackets": {"img": "http://[/a.png"},
    "empty label": {"img": "http://a..b/a.png"},
    "long host": {"img": "http://" + "a" * 300},
    "file": {"img": "file:///etc/passwd"},
    "upload": {"img": "/data/upload/7/x.png"},
    "cloud": {"img": "s3://bucket/x.png"},
    "outside": {"img": "/data/local-files/?d=../../etc/passwd"},
    "long": {"img": "/data/local-files/?d=" + "a" * 5000},
    "NUL": {"img": "/data/local-files/?d=\0"},
    "surrogate": {"img": "/data/upload/\ud800"},
}


@pytest.mark.parametrize("data", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_a_task_without_a_usable_image_disturbs_no_other(
    make_client: MakeClient, version: ModelVersion, tmp_path: Path, data: object
) -> None:
    """C-029."""
    client = make_client(local_files_root=tmp_path)
    bad = {**task(2), "data": data}

    found = predict(client, task(1), bad, task(3, "green"), {**bad, "id": "\ud800"}, task(4))

    assert labels(found) == [["red"], [], ["green"], [], ["red"]]
    assert found[1]["score"] == 0


def test_images_that_cannot_be_read_are_logged(
    client: FlaskClient, version: ModelVersion, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    predict(client, task(1), task(41, b"no image"))

    [line] = [vars(record) for record in caplog.records if record.getMessage() == "task not predicted"]
    assert (line["task_id"], line["code"], line["uid"]) == (41, "image_invalid", PROJECT)


def test_an_image_that_is_too_large_is_left_out(
    make_client: MakeClient, version: ModelVersion, fake_web: FakeWeb
) -> None:
    client = make_client(max_media_bytes=5000, allow_local_fetch=True)
    fake_web.answers["/large.png"] = image_bytes("red") + bytes(10_000)

    assert labels(predict(client, task(1), task(2, f"{fake_web.url}/large.png"))) == [["red"], []]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"])
def test_a_private_address_is_not_asked(
    client: FlaskClient, version: ModelVersion, fake_web: FakeWeb, host: str
) -> None:
    """Whoever can add tasks must not read from our network through us."""
    fake_web.answers["/a.png"] = image_bytes("green")
    port = fake_web.url.rsplit(":", 1)[1]

    assert labels(predict(client, task(1), task(2, f"http://{host}:{port}/a.png"))) == [["red"], []]
    assert fake_web.asked == []


def test_protected_media_are_fetched_with_the_task_credentials(
    make_client: MakeClient, version: ModelVersion, fake_web: FakeWeb
) -> None:
    """C-040."""

    def protected(asked: Asked) -> Answer:
        knows = asked.authorization == basic("viewer", "hush")["Authorization"]
        return Answer(body=image_bytes("green")) if knows else Answer(401)

    fake_web.answers["/a.png"] = protected
    body = predict_body(task(1, f"{fake_web.url}/a.png"), params={"login": "viewer", "password": "hush"})

    response = make_client(allow_local_fetch=True).post("/predict", json=body)

    assert labels(response.get_json()["results"]) == [["green"]]
    assert "hush" not in response.get_data(as_text=True) + str(response.headers)


def test_uploads_come_from_label_studio(
    make_client: MakeClient, version: ModelVersion, fake_label_studio: FakeLabelStudio
) -> None:
    fake_label_studio.uploads["7/a.png"] = image_bytes("green")
    client = make_client(label_studio_url=fake_label_studio.url, label_studio_api_key=fake_label_studio.pat)

    assert labels(predict(client, task(1, "/data/upload/7/a.png"), task(2, "/data/upload/7/gone.png"))) == [
        ["green"],
        [],
    ]


def test_a_token_that_label_studio_refuses_is_said_where_people_see_it(
    make_client: MakeClient, version: ModelVersion, fake_label_studio: FakeLabelStudio
) -> None:
    """A fault of the set-up hits every task: empty answers would be stored in Label Studio and hide it."""
    client = make_client(label_studio_url=fake_label_studio.url, label_studio_api_key="wrong")

    response = client.post("/predict", json=predict_body(task(1, "/data/upload/7/a.png")))

    assert response.status_code == 502
    assert "LABEL_STUDIO_API_KEY" in response.status
    assert client.get("/tandem/projects/7").get_json()["state"] == "ER"


def test_an_image_is_computed_once_for_each_version(
    client: FlaskClient, services: Services, mirror: Mirror, version: ModelVersion, tmp_path: Path
) -> None:
    """C-034: a second request, also by a client that lost the answer to the first, computes nothing."""
    batch = [task(number, image_bytes("green", size=(20 + number, 20))) for number in range(20)]

    first = predict(client, *batch)
    computed, known = counted("tandem_prediction_seconds_count"), counted("tandem_predictions_total", outcome="known")
    second = predict(client, *batch)

    assert second == first
    assert counted("tandem_prediction_seconds_count") == computed
    assert counted("tandem_predictions_total", outcome="known") == known + 20
    newer = add_version(services, mirror.label_sets[0], tmp_path / "newer", sharpness=10)
    assert {entry["model_version"] for entry in predict(client, *batch)} == {newer.name}
    assert counted("tandem_prediction_seconds_count") > computed
