"""Images: taken in, listed, shown, shared out to splits, and let go of by whoever may."""

from __future__ import annotations

import os
import tempfile
import threading
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from backend.access import Access
from backend.accounts.service import Principal
from backend.datasets.erasure import THUMBNAILS, Erasure
from backend.datasets.splits import UNASSIGNED
from backend.errors import Invalid, LimitExceeded, NotFound, TandemError, Unavailable
from backend.ids import new_id
from backend.paging import page
from backend.projects.agreement import SHARED_AS
from backend.projects.service import Project
from backend.projects.tasks import Annotation, Task
from backend.secrets import Vault
from backend.settings import Settings
from backend.storage.blobs import BlobStore
from backend.storage.columns import utc_now
from backend.storage.database import Database, next_number
from models.images import BadImage, FileFacts, UnknownKind, examine, thumbnail

MAX_IMAGE_BYTES = 50 * 2**20
MAX_IMAGE_PIXELS = 100_000_000
UPLOAD_FIELD = "image"
"""The field of a task's data that an upload is in."""
_SIDES_PX = (64, 128, 256, 512, 1024, 2048)
_MAX_NAME = 200
decoding = threading.BoundedSemaphore(2)
"""A decoded image takes up to 400 MB, and a web process has many threads."""


@dataclass(frozen=True, slots=True)
class GivenImage:
    """A file that somebody wants to be an image of a project.

    Attributes:
        open: Returns what it holds; may raise a `TandemError`.
        split: "train", "val", "test" or None.
    """

    filename: str
    open: Callable[[], BinaryIO]
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that was not taken, and why."""

    filename: str
    error: TandemError


@dataclass(frozen=True, slots=True)
class Shown:
    """An image as whoever may sees it.

    Attributes:
        labelled_in: Ids of the label sets for which it is labelled, in the order in which those were made.
        is_duplicate: Whether it was there before somebody gave it again.
    """

    task: Task
    labelled_in: Sequence[str] = ()
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of files that were given."""

    images: Sequence[Shown]
    rejected: Sequence[Rejected]


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that never changes; the tag tells it from all others."""

    path: Path
    mime_type: str
    tag: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file that is in the blob store, and what it is."""

    given: GivenImage
    content: str
    facts: FileFacts
    num_bytes: int


