"""Every kind of URI in task data becomes a complete file, or an error that says what to do."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from doubles import Answer, FakeLabelStudio, FakeWeb, redirect

from adapters.label_studio.client import SETUP_FAULTS, LabelStudio
from adapters.label_studio.media import Media
from backend.errors import Denied, Invalid, LimitExceeded, NotFound, TandemError, Unavailable

IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
MakeMedia = Callable[..., Media]


@pytest.fixture(params=["pat", "legacy_token"])
def token(request: pytest.FixtureRequest, fake_label_studio: FakeLabelStudio) -> str:
    """Bearer and Token."""
    return str(getattr(fake_label_studio, request.param))


@pytest.fixture
def make_media(fake_label_studio: FakeLabelStudio, tmp_path: Path) -> MakeMedia:
    def make(token: str | None = None, **options: object) -> Media:
        known = LabelStudio(fake_label_studio.url, fake_label_studio.legacy_token if token is None else token)
        arguments = {"max_file_bytes": 10**6, "label_studio": known, **options}
        return Media(tmp_path / "cache", 10**9, **arguments)  # type: ignore[arg-type]

    return make


# --- C-119: each row of D.3, with Bearer and with Token ------------------------------------------------------------


@pytest.mark.parametrize("uri", ["/data/upload/7/a%20b.png", "upload/7/a%20b.png", "/upload/7/a%20b.png"])
def test_an_upload_is_fetched(fake_label_studio: FakeLabelStudio, make_media: MakeMedia, token: str, uri: str) -> None:
    fake_label_studio.uploads["7/a b.png"] = IMAGE

    file = make_media(token).fetch(uri, task_id=1)

    assert file.path.read_bytes() == IMAGE
    assert file.sha256 == sha256(IMAGE).hexdigest()


def test_an_upload_that_label_studio_keeps_in_cloud_storage_is_fetched(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia, token: str
) -> None:
    fake_label_studio.uploads["7/a b+c.png"] = IMAGE
    fake_label_studio.keeps_uploads_in_cloud = True

    file = make_media(token).fetch("/data/upload/7/a%20b%2Bc.png", task_id=1)

    assert file.path.read_bytes() == IMAGE


def test_a_local_file_is_fetched_from_label_studio(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia, token: str
) -> None:
    fake_label_studio.local_files["photos/a b.png"] = IMAGE

    file = make_media(token).fetch("/data/local-files/?d=photos/a%20b.png", task_id=1)

    assert file.path.read_bytes() == IMAGE


@pytest.mark.parametrize("uri", ["s3://bucket/a b.png", "gs://bucket/x.png", "azure-blob://box/x.png"])
def test_a_cloud_file_is_fetched_through_its_task(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia, token: str, uri: str
) -> None:
    fake_label_studio.cloud[uri] = IMAGE

    file = make_media(token).fetch(uri, task_id=41)

    assert file.path.read_bytes() == IMAGE
    assert fake_label_studio.asked[-1].path == "/tasks/41/resolve/"


def test_a_cloud_file_is_fetched_from_an_older_label_studio(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia
) -> None:
    fake_label_studio.cloud["s3://bucket/x.png"] = IMAGE
    fake_label_studio.break_path("/tasks/41/resolve/", Answer(404))

    file = make_media().fetch("s3://bucket/x.png", task_id=41)

    assert file.path.read_bytes() == IMAGE


def test_a_web_file_is_fetched_without_our_token(fake_web: FakeWeb, make_media: MakeMedia, token: str) -> None:
    fake_web.answers["/a.png"] = IMAGE

    file = make_media(token, allow_private=True).fetch(f"{fake_web.url}/a.png?size=big", task_id=1)

    assert file.path.read_bytes() == IMAGE
    assert fake_web.asked[0].authorization is None
    assert fake_web.asked[0].query == {"size": "big"}


def test_an_absolute_url_of_label_studio_is_fetched_with_our_token(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia, token: str
) -> None:
    fake_label_studio.uploads["7/a.png"] = IMAGE

    file = make_media(token).fetch(f"{fake_label_studio.url}/data/upload/7/a.png", task_id=1)

    assert file.path.read_bytes() == IMAGE


@pytest.mark.parametrize("uri", ["data:image/png;base64," + base64.b64encode(IMAGE).decode(), "data:,hello%20you"])
def test_a_data_url_is_decoded(make_media: MakeMedia, uri: str) -> None:
    content = make_media(label_studio=None).fetch(uri, task_id=1).path.read_bytes()

    assert content in {IMAGE, b"hello you"}


@pytest.mark.parametrize("uri", ["/label-studio/data/upload/7/a.png", "/data/upload/7/a.png"])
def test_a_subpath_installation_is_asked_below_its_path(make_media: MakeMedia, uri: str) -> None:
    """C-126."""
    with FakeLabelStudio(base_path="/label-studio") as server:
        server.uploads["7/a.png"] = IMAGE

        file = make_media(label_studio=LabelStudio(server.url, server.pat)).fetch(uri, task_id=1)

    assert file.path.read_bytes() == IMAGE


# --- our own disk --------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "photos").mkdir(parents=True)
    (tmp_path / "root" / "photos" / "a b.png").write_bytes(IMAGE)
    (tmp_path / "secret.png").write_bytes(b"secret")
    return tmp_path / "root"


def test_a_local_file_is_read_in_place_when_the_folder_is_here(make_media: MakeMedia, root: Path) -> None:
    media = make_media(label_studio=None, local_files_root=root)

    file = media.fetch("/data/local-files/?d=photos/a%20b.png", task_id=1)

    assert file.path == root / "photos" / "a b.png"
    assert file.sha256 == sha256(IMAGE).hexdigest()


def test_a_local_file_that_changed_has_another_hash(make_media: MakeMedia, root: Path) -> None:
    media = make_media(label_studio=None, local_files_root=root)
    media.fetch("/data/local-files/?d=photos/a%20b.png", task_id=1)
    (root / "photos" / "a b.png").write_bytes(b"other")

    file = media.fetch("/data/local-files/?d=photos/a%20b.png", task_id=1)

    assert file.sha256 == sha256(b"other").hexdigest()


def test_label_studio_is_asked_for_local_files_that_are_not_here(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia, root: Path
) -> None:
    fake_label_studio.local_files["elsewhere/a.png"] = IMAGE

    file = make_media(local_files_root=root).fetch("/data/local-files/?d=elsewhere/a.png", task_id=1)

    assert file.path.read_bytes() == IMAGE


@pytest.mark.parametrize("path", ["../secret.png", "%2e%2e/secret.png", "photos/../../secret.png", "photos/link.png"])
def test_nothing_outside_the_root_of_local_files_is_read(make_media: MakeMedia, root: Path, path: str) -> None:
    """C-123."""
    (root / "photos" / "link.png").symlink_to(root.parent / "secret.png")

    with pytest.raises(Denied) as refused:
        make_media(local_files_root=root).fetch(f"/data/local-files/?d={path}", task_id=1)

    assert refused.value.code == "media_path"


def test_an_absolute_path_of_a_local_file_is_refused(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia, root: Path
) -> None:
    """C-123."""
    with pytest.raises(Denied):
        make_media(local_files_root=root).fetch(f"/data/local-files/?d={root}/photos/a%20b.png", task_id=1)

    assert fake_label_studio.asked == []


def test_the_root_of_the_file_system_is_no_folder_of_media(make_media: MakeMedia) -> None:
    with pytest.raises(Invalid, match="LOCAL_FILES_DOCUMENT_ROOT"):
        make_media(local_files_root=Path("/"))


# --- tokens, redirects, addresses ----------------------------------------------------------------------------------


def test_fifty_parallel_downloads_exchange_the_token_once(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia
) -> None:
    """C-120."""
    for number in range(50):
        fake_label_studio.uploads[f"7/{number}.png"] = IMAGE
    media = make_media(fake_label_studio.pat)

    with ThreadPoolExecutor(50) as threads:
        files = list(threads.map(lambda number: media.fetch(f"/data/upload/7/{number}.png", task_id=1), range(50)))

    assert {file.sha256 for file in files} == {sha256(IMAGE).hexdigest()}
    assert len(fake_label_studio.asked_for("/api/token/refresh/")) == 1


def test_a_signed_address_on_another_host_gets_no_token(
    fake_label_studio: FakeLabelStudio, fake_web: FakeWeb, make_media: MakeMedia, token: str
) -> None:
    """C-121."""
    fake_web.answers["/bucket/x.png"] = IMAGE
    fake_label_studio.cloud["s3://bucket/x.png"] = redirect(f"{fake_web.url}/bucket/x.png?X-Amz-Signature=s3cret")

    file = make_media(token, allow_private=True).fetch("s3://bucket/x.png", task_id=41)

    assert file.path.read_bytes() == IMAGE
    assert fake_web.asked[0].authorization is None
    assert fake_web.asked[0].query == {"X-Amz-Signature": "s3cret"}


def test_a_redirect_that_only_looks_like_label_studio_gets_no_token(
    fake_label_studio: FakeLabelStudio, fake_web: FakeWeb, make_media: MakeMedia
) -> None:
    """C-121."""
    disguised = f"{fake_web.url}\\@{fake_label_studio.url.removeprefix('http://')}/x.png"
    fake_label_studio.cloud["s3://b/x.png"] = redirect(disguised)

    with pytest.raises(NotFound):
        make_media(allow_private=True).fetch("s3://b/x.png", task_id=41)

    assert [asked.authorization for asked in fake_web.asked] == [None]


def test_media_credentials_go_to_the_server_of_the_url_only(fake_web: FakeWeb, make_media: MakeMedia) -> None:
    with FakeWeb() as other:
        other.answers["/a.png"] = IMAGE
        fake_web.answers["/a.png"] = redirect(f"{other.url}/a.png", 302)

        make_media(allow_private=True).fetch(f"{fake_web.url}/a.png", task_id=1, login="ann", password="päss")

        assert fake_web.asked[0].authorization == "Basic " + base64.b64encode("ann:päss".encode()).decode()
        assert other.asked[0].authorization is None


def test_media_credentials_never_replace_our_token(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia, token: str
) -> None:
    fake_label_studio.uploads["7/a.png"] = IMAGE

    make_media(token).fetch("/data/upload/7/a.png", task_id=1, login="ann", password="secret")

    assert not (fake_label_studio.asked[-1].authorization or "").startswith("Basic")


def test_what_one_user_may_see_is_not_given_to_another(fake_web: FakeWeb, make_media: MakeMedia) -> None:
    fake_web.answers["/a.png"] = lambda asked: Answer(body=IMAGE) if asked.authorization else Answer(401)
    media = make_media(allow_private=True)
    media.fetch(f"{fake_web.url}/a.png", task_id=1, login="ann", password="secret")

    with pytest.raises(Denied, match="credentials for task data"):
        media.fetch(f"{fake_web.url}/a.png", task_id=2)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254"]
)
def test_private_addresses_are_refused(make_media: MakeMedia, host: str) -> None:
    with pytest.raises(Denied, match="ALLOW_LOCAL_FETCH") as refused:
        make_media().fetch(f"http://{host}:9/a.png", task_id=1)

    assert refused.value.code not in SETUP_FAULTS


def test_a_redirect_to_a_private_address_is_refused(
    fake_label_studio: FakeLabelStudio, fake_web: FakeWeb, make_media: MakeMedia
) -> None:
    fake_label_studio.cloud["s3://bucket/x.png"] = redirect(f"{fake_web.url}/x.png")

    with pytest.raises(Denied) as refused:
        make_media().fetch("s3://bucket/x.png", task_id=41)

    assert refused.value.code == "media_private_address"
    assert fake_web.asked == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://h/x", "gopher://h"])
def test_a_redirect_to_another_scheme_is_refused(fake_web: FakeWeb, make_media: MakeMedia, target: str) -> None:
    fake_web.answers["/a.png"] = redirect(target)

    with pytest.raises(Denied, match="no web address"):
        make_media(allow_private=True).fetch(f"{fake_web.url}/a.png", task_id=1)


def test_redirects_in_a_circle_end(fake_web: FakeWeb, make_media: MakeMedia) -> None:
    fake_web.answers["/a.png"] = redirect("/a.png", 302)

    with pytest.raises(Unavailable, match="redirects more than 5 times"):
        make_media(allow_private=True).fetch(f"{fake_web.url}/a.png", task_id=1)


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


# --- the cache -----------------------------------------------------------------------------------------------------


def test_parallel_requests_for_one_uri_download_once(fake_label_studio: FakeLabelStudio, make_media: MakeMedia) -> None:
    """C-125."""
    fake_label_studio.uploads["7/a.png"] = IMAGE
    media = make_media()

    with ThreadPoolExecutor(20) as threads:
        files = list(threads.map(lambda _: media.fetch("/data/upload/7/a.png", task_id=1), range(20)))

    assert len(set(files)) == 1
    assert len(fake_label_studio.asked) == 1


def test_the_same_path_on_two_label_studios_are_two_files(
    fake_label_studio: FakeLabelStudio, make_media: MakeMedia
) -> None:
    fake_label_studio.uploads["7/a.png"] = IMAGE
    with FakeLabelStudio() as other:
        other.uploads["7/a.png"] = b"other"
        label_studios = [LabelStudio(server.url, server.legacy_token) for server in (fake_label_studio, other)]

        files = [make_media(label_studio=known).fetch("/data/upload/7/a.png", task_id=1) for known in label_studios]

    assert [file.path.read_bytes() for file in files] == [IMAGE, b"other"]


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
