from __future__ import annotations

import base64
import io

import pytest
from doubles import FakeWeb
from flask.testing import FlaskClient
from pictures import encode, form, photo, turned
from PIL import Image

from backend.datasets.images import MAX_IMAGE_BYTES
from backend.services import Services
from backend.settings import Settings


@pytest.fixture
def project(agent) -> str:
    return f"/projects/{agent.ok('POST', '/projects', json={'name': 'demo'})['id']}"


@pytest.fixture
def image(agent, project: str) -> str:
    """A picture of 400 × 300 pixels."""
    files = form(("cat.png", photo(0, width_px=400, height_px=300)))
    return f"/images/{agent.ok('POST', f'{project}/images', **files)['images'][0]['id']}"


def test_an_uploaded_image_says_what_it_is(agent, project: str) -> None:
    file = photo(1, kind="WEBP", lossless=True)

    uploaded = agent.ok("POST", f"{project}/images", **form(("a.jpg", file), split="val"))

    [image] = uploaded["images"]
    assert uploaded["rejected"] == []
    assert uploaded["dropped"] == 0
    assert image["mimeType"] == "image/webp"
    assert (image["width"], image["height"], image["bytes"]) == (40, 30, len(file))
    assert (image["filename"], image["split"], image["duplicate"]) == ("a.jpg", "val", False)
    assert agent.ok("GET", f"/images/{image['id']}") == {k: v for k, v in image.items() if k != "duplicate"}


def test_files_after_the_twentieth_are_dropped(agent, project: str) -> None:
    """M-009."""
    uploaded = agent.ok("POST", f"{project}/images", **form(*map(photo, range(23))))

    assert len(uploaded["images"]) == 20
    assert uploaded["dropped"] == 3
    assert [each["filename"] for each in uploaded["images"]] == [f"{number}.png" for number in range(20)]


def test_what_cannot_be_taken_is_rejected_and_the_rest_is_taken(agent, project: str) -> None:
    """M-010."""
    gif = encode(Image.new("RGB", (8, 8)), "GIF")
    truncated = photo(1, width_px=300, height_px=300, kind="JPEG")[:-5000]
    large = photo(2) + bytes(MAX_IMAGE_BYTES + 1 - len(photo(2)))
    files = {"a.jpg": gif, "b.jpg": truncated, "c.png": large, "good.png": photo(3)}

    uploaded = agent.ok("POST", f"{project}/images", **form(*files.items()))

    assert [each["filename"] for each in uploaded["images"]] == ["good.png"]
    assert {each["filename"]: each["code"] for each in uploaded["rejected"]} == {
        "a.jpg": "UNSUPPORTED_IMAGE_TYPE",
        "b.jpg": "IMAGE_INVALID",
        "c.png": "IMAGE_TOO_LARGE",
    }


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        (b"GIF89a", 415, "UNSUPPORTED_IMAGE_TYPE"),
        (photo(1, kind="JPEG")[:300], 400, "IMAGE_INVALID"),
        (photo(1)[:300], 400, "IMAGE_INVALID"),
        (photo(1, kind="WEBP")[:300], 400, "IMAGE_INVALID"),
    ],
)
def test_an_upload_of_which_nothing_is_taken_fails_as_its_first_file(
    agent, project: str, services: Services, file: bytes, status: int, code: str
) -> None:
    found = agent.error("POST", f"{project}/images", **form(("a.jpg", file)))

    assert found[:2] == (status, code)
    assert found[2]["rejected"][0]["filename"] == "a.jpg"
    assert agent.ok("GET", f"{project}/images")["items"] == []
    assert not [path for path in (services.settings.home / "blobs").rglob("*") if path.is_file()]


def test_a_file_of_exactly_50_mib_is_taken(agent, project: str) -> None:
    file = photo(1)
    largest = file + bytes(MAX_IMAGE_BYTES - len(file))

    assert agent.ok("POST", f"{project}/images", **form(largest))["images"][0]["bytes"] == MAX_IMAGE_BYTES


