"""Every kind of URI in task data becomes a complete file, or an error that says what to do."""

from __future__ import annotations

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from doubles import Answer, FakeLabelStudio, FakeWeb, redirect
from pictures import IMAGE

from adapters.label_studio.client import SETUP_FAULTS, LabelStudio
from adapters.label_studio.media import Media
from backend.errors import Denied, Invalid, NotFound, Unavailable

MakeMedia = Callable[..., Media]


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
