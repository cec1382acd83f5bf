"""What can go wrong with a file on its way here, and what is said of it."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from doubles import Answer, FakeLabelStudio, FakeWeb, redirect
from pictures import IMAGE

from adapters.label_studio.client import SETUP_FAULTS
from adapters.label_studio.media import Media
from backend.errors import Denied, Invalid, LimitExceeded, NotFound, TandemError, Unavailable

MakeMedia = Callable[..., Media]


# --- completeness and size -----------------------------------------------------------------------------------------


def test_a_body_that_ends_early_is_continued_range_by_range(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia, token: str
) -> None:
    """C-122."""
    fake_label_studio.cloud["s3://b/x.png"] = Answer(body=IMAGE, cut_at=1000, max_range_bytes=3000)

    file = make_media(token).fetch("s3://b/x.png", task_id=41)

    assert file.path.read_bytes() == IMAGE
    ranges = [asked.headers.get("range") for asked in fake_label_studio.asked_for("/tasks/")]
    assert ranges == [None, "bytes=1000-", "bytes=4000-", "bytes=7000-", "bytes=10000-"]


def test_a_body_of_unknown_length_that_ends_early_is_continued(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia
) -> None:
    """C-122."""
    fake_label_studio.cloud["s3://b/x.png"] = Answer(
        body=IMAGE, cut_at=1000, has_length=False, headers={"Accept-Ranges": "bytes"}
    )

    file = make_media().fetch("s3://b/x.png", task_id=41)

    assert file.path.read_bytes() == IMAGE


@pytest.mark.parametrize("ranges", [{"Accept-Ranges": "bytes"}, {}])
def test_a_complete_body_of_unknown_length_is_taken(
    fake_web: FakeWeb, make_media: MakeMedia, ranges: dict[str, str]
) -> None:
    fake_web.answers["/a.png"] = Answer(body=IMAGE, has_length=False, headers=ranges)
    fake_web.answers["/b.png"] = Answer(body=IMAGE, has_length=False, headers=ranges, max_range_bytes=None)
    media = make_media(allow_private=True)

    assert [media.fetch(f"{fake_web.url}/{name}.png", task_id=1).path.read_bytes() for name in "ab"] == [IMAGE, IMAGE]


def test_a_body_that_cannot_be_continued_is_reported_and_not_kept(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia, tmp_path: Path
) -> None:
    """C-122."""
    fake_label_studio.cloud["s3://b/x.png"] = Answer(body=IMAGE, cut_at=1000, max_range_bytes=None)

    with pytest.raises(Unavailable, match=f"ended after 1000 of {len(IMAGE)} bytes"):
        make_media().fetch("s3://b/x.png", task_id=41)

    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_file_that_changes_while_it_is_continued_is_reported(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia
) -> None:
    """C-122."""
    fake_label_studio.cloud["s3://b/x.png"] = Answer(body=IMAGE, headers={"ETag": '"new"'})
    fake_label_studio.break_path("/tasks/", Answer(body=b"y" * len(IMAGE), cut_at=1000, headers={"ETag": '"old"'}))

    with pytest.raises(Unavailable, match="ended after 1000"):
        make_media().fetch("s3://b/x.png", task_id=41)


def test_a_file_that_announces_too_much_is_refused_unread(fake_web: FakeWeb, make_media: MakeMedia) -> None:
    fake_web.answers["/a.png"] = Answer(body=IMAGE, cut_at=0)

    with pytest.raises(LimitExceeded, match="TANDEM_MAX_MEDIA_BYTES") as refused:
        make_media(allow_private=True, max_file_bytes=1000).fetch(f"{fake_web.url}/a.png", task_id=1)

    assert refused.value.code not in SETUP_FAULTS


def test_a_file_that_turns_out_too_large_is_refused(fake_web: FakeWeb, make_media: MakeMedia) -> None:
    fake_web.answers["/a.png"] = Answer(body=IMAGE, has_length=False)

    with pytest.raises(LimitExceeded):
        make_media(allow_private=True, max_file_bytes=1000).fetch(f"{fake_web.url}/a.png", task_id=1)


def test_data_urls_and_local_files_are_limited_too(make_media: MakeMedia, root: Path) -> None:
    media = make_media(max_file_bytes=1000, local_files_root=root)

    for uri in ("data:;base64," + base64.b64encode(IMAGE).decode(), "/data/local-files/?d=photos/a%20b.png"):
        with pytest.raises(LimitExceeded):
            media.fetch(uri, task_id=1)


def test_an_empty_file_is_reported_and_not_kept(fake_label_studio: FakeLabelStudio, make_media: MakeMedia) -> None:
    fake_label_studio.uploads["7/a.png"] = b""
    media = make_media()

    with pytest.raises(Unavailable, match="without content"):
        media.fetch("/data/upload/7/a.png", task_id=1)
    fake_label_studio.uploads["7/a.png"] = IMAGE

    assert media.fetch("/data/upload/7/a.png", task_id=1).path.read_bytes() == IMAGE


def test_a_sign_in_page_is_not_taken_for_a_file(fake_web: FakeWeb, make_media: MakeMedia) -> None:
    fake_web.answers["/a.png"] = Answer(body=b"<html>", headers={"Content-Type": "text/html; charset=utf-8"})

    with pytest.raises(Denied, match="sign-in page"):
        make_media(allow_private=True).fetch(f"{fake_web.url}/a.png", task_id=1)


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "status", "error", "setting"),
    [
        ("/data/upload/7/a.png", 401, Denied, "LABEL_STUDIO_API_KEY"),
        ("/data/upload/7/a.png", 403, Denied, "LABEL_STUDIO_API_KEY"),
        ("/data/upload/7/a.png", 404, NotFound, "no longer, in Label Studio"),
        ("/data/local-files/?d=a.png", 403, Denied, "LOCAL_FILES_SERVING_ENABLED"),
        ("/data/local-files/?d=a.png", 404, NotFound, "LOCAL_FILES_DOCUMENT_ROOT"),
        ("s3://b/x.png", 401, Denied, "LABEL_STUDIO_API_KEY"),
        ("s3://b/x.png", 403, Denied, "LABEL_STUDIO_API_KEY"),
        ("s3://b/x.png", 404, NotFound, "Cloud Storage settings"),
        ("s3://b/x.png", 424, Unavailable, "Cloud Storage settings"),
    ],
)
def test_a_refusal_is_one_log_line_with_path_status_and_setting(
    fake_label_studio: FakeLabelStudio,
    make_media: MakeMedia,
    caplog: pytest.LogCaptureFixture,
    uri: str,
    status: int,
    error: type[TandemError],
    setting: str,
) -> None:
    """C-124."""
    for path in ("/data/", "/tasks/"):
        fake_label_studio.break_path(path, Answer(status), times=2)
    caplog.set_level(logging.INFO, logger="adapters")

    with pytest.raises(error) as raised:
        make_media().fetch(uri, task_id=41)

    [record] = caplog.records
    assert record.message == "media not fetched"
    said = json.dumps({name: str(value) for name, value in vars(record).items()})
    assert uri in said
    assert str(status) in said
    assert setting in said
    assert fake_label_studio.legacy_token not in said
    assert (raised.value.code in SETUP_FAULTS) == (status == 401)


def test_an_upload_that_label_studio_1_23_fails_on_is_not_found(make_media: MakeMedia) -> None:
    with pytest.raises(NotFound):
        make_media().fetch("/data/upload/7/gone.png", task_id=1)


def test_a_signed_address_that_is_refused_names_the_storage(
    fake_label_studio: FakeLabelStudio, fake_web: FakeWeb, make_media: MakeMedia
) -> None:
    fake_label_studio.cloud["s3://b/x.png"] = redirect(f"{fake_web.url}/x.png?X-Amz-Signature=s3cret")
    fake_web.answers["/x.png"] = Answer(403)

    with pytest.raises(Denied, match="Label Studio signed") as refused:
        make_media(allow_private=True).fetch("s3://b/x.png", task_id=41)

    assert refused.value.code not in SETUP_FAULTS
    assert "s3cret" not in refused.value.message


def test_a_path_of_label_studio_needs_its_address(make_media: MakeMedia) -> None:
    with pytest.raises(Unavailable, match="set LABEL_STUDIO_URL") as failed:
        make_media(label_studio=None).fetch("/data/upload/7/a.png", task_id=1)

    assert failed.value.code == "label_studio_url_missing"
    assert failed.value.code in SETUP_FAULTS


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_label_studio_behind_a_failing_gateway_is_a_fault_of_the_setup(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia, status: int
) -> None:
    fake_label_studio.break_path("/data/upload/", Answer(status))

    with pytest.raises(Unavailable) as failed:
        make_media().fetch("/data/upload/7/a.png", task_id=1)

    assert failed.value.code in SETUP_FAULTS


def test_another_server_that_is_down_is_a_fault_of_one_file(fake_web: FakeWeb, make_media: MakeMedia) -> None:
    with FakeWeb() as gone:
        url = gone.url

    with pytest.raises(Unavailable, match="does not answer") as failed:
        make_media(allow_private=True).fetch(f"{url}/a.png", task_id=1)

    assert failed.value.code not in SETUP_FAULTS


def test_a_name_that_nobody_knows_is_a_fault_of_one_file(make_media: MakeMedia) -> None:
    with pytest.raises(Unavailable, match=r"no-such-host\.invalid does not answer"):
        make_media().fetch("https://no-such-host.invalid/a.png", task_id=1)


@pytest.mark.parametrize(
    "uri", ["http://", "http://[bad/x", "http://h:x/y", "https:///x", "data:image/png", "data:;base64,%%"]
)
def test_malformed_addresses_are_invalid(make_media: MakeMedia, uri: str) -> None:
    with pytest.raises(Invalid) as refused:
        make_media().fetch(uri, task_id=1)

    assert refused.value.code == "media_uri"
