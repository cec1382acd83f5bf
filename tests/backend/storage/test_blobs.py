from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from backend.errors import NotFound
from backend.storage.blobs import BlobStore


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def test_a_blob_is_named_by_its_content(blobs: BlobStore) -> None:
    digest = blobs.put(b"content")

    assert digest == hashlib.sha256(b"content").hexdigest()
    assert blobs.path(digest).read_bytes() == b"content"
    assert blobs.put(b"content") == digest


def test_a_file_is_copied(blobs: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"one")

    digest = blobs.put_file(source)
    source.write_bytes(b"two")

    assert blobs.path(digest).read_bytes() == b"one"


def test_a_missing_blob_is_not_found(blobs: BlobStore) -> None:
    with pytest.raises(NotFound, match="backup"):
        blobs.path("0" * 64)


def test_a_folder_is_laid_out_once_and_whole(blobs: BlobStore, tmp_path: Path) -> None:
    files = {"a": blobs.put(b"1"), "b": blobs.put(b"2")}
    folder = tmp_path / "out" / "folder"

    blobs.materialize(files, folder)
    again = blobs.materialize(files, folder)

    assert again == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a": b"1", "b": b"2"}


def test_a_folder_with_a_missing_blob_is_not_laid_out(blobs: BlobStore, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "folder"

    with pytest.raises(NotFound):
        blobs.materialize({"a": blobs.put(b"1"), "b": "0" * 64}, folder)

    assert list(folder.parent.iterdir()) == []


def test_an_open_file_is_kept_from_its_beginning(blobs: BlobStore) -> None:
    stream = io.BytesIO(b"content")
    stream.read()

    assert blobs.put_stream(stream) == blobs.put(b"content")
    assert blobs.path(blobs.put_stream(stream)).read_bytes() == b"content"