def test_an_image_with_too_many_pixels_is_refused(agent, project: str) -> None:
    file = encode(Image.new("1", (20_000, 5_001)))

    assert agent.error("POST", f"{project}/images", **form(file))[:2] == (400, "IMAGE_INVALID")


def test_an_upload_without_files_is_refused(agent, project: str) -> None:
    assert agent.error("POST", f"{project}/images", **form(split="val"))[:2] == (400, "NO_FILES")
    assert agent.error("POST", f"{project}/images", json={})[:2] == (400, "NO_FILES")
    assert agent.error("POST", f"{project}/images", **form(photo(1), split="all"))[:2] == (400, "VALIDATION_ERROR")


def test_the_same_bytes_are_in_a_project_once(agent, project: str) -> None:
    """M-011."""
    first = agent.ok("POST", f"{project}/images", **form(photo(1), photo(1)))["images"]
    again = agent.ok("POST", f"{project}/images", **form(("other name.png", photo(1)), photo(2)))["images"]

    assert [each["duplicate"] for each in first + again] == [False, True, True, False]
    assert len({each["id"] for each in first + again}) == 2
    assert len(agent.ok("GET", f"{project}/images")["items"]) == 2


def test_size_is_that_of_the_upright_image(agent, project: str) -> None:
    """M-012."""
    [image] = agent.ok("POST", f"{project}/images", **form(turned(300, 200)))["images"]

    assert (image["width"], image["height"]) == (300, 200)
    small = agent.ask("GET", f"/images/{image['id']}/file?maxSize=64", buffered=True)
    assert Image.open(io.BytesIO(small.data)).size == (64, 43)


def test_of_an_animated_image_the_first_frame_counts(agent, project: str) -> None:
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "blue")]
    animated = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:])

    [image] = agent.ok("POST", f"{project}/images", **form(animated))["images"]

    assert (image["width"], image["height"]) == (20, 10)


def test_folders_are_no_part_of_a_name(agent, project: str) -> None:
    files = form(("../../etc/passwd.png", photo(1)), ("..", photo(2)))

    uploaded = agent.ok("POST", f"{project}/images", **files)["images"]

    assert [each["filename"] for each in uploaded] == ["passwd.png", "image"]


def test_a_retried_upload_under_one_key_is_answered_as_before(agent, project: str) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = agent.ask("POST", f"{project}/images", headers=headers, **form(photo(1)))
    again = agent.ask("POST", f"{project}/images", headers=headers, **form(photo(1)))
    other = agent.error("POST", f"{project}/images", headers=headers, **form(photo(2)))

    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.get_json()["data"] == first.get_json()["data"]
    assert other[:2] == (422, "IDEMPOTENCY_KEY_REUSED")


def test_images_may_come_as_base64(agent, project: str) -> None:
    written = base64.b64encode(photo(1)).decode()
    entries = [
        {"base64": written, "filename": "a.png", "split": "test"},
        {"base64": f"data:image/png;base64,{base64.b64encode(photo(2)).decode()}", "filename": "b.png"},
        {"base64": "!", "filename": "c.png"},
    ]

    uploaded = agent.ok("POST", f"{project}/images", json={"images": entries, "split": "train"})

    assert [(each["filename"], each["split"]) for each in uploaded["images"]] == [("a.png", "test"), ("b.png", "train")]
    assert [(each["filename"], each["code"]) for each in uploaded["rejected"]] == [("c.png", "IMAGE_INVALID")]


def test_urls_of_private_addresses_are_not_fetched(agent, project: str, fake_web: FakeWeb) -> None:
    fake_web.answers["/cat.png"] = photo(1)
    entries = [{"url": f"{fake_web.url}/cat.png"}, {"url": "file:///etc/passwd"}]

    status, code, details = agent.error("POST", f"{project}/images", json={"images": entries})

    assert (status, code) == (403, "FORBIDDEN")
    assert [each["code"] for each in details["rejected"]] == ["FORBIDDEN", "VALIDATION_ERROR"]
    assert fake_web.asked == []