class Images:
    """Keeps images."""

    def __init__(
        self, database: Database, access: Access, erasure: Erasure, blobs: BlobStore, vault: Vault, settings: Settings
    ) -> None:
        self._database = database
        self._access = access
        self._erasure = erasure
        self._blobs = blobs
        self._vault = vault
        self._thumbnails = settings.home / THUMBNAILS

    def add(self, principal: Principal, project_id: str, given: Iterable[GivenImage]) -> Intake:
        """Take files in: JPEG, PNG or WebP, by what they hold. The same bytes are in a project only once.

        Each file is examined and kept on its own, one after the other, so there is never more than one in memory.

        Raises:
            NotFound: There is no such project.
        """
        project = self._access.project(principal, project_id)
        kept: list[_Kept] = []
        rejected: list[Rejected] = []
        for each in given:
            each = replace(each, filename=clean_name(each.filename))
            try:
                kept.append(self._keep(each))
            except TandemError as error:
                rejected.append(Rejected(each.filename, error))
        return Intake(self._insert(project, kept) if kept else (), rejected)

    def page(
        self,
        principal: Principal,
        project_id: str,
        *,
        split: str | None = None,
        label_set_id: str | None = None,
        is_labelled: bool | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[Shown], str | None]:
        """Return a page of a project's images, newest first, and the cursor of the next one.

        Args:
            principal: Who asks.
            project_id: Whose images.
            split: Only those in "train", "val", "test" or "unassigned".
            label_set_id: For which label set `is_labelled` counts; None: for any.
            is_labelled: Only those that are labelled, or only those that are not.
            limit: How many at most.
            cursor: Of the page before.

        Raises:
            NotFound: There is no such project, or no such label set in it.
            Invalid: The cursor is none of ours.
        """
        project = self._access.project(principal, project_id)
        wanted = select(Task).filter_by(project_id=project.id)
        if split is not None:
            wanted = wanted.where(Task.split == SHARED_AS[split] if split != UNASSIGNED else Task.split.is_(None))
        said = select(Annotation.id).where(Annotation.task_id == Task.id)
        if label_set_id is not None:
            label_set = self._access.label_set(principal, label_set_id)
            if label_set.project_id != project.id:
                raise NotFound("There is no such label set.", code="not_found")
            said = said.where(Annotation.label_set_id == label_set.id)
            is_labelled = True if is_labelled is None else is_labelled
        if is_labelled is not None:
            wanted = wanted.where(said.exists() if is_labelled else ~said.exists())
        with self._database.reading() as session:
            found, following = page(session, wanted, Task.id, limit=limit, cursor=cursor)
            return _shown(session, found), following

    def get(self, principal: Principal, image_id: str) -> Shown:
        """Return an image.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        task = self._access.task(principal, image_id)
        with self._database.reading() as session:
            return _shown(session, [task])[0]

    def file(self, principal: Principal, image_id: str, *, max_side_px: int | None = None) -> ImageFile:
        """Return an image's file, or a JPEG with no side longer than this.

        Raises:
            NotFound: There is no such image, or its file is not here.
        """
        return self._file(self._access.task(principal, image_id), max_side_px)

    def signed_file(self, image_id: str, signature: str, *, max_side_px: int | None = None) -> ImageFile:
        """Return an image's file to whoever was given its address by `signed_url_path`; see `file`."""
        with self._database.reading() as session:
            task = session.get(Task, image_id)
        if not self._vault.is_signed(_signed(image_id), signature) or task is None:
            raise NotFound("There is no such image.", code="not_found")
        return self._file(task, max_side_px)

    def signed_url_path(self, task: Task) -> str:
        """Return the path of an image's file for those without a key, such as Label Studio; good while it exists."""
        return f"/images/img_{task.id}/file?sig={self._vault.sign(_signed(task.id))}"

    def delete(self, principal: Principal, image_id: str) -> None:
        """Forget an image, what was said about it, and its file unless something else needs that.

        Raises:
            NotFound: There is no such image.
        """
        self._erasure.image(self._access.task(principal, image_id))

    def _keep(self, given: GivenImage) -> _Kept:
        with given.open() as stream:
            num_bytes = stream.seek(0, os.SEEK_END)
            if num_bytes > MAX_IMAGE_BYTES:
                raise too_large()
            stream.seek(0)
            try:
                with decoding:
                    facts = examine(stream, max_pixels=MAX_IMAGE_PIXELS)
            except UnknownKind as error:
                raise Invalid("Only JPEG, PNG and WebP images are taken.", code="unsupported_image_type") from error
            except BadImage as error:
                raise Invalid(f"This is no image that can be used: {error}.", code="image_invalid") from error
            return _Kept(given, self._blobs.put_stream(stream), facts, num_bytes)

    def _insert(self, project: Project, kept: Sequence[_Kept]) -> list[Shown]:
        """Make images of kept files; those whose content is there already are shown as they are."""
        new = {each.content: each for each in reversed(kept)}  # of the same file given twice, the first counts
        with self._database.transaction() as session:
            session.execute(select(Project.id).filter_by(id=project.id).with_for_update())
            theirs = select(Task).where(Task.project_id == project.id, Task.content.in_(new))
            before = {task.content: task for task in session.scalars(theirs)}
            fresh = [each for content, each in reversed(new.items()) if content not in before]
            ids = sorted(new_id() for _ in fresh)  # they sort as they were given
            rows = [
                _row(project, each, task_id=task_id, number=next_number(session, "task"))
                for task_id, each in zip(ids, fresh, strict=True)
            ]
            if rows:
                session.execute(insert(Task), rows)
                session.execute(update(Project).filter_by(id=project.id).values(updated_at=utc_now()))
            if not all(self._blobs.has(each.content) for each in fresh):
                raise Unavailable("An image was deleted while it came again; send it once more.", code="unavailable")
            shown = {each.task.content: each for each in _shown(session, list(session.scalars(theirs)))}
        known = set(before)
        found = []
        for each in kept:
            found.append(replace(shown[each.content], is_duplicate=each.content in known))
            known.add(each.content)
        return found

    def _file(self, task: Task, max_side_px: int | None) -> ImageFile:
        digest = task.content or next((kept["sha256"] for kept in task.media.values() if kept["sha256"]), None)
        if digest is None:
            raise NotFound("The image's file is in Label Studio, and has not been fetched yet.", code="not_found")
        path = self._blobs.path(digest)
        side_px = max((side_px for side_px in _SIDES_PX if side_px <= (max_side_px or 0)), default=None)
        is_small = task.width_px is not None and max(task.width_px, task.height_px or 0) <= (max_side_px or 0)
        if side_px is not None and not is_small:
            return ImageFile(self._thumbnail(path, digest, side_px), "image/jpeg", f"{digest}-{side_px}")
        return ImageFile(path, task.mime_type or "application/octet-stream", digest)

    def _thumbnail(self, source: Path, digest: str, side_px: int) -> Path:
        path = self._thumbnails / f"{digest}-{side_px}.jpg"
        if path.exists():
            return path
        try:
            with decoding:
                small = thumbnail(source, max_side_px=side_px)
        except BadImage as error:
            raise NotFound(f"The file is no image that can be shown: {error}.", code="not_found") from error
        self._thumbnails.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=self._thumbnails, prefix=".partial-")
        with open(handle, "wb") as file:
            file.write(small)
        os.replace(partial, path)
        return path


