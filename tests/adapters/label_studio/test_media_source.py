"""A URI in task data is read as Label Studio reads it, and leads nowhere else."""

from __future__ import annotations

import pytest

from adapters.label_studio.media_source import SourceKind, find_source, show
from backend.errors import Denied, Invalid


@pytest.mark.parametrize(
    "uri",
    [
        "/data/upload/7/a%20b.png",
        "/upload/7/a%20b.png",
        "upload/7/a%20b.png",
        "data/upload/7/a%20b.png",
        "/label-studio/data/upload/7/a%20b.png",
        "\\data\\upload\\7\\a%20b.png",
    ],
)
def test_every_form_of_an_upload_is_the_same_upload(uri: str) -> None:
    """F-13, F-14."""
    source = find_source(uri, task_id=None, base_path="/label-studio")

    assert source.kind is SourceKind.UPLOAD
    assert source.places == (
        "/data/upload/7/a%20b.png",
        "/storage-data/uploaded/?filepath=upload/7/a%20b.png",
    )


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/data/local-files/?d=photos/a%20b.png", "photos/a b.png"),
        ("/data/local-files?d=photos/a.png", "photos/a.png"),
        ("/ls/data/local-files/?d=photos%2Fa.png", "photos/a.png"),
        ("/data/local-files/?d=photos%5Ca.png", "photos/a.png"),
        ("/data/local-files/?d=100%2525.png", "100%25.png"),
    ],
)
def test_local_files_are_decoded_once(uri: str, path: str) -> None:
    """F-14."""
    assert find_source(uri, task_id=None, base_path="/ls").local_path == path


@pytest.mark.parametrize(
    "uri",
    [
        "/data/local-files/?d=../../etc/passwd",
        "/data/local-files/?d=photos/../../etc/passwd",
        "/data/local-files/?d=%2e%2e/%2e%2e/etc/passwd",
        "/data/local-files/?d=..%2f..%2fetc%2fpasswd",
        "/data/local-files/?d=%252e%252e%252fetc",
        "/data/local-files/?d=..%5c..%5cetc",
        "/data/local-files/?d=/etc/passwd",
        "/data/local-files/?d=%2fetc%2fpasswd",
        "/data/local-files/?d=C:\\secrets",
        "/data/local-files/?d=a%00.png",
        "/data/local-files/?d=",
        "/data/local-files/?x=1",
        "/data/upload/../../api/projects",
        "/data/upload/%2e%2e/%2e%2e/api/projects",
        "upload/../x",
        "/static/../api/projects",
    ],
)
def test_paths_that_lead_outside_are_refused(uri: str) -> None:
    """C-123."""
    with pytest.raises(Denied) as refused:
        find_source(uri, task_id=1)

    assert refused.value.code == "media_path"


@pytest.mark.parametrize("uri", ["s3://bucket/ä b.png", "gs://bucket/x.png", "azure-blob://box/x.png"])
def test_cloud_storage_is_opened_by_task(uri: str) -> None:
    source = find_source(uri, task_id="41")

    assert source.kind is SourceKind.CLOUD
    assert [place.partition("?")[0] for place in source.places] == ["/tasks/41/resolve/", "/tasks/41/presign/"]


@pytest.mark.parametrize("task_id", [None, "", "../1", "new"])
def test_cloud_storage_needs_the_id_of_a_task(task_id: str | None) -> None:
    with pytest.raises(Invalid) as refused:
        find_source("s3://bucket/x.png", task_id=task_id)

    assert refused.value.code == "media_task_id"


@pytest.mark.parametrize(
    "uri", ["", "cat", "file:///etc/passwd", "ftp://h/x", "javascript:1", "//evil.net/x", "gopher://x"]
)
def test_other_schemes_and_plain_words_are_no_files(uri: str) -> None:
    with pytest.raises(Invalid) as refused:
        find_source(uri, task_id=1)

    assert refused.value.code == "media_uri"


def test_what_people_are_shown_holds_no_secrets() -> None:
    shown = show("https://ann:secret@img.example.org/a.png?X-Amz-Signature=123#top")

    assert shown == "https://img.example.org/a.png"