class TestFetching:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"allow_local_fetch": True})

    def test_urls_are_fetched(self, agent, project: str, fake_web: FakeWeb) -> None:
        fake_web.answers["/photos/cat.png"] = photo(1)
        fake_web.answers["/large.png"] = photo(2) + bytes(MAX_IMAGE_BYTES)
        entries = [{"url": f"{fake_web.url}{path}"} for path in ("/photos/cat.png?size=1", "/large.png", "/none.png")]

        uploaded = agent.ok("POST", f"{project}/images", json={"images": entries})

        assert [each["filename"] for each in uploaded["images"]] == ["cat.png"]
        assert [each["code"] for each in uploaded["rejected"]] == ["IMAGE_TOO_LARGE", "NOT_FOUND"]


def test_images_are_listed_newest_first_page_by_page_while_others_come(agent, project: str) -> None:
    """S-012."""
    made = agent.ok("POST", f"{project}/images", **form(*map(photo, range(5))))["images"]

    first = agent.ok("GET", f"{project}/images?limit=3")
    agent.ok("POST", f"{project}/images", **form(photo(9)))
    second = agent.ok("GET", f"{project}/images?limit=3&cursor={first['nextCursor']}")

    assert [each["id"] for each in first["items"] + second["items"]] == [each["id"] for each in reversed(made)]
    assert (first["hasMore"], second["hasMore"], second["nextCursor"]) == (True, False, None)
    assert agent.error("GET", f"{project}/images?cursor=!")[:2] == (400, "VALIDATION_ERROR")


def test_images_are_listed_by_split_and_by_whether_they_are_labelled(agent, project: str) -> None:
    a, b, c = (each["id"] for each in agent.ok("POST", f"{project}/images", **form(*map(photo, range(3))))["images"])
    body = {"taskType": "detection", "labels": ["cat"]}
    one = agent.ok("POST", f"{project}/labelsets", json={"name": "one", **body})["id"]
    two = agent.ok("POST", f"{project}/labelsets", json={"name": "two", **body})["id"]
    agent.ok("PUT", f"/label-sets/{one}/images/{a}/annotations", json={"annotations": []})
    agent.ok("PUT", f"/label-sets/{two}/images/{b}/annotations", json={"annotations": []})
    agent.ok("PATCH", f"/images/{c}", json={"split": "val"})

    def listed(query: str) -> list[str]:
        return [each["id"] for each in agent.ok("GET", f"{project}/images?{query}")["items"]]

    assert listed("split=val") == [c]
    assert listed("split=unassigned") == [b, a]
    assert listed("labeled=true") == [b, a]
    assert listed("labeled=false") == [c]
    assert listed(f"labelSetId={one}") == [a]
    assert listed(f"labelSetId={one}&labeled=false") == [c, b]
    assert agent.ok("GET", f"/images/{a}")["labeledIn"] == [one]
    assert agent.error("GET", f"{project}/images?labelSetId=lbs_{a[4:]}")[:2] == (404, "NOT_FOUND")


def test_the_file_is_what_was_uploaded_and_may_be_asked_for_in_part(agent, image: str) -> None:
    whole = agent.ask("GET", f"{image}/file", buffered=True)

    assert whole.data == photo(0, width_px=400, height_px=300)
    assert whole.mimetype == "image/png"
    assert (
        agent.ask("GET", f"{image}/file", buffered=True, headers={"If-None-Match": whole.headers["ETag"]}).status_code
        == 304
    )
    part = agent.ask("GET", f"{image}/file", buffered=True, headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.data) == (206, b"PNG")


def test_a_smaller_copy_is_made_once(agent, image: str, services: Services) -> None:
    first, again = (agent.ask("GET", f"{image}/file?maxSize=150", buffered=True) for _ in range(2))

    assert Image.open(io.BytesIO(first.data)).size == (128, 96)
    assert first.mimetype == "image/jpeg"
    assert again.data == first.data
    assert len(list((services.settings.home / "cache" / "thumbnails").iterdir())) == 1
    assert agent.ask("GET", f"{image}/file?maxSize=400", buffered=True).mimetype == "image/png"
    assert agent.error("GET", f"{image}/file?maxSize=1")[:2] == (400, "VALIDATION_ERROR")