def too_large() -> LimitExceeded:
    """Return the error of a file with more than `MAX_IMAGE_BYTES`."""
    return LimitExceeded(
        f"The image is larger than {MAX_IMAGE_BYTES // 2**20} MiB.",
        code="image_too_large",
        details={"limitBytes": MAX_IMAGE_BYTES},
    )


def clean_name(filename: str) -> str:
    r"""Return a file's name without folders and control characters, not too long.

    >>> clean_name("C:\\photos\\cat.jpg"), clean_name("../../etc/passwd"), clean_name("..")
    ('cat.jpg', 'passwd', 'image')
    """
    last = filename.replace("\\", "/").rpartition("/")[2]
    name = "".join(character for character in last if unicodedata.category(character)[0] != "C").strip()
    stem, dot, ending = name.rpartition(".")
    if len(name) > _MAX_NAME and len(ending) < 10:
        name = stem[: _MAX_NAME - len(ending) - 1] + dot + ending
    return name[:_MAX_NAME] if name.strip(".") else "image"


def _signed(task_id: str) -> str:
    return f"image/{task_id}"


def _row(project: Project, kept: _Kept, *, task_id: str, number: int) -> dict[str, Any]:
    split = kept.given.split
    return {
        "id": task_id,
        "number": number,
        "project_id": project.id,
        "external_id": task_id,
        "media": {UPLOAD_FIELD: {"source": "upload", "sha256": kept.content}},
        "split": SHARED_AS[split] if split else None,
        "filename": kept.given.filename,
        "content": kept.content,
        "mime_type": kept.facts.mime_type,
        "width_px": kept.facts.width_px,
        "height_px": kept.facts.height_px,
        "num_bytes": kept.num_bytes,
        "created_at": utc_now(),
    }


def _shown(session: Session, tasks: Sequence[Task]) -> list[Shown]:
    rows = session.execute(
        select(Annotation.task_id, Annotation.label_set_id)
        .where(Annotation.task_id.in_([task.id for task in tasks]))
        .distinct()
        .order_by(Annotation.label_set_id)
    )
    labelled_in: dict[str, list[str]] = {}
    for task_id, label_set_id in rows:
        labelled_in.setdefault(task_id, []).append(label_set_id)
    return [Shown(task, labelled_in.get(task.id, ())) for task in tasks]
