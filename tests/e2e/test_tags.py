"""One URL for any labelling config: a project with a dozen kinds of controls, and one with texts, learn and answer.

Trainings are kept short here; how good they get is measured by `make bench`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from e2e.servers import LabelStudio, Project, Tandem, run_tandem
from e2e.shapes import CONFIG, HEIGHT_PX, WIDTH_PX, Shapes, shapes
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface
from processes import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

PICTURES = shapes(36)
LEARNT, OTHERS = PICTURES[:28], PICTURES[28:]
CONTROLS = {"box", "hue", "oval", "outline", "paint", "bits", "point", "light", "size", "stars", "level"}

TEXT_CONFIG = """<View><Text name="text" value="$text"/>
  <Labels name="names" toName="text"><Label value="person"/><Label value="city"/></Labels>
  <Choices name="mood" toName="text"><Choice value="glad"/><Choice value="angry"/></Choices>
  <Taxonomy name="topic" toName="text">
    <Choice value="trip"><Choice value="train"/><Choice value="plane"/></Choice></Taxonomy>
  <Rating name="stars" toName="text" maxRating="5"/>
  <Number name="price" toName="text" min="0" max="100"/>
</View>"""
PEOPLE = ("Anna Berg", "José Silva", "Li Wei", "Omar Haddad", "Grace Osei", "Nina Petrova")
CITIES = ("Lisbon", "Osaka", "Accra", "Bergen", "Quito", "Tartu")


@dataclass(frozen=True)
class Learnt:
    """A project whose labels were learnt.

    Attributes:
        predictions: The newest of each task that nobody annotated, by task id.
    """

    project: Project
    tandem: Tandem
    predictions: dict[int, dict[str, Any]]

    def items(self, control: str) -> dict[int, list[dict[str, Any]]]:
        """Return the items of a control, by task id."""
        return {
            task_id: [item for item in prediction["result"] if item["from_name"] == control]
            for task_id, prediction in self.predictions.items()
        }


@pytest.fixture(scope="module")
def own_tandem(label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tandem]:
    """A Tandem that trains only when it is told to."""
    settings = {
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.token,
        "TANDEM_TRAIN_EVERY": "0",
        "TANDEM_TRAIN_WITHIN_S": "8",
    }
    with run_tandem(tmp_path_factory.mktemp("tags"), **settings) as tandem:
        yield tandem


def learn(project: Project, tandem: Tandem, annotations: dict[int, list[dict[str, Any]]]) -> Learnt:
    """Annotate, train, and retrieve predictions for the other tasks."""
    assert project.connect(tandem).status_code == 201
    for task_id, result in annotations.items():
        project.label_studio.post(f"/api/tasks/{task_id}/annotations/", {"result": result, "lead_time": 1.0})
    project.start_training()
    for run in tandem.runs(project.uid)[::-1]:
        tandem.await_completed(run["id"])
    others = [task["id"] for task in project.tasks() if task["id"] not in annotations]
    body = {"selectedItems": {"all": False, "included": others}, "ordering": [], "filters": None}
    project.label_studio.post("/api/dm/actions", body, id="retrieve_tasks_predictions", project=project.id)
    version = project.connection()["model_version"]
    stored = {made["task"]: made for made in project.predictions() if made["model_version"] == version}
    assert sorted(stored) == others
    return Learnt(project, tandem, stored)


@pytest.fixture(scope="module")
def pictures(label_studio: LabelStudio, own_tandem: Tandem) -> Learnt:
    project = label_studio.create_project("Shapes", CONFIG)
    project.upload(PICTURES)  # type: ignore[arg-type]
    return learn(project, own_tandem, {project.task_ids[each.name]: each.annotation for each in LEARNT})


@pytest.fixture(scope="module")
def texts(label_studio: LabelStudio, own_tandem: Tandem) -> Learnt:
    project = label_studio.create_project("Letters", TEXT_CONFIG)
    letters = list(_letters(60))
    label_studio.post(f"/api/projects/{project.id}/import", [{"text": text} for text, _ in letters])
    said = dict(letters)
    annotations = {task["id"]: said[task["data"]["text"]] for task in project.tasks()[:50]}
    return learn(project, own_tandem, annotations)


def test_every_control_that_can_be_learnt_has_a_version(pictures: Learnt) -> None:
    label_sets = pictures.tandem.project(pictures.project.uid)["label_sets"]

    trained = {row["name"] for row in label_sets if row["model_version"]}
    assert trained >= CONTROLS
    assert "remark" not in {row["name"] for row in label_sets}


@pytest.mark.parametrize("learnt", ["pictures", "texts"])
def test_all_answers_are_valid_for_label_studio(learnt: str, request: pytest.FixtureRequest) -> None:
    found: Learnt = request.getfixturevalue(learnt)
    interface = LabelInterface(found.project.config)

    for prediction in found.predictions.values():
        faults = interface.validate_prediction(
            {"result": prediction["result"], "score": prediction["score"]}, return_errors=True
        )
        assert faults == []
        assert len({item["id"] + item["from_name"] for item in prediction["result"]}) == len(prediction["result"])


@pytest.mark.parametrize("control", sorted(CONTROLS))
def test_each_control_of_a_picture_is_answered(pictures: Learnt, control: str) -> None:
    items = pictures.items(control)

    answered = [task_id for task_id, found in items.items() if found]
    assert len(answered) >= 0.5 * len(items), {task: len(found) for task, found in items.items()}


def test_boxes_lie_where_the_shapes_are(pictures: Learnt) -> None:
    overlaps = []
    for picture, items in _by_picture(pictures, "box"):
        for label, (x, y, extent) in (("circle", picture.circle_px), ("square", picture.square_px)):
            truth = (x - extent, y - extent, x + extent, y + extent)
            boxes = [_corners(item["value"]) for item in items if item["value"]["rectanglelabels"] == [label]]
            overlaps.append(max((_iou(box, truth) for box in boxes), default=0.0))

    assert np.mean([overlap > 0.5 for overlap in overlaps]) >= 0.6, overlaps


def test_brushes_cover_the_shapes(pictures: Learnt) -> None:
    """Which of them is which takes longer to learn than this test has time for."""
    overlaps = []
    for picture, items in _by_picture(pictures, "paint"):
        painted = np.zeros((HEIGHT_PX, WIDTH_PX), dtype=bool)
        for item in items:
            painted |= decode_rle(item["value"]["rle"]).reshape(HEIGHT_PX, WIDTH_PX, 4)[..., 3] > 0
        truth = (picture.mask("circle") > 0) | (picture.mask("square") > 0)
        overlaps.append((painted & truth).sum() / (painted | truth).sum())

    assert np.mean(overlaps) >= 0.5, overlaps


def test_points_are_near_the_centres(pictures: Learnt) -> None:
    distances = []
    for picture, items in _by_picture(pictures, "point"):
        for label, (x, y, _) in (("circle", picture.circle_px), ("square", picture.square_px)):
            found = [item["value"] for item in items if item["value"]["keypointlabels"] == [label]]
            distances.append(
                min((np.hypot(v["x"] / 100 * WIDTH_PX - x, v["y"] / 100 * HEIGHT_PX - y) for v in found), default=999)
            )

    assert np.mean([distance < 10 for distance in distances]) >= 0.6, distances


def test_choices_for_each_region_hang_on_the_boxes(pictures: Learnt) -> None:
    """C-100: the answer about a region shares its id and its geometry."""
    geometry = ("x", "y", "width", "height", "rotation")
    num_boxes = num_answered = 0
    for task_id, items in pictures.items("hue").items():
        about = {item["id"]: item["value"] for item in items}  # outlines, ovals and brushes are asked about as well
        for box in pictures.items("box")[task_id]:
            num_boxes += 1
            if box["id"] in about:
                num_answered += 1
                assert {key: about[box["id"]][key] for key in geometry} == {key: box["value"][key] for key in geometry}

    assert num_answered >= 0.9 * num_boxes > 0


def test_whole_pictures_are_judged_right(pictures: Learnt) -> None:
    light = [
        items[0]["value"]["choices"] == ["bright" if picture.level > 128 else "dark"]
        for picture, items in _by_picture(pictures, "light")
    ]
    level = [abs(items[0]["value"]["number"] - picture.level) for picture, items in _by_picture(pictures, "level")]

    assert np.mean(light) >= 0.7
    assert np.median(level) < 70


@pytest.mark.parametrize("control", ["names", "mood", "topic", "stars", "price"])
def test_each_control_of_a_text_is_answered(texts: Learnt, control: str) -> None:
    items = texts.items(control)

    assert sum(bool(found) for found in items.values()) >= 0.6 * len(items)


def test_names_in_texts_are_found_to_the_letter(texts: Learnt) -> None:
    """C-093: offsets count code points, also after an emoji."""
    text_of = {task["id"]: task["data"]["text"] for task in texts.project.tasks()}
    hits = 0
    for task_id, items in texts.items("names").items():
        for item in items:
            value = item["value"]
            assert text_of[task_id][value["start"] : value["end"]] == value["text"]
            hits += value["text"] in (*PEOPLE, *CITIES)

    assert hits >= len(texts.predictions)


def test_a_whole_project_of_texts_is_predicted_each_task_once(texts: Learnt) -> None:
    """What was retrieved before is left as it is, and what is there is not written again."""
    project, tandem = texts.project, texts.tandem
    path = f"/tandem/projects/{tandem.project(project.uid)['id']}/predictions"

    jobs = [_await_job(tandem, tandem.post(path)["id"]) for _ in range(2)]

    version = jobs[0]["version_name"]
    tasks = [made["task"] for made in project.predictions() if made["model_version"] == version]
    assert sorted(tasks) == [task["id"] for task in project.tasks()]
    assert [(job["state"], job["num_tasks"], job["num_failed"]) for job in jobs] == [
        ("completed", 50, 0),
        ("completed", 0, 0),
    ]


def test_texts_worth_labelling_and_doubtful_annotations_are_listed_with_links(texts: Learnt) -> None:
    project, tandem = texts.project, texts.tandem
    wrong = next(task for task in project.tasks() if task["annotations"])
    annotation = wrong["annotations"][0]
    flipped = {"glad": "angry", "angry": "glad"}
    for item in annotation["result"]:
        if item["from_name"] == "mood":
            item["value"]["choices"] = [flipped[item["value"]["choices"][0]]]
    changed = project.label_studio.ask(
        "PATCH", f"/api/annotations/{annotation['id']}/", json={"result": annotation["result"]}
    )
    assert changed.ok

    said, worth = tandem.say("next", str(project.id), "--num", "5", "--json")
    also_said, doubtful = tandem.say("errors", str(project.id), "--json")

    assert (said, also_said) == (0, 0), worth + doubtful
    found = json.loads(worth)
    assert len(found) == 5
    assert {one["task"] for one in found} <= set(texts.predictions)
    assert all(one["link"].startswith(project.label_studio.url) for one in found)
    assert (wrong["id"], "mood") in {(one["task"], one["control"]) for one in json.loads(doubtful)}


@pytest.mark.parametrize("prompt", ["key point", "box"])
def test_a_click_is_answered_with_a_region(pictures: Learnt, prompt: str) -> None:
    """C-044, through Label Studio as the editor asks."""
    picture = OTHERS[0]
    x, y, extent = picture.circle_px
    value: dict[str, Any] = {
        "x": 100 * x / WIDTH_PX,
        "y": 100 * y / HEIGHT_PX,
        "width": 0.5,
        "keypointlabels": ["circle"],
    }
    control, kind = "point", "keypointlabels"
    if prompt == "box":
        control, kind = "box", "rectanglelabels"
        value = {
            "x": 100 * (x - extent) / WIDTH_PX,
            "y": 100 * (y - extent) / HEIGHT_PX,
            "width": 200 * extent / WIDTH_PX,
            "height": 200 * extent / HEIGHT_PX,
            "rotation": 0,
            "rectanglelabels": ["circle"],
        }
    item = {"id": "k1", "from_name": control, "to_name": "photo", "type": kind, "is_positive": True, "value": value}
    item |= {"origin": "manual", "original_width": WIDTH_PX, "original_height": HEIGHT_PX, "image_rotation": 0}
    project = pictures.project
    path = f"/api/ml/{project.backend}/interactive-annotating"

    said = project.label_studio.post(path, {"task": project.task_ids[picture.name], "context": {"result": [item]}})
    undone = project.label_studio.post(path, {"task": project.task_ids[picture.name], "context": {"result": []}})

    [region] = said["data"]["result"]
    painted = decode_rle(region["value"]["rle"]).reshape(HEIGHT_PX, WIDTH_PX, 4)[..., 3] > 0
    truth = picture.mask("circle") > 0
    assert region["value"]["brushlabels"] == ["circle"]
    assert (painted & truth).sum() / (painted | truth).sum() > 0.8
    assert undone["data"]["result"] == []


def _await_job(tandem: Tandem, job_id: str) -> dict[str, Any]:
    wait_for(lambda: tandem.get(f"/tandem/predictions/{job_id}")["state"] not in ("queued", "running"), "the job ends")
    return dict(tandem.get(f"/tandem/predictions/{job_id}"))


def _by_picture(learnt: Learnt, control: str) -> Iterator[tuple[Shapes, list[dict[str, Any]]]]:
    items = learnt.items(control)
    for picture in OTHERS:
        yield picture, items[learnt.project.task_ids[picture.name]]


def _corners(value: dict[str, float]) -> tuple[float, float, float, float]:
    left, top = value["x"] / 100 * WIDTH_PX, value["y"] / 100 * HEIGHT_PX
    return left, top, left + value["width"] / 100 * WIDTH_PX, top + value["height"] / 100 * HEIGHT_PX


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _letters(number: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield texts with what a person says about them."""
    random = np.random.default_rng(3)
    glad = ("what a lovely journey", "thank you so much", "everything was perfect", "I would come again")
    angry = ("this was a disaster", "I want my money back", "never again", "nobody helped us at all")
    for index in range(number):
        person, city = random.choice(PEOPLE), random.choice(CITIES)
        is_glad, by_train = bool(random.random() < 0.5), bool(random.random() < 0.5)
        way = ("on the night train", "at the railway station") if by_train else ("at the airport", "on the flight")
        opinion = random.choice(glad if is_glad else angry)
        smile = "🎉 " if index % 3 == 0 else ""
        text = f"{smile}{person} wrote from {city} {random.choice(way)}: {opinion}. Letter {index}."
        price = 80 if by_train else 20
        result = [
            _text_item("names", "labels", _span(text, person, "person")),
            _text_item("names", "labels", _span(text, city, "city")),
            _text_item("mood", "choices", {"choices": ["glad" if is_glad else "angry"]}),
            _text_item("topic", "taxonomy", {"taxonomy": [["trip", "train" if by_train else "plane"]]}),
            _text_item("stars", "rating", {"rating": 5 if is_glad else 1}),
            _text_item("price", "number", {"number": price}),
        ]
        yield text, [{**item, "id": f"i{position}"} for position, item in enumerate(result)]


def _span(text: str, part: str, label: str) -> dict[str, Any]:
    start = text.index(part)
    return {"start": start, "end": start + len(part), "text": part, "labels": [label]}


def _text_item(control: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": control, "to_name": "text", "type": kind, "origin": "manual", "value": value}