def test_a_signed_address_needs_no_key(agent, client: FlaskClient, image: str, services: Services) -> None:
    task = services.access.task(services.accounts.local(agent.user), image.removeprefix("/images/img_"))

    path = services.images.signed_url_path(task)

    assert client.get(path, buffered=True).data == agent.ask("GET", f"{image}/file", buffered=True).data
    assert path.startswith(f"{image}/file?sig=")
    for wrong in (path[:-1] + "!", f"/images/img_{task.project_id}/file?sig={path[-43:]}"):
        assert client.get(wrong).get_json()["error"]["code"] == "NOT_FOUND"
    assert client.get(f"{image}/file").get_json()["error"]["code"] == "UNAUTHENTICATED"


def test_an_image_is_put_into_a_split_and_out_of_it(agent, image: str) -> None:
    assert agent.ok("PATCH", image, json={"split": "test"})["split"] == "test"
    assert agent.ok("PATCH", image, json={"split": None})["split"] is None
    assert agent.error("PATCH", image, json={"split": "held_out"})[:2] == (400, "VALIDATION_ERROR")


def test_a_deleted_image_is_gone_with_its_file_and_can_come_again(agent, project: str, image: str) -> None:
    body = {"name": "objects", "taskType": "detection", "labels": ["cat"]}
    label_set = agent.ok("POST", f"{project}/labelsets", json=body)["id"]
    agent.ok("PUT", f"/label-sets/{label_set}{image}/annotations", json={"annotations": []})
    agent.ask("GET", f"{image}/file?maxSize=64", buffered=True)

    assert agent.ok("DELETE", image) is None

    assert agent.error("GET", f"{image}/file")[:2] == (404, "NOT_FOUND")
    again = agent.ok("POST", f"{project}/images", **form(photo(0, width_px=400, height_px=300)))["images"]
    assert again[0]["duplicate"] is False
    assert again[0]["labeledIn"] == []


def test_images_are_shared_out_by_chance_and_always_the_same(agent, project: str) -> None:
    for start in (0, 20):
        agent.ok("POST", f"{project}/images", **form(*map(photo, range(start, start + 20))))
    ratios = {"train": 0.8, "val": 0.1, "test": 0.1}

    def share_out(**more: object) -> list[str]:
        counts = agent.ok("PUT", f"{project}/splits", json={"strategy": "random", "ratios": ratios, **more})
        assert counts == {"train": 32, "val": 4, "test": 4, "unassigned": 0}
        return [each["split"] for each in agent.ok("GET", f"{project}/images?limit=200")["items"]]

    first = share_out(seed=1)
    assert share_out(seed=2) == first  # all are in a split already
    assert share_out(seed=2, onlyUnassigned=False) != first
    assert share_out(seed=1, onlyUnassigned=False) == first


def test_images_are_put_into_splits_by_name(agent, project: str) -> None:
    a, b, c = (each["id"] for each in agent.ok("POST", f"{project}/images", **form(*map(photo, range(3))))["images"])

    counts = agent.ok("PUT", f"{project}/splits", json={"strategy": "explicit", "assign": {"train": [a], "val": [b]}})

    assert counts == {"train": 1, "val": 1, "test": 0, "unassigned": 1}
    twice = {"strategy": "explicit", "assign": {"train": [c], "val": [c]}}
    assert agent.error("PUT", f"{project}/splits", json=twice)[:2] == (400, "VALIDATION_ERROR")
    unknown = {"strategy": "explicit", "assign": {"test": [c, f"img_{project[-26:]}"]}}
    assert agent.error("PUT", f"{project}/splits", json=unknown)[:2] == (404, "NOT_FOUND")
    assert agent.ok("GET", f"/images/{c}")["split"] is None
    uneven = {"ratios": {"train": 0.5, "val": 0.4, "test": 0.0}}
    assert agent.error("PUT", f"{project}/splits", json=uneven)[:2] == (400, "VALIDATION_ERROR")
