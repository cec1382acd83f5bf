"""Images: upload them, list them, look at them, put them into splits."""

from __future__ import annotations

import binascii
from base64 import b64decode
from functools import partial
from io import BytesIO
from typing import BinaryIO, cast

from flask import Request, Response, send_file
from werkzeug.datastructures import FileStorage

from adapters.identifiers import read_id
from adapters.label_studio.media import Media
from adapters.mlp.api import api
from adapters.mlp.image_wire import (
    MAX_FILES,
    FileQuery,
    ImageOut,
    ImagePatch,
    ImagesQuery,
    RemoteImage,
    SplitsIn,
    UploadIn,
    UploadOut,
    describe_image,
    describe_rejected,
    describe_upload,
)
from adapters.mlp.label_set_wire import colors_of
from adapters.mlp.projects import SplitCounts
from adapters.mlp.wire import Page
from adapters.operations import Call, Effect, require_scopes
from backend.datasets.images import MAX_IMAGE_BYTES, GivenImage, too_large
from backend.errors import Invalid, LimitExceeded
from backend.predictions.pictures import Wanted
from backend.projects.service import LabelSet, Projects
from backend.services import Services

_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
"""One grey pixel, as PNG."""
_FORM = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {
                "files": {"type": "array", "items": {"type": "string", "format": "binary"}, "maxItems": MAX_FILES},
                "split": {"enum": ["train", "val", "test"]},
            },
        }
    }
}


@api.operation(
    "POST",
    "/projects/<project_id>/images",
    effect=Effect.UPDATE,
    tag="images",
    scope="projects:write",
    status=201,
    tool="upload-images",
    command="images upload",
    reaches_out=True,
    form=_FORM,
    errors=("NOT_FOUND", "NO_FILES", "IMAGE_INVALID", "IMAGE_TOO_LARGE", "UNSUPPORTED_IMAGE_TYPE"),
    example={"images": [{"base64": _DOT, "filename": "dot.png", "split": "train"}]},
)
def upload_images(call: Call, project_id: str, body: UploadIn) -> UploadOut:
    """Upload up to 20 images of at most 50 MB each: JPEG, PNG or WebP, as files of a form, or by URL or Base64 in JSON.

    Files after the 20th are dropped. A file that cannot be taken is listed in `rejected`, and the others are taken. The
    same bytes are in a project only once, so trying again is safe.
    """
    call.services.access.project(call.principal, project_id)
    given = _files(call.request, body) or [_fetched(call.services, image, body) for image in body.images]
    if not given:
        raise Invalid("There is no image: send files as multipart/form-data, or `images` as JSON.", code="no_files")
    intake = call.services.images.add(call.principal, project_id, given[:MAX_FILES])
    rejected = [describe_rejected(each) for each in intake.rejected]
    if not intake.images:
        first = intake.rejected[0].error
        first.details["rejected"] = [each.model_dump(by_alias=True) for each in rejected]
        raise first
    return UploadOut(
        images=[describe_upload(each, call.base_url) for each in intake.images],
        rejected=rejected,
        dropped=max(0, len(given) - MAX_FILES),
    )


@api.operation(
    "GET",
    "/projects/<project_id>/images",
    effect=Effect.READ,
    tag="images",
    scope="projects:read",
    tool="list-images",
    command="images list",
    errors=("NOT_FOUND",),
)
def list_images(call: Call, project_id: str, query: ImagesQuery) -> Page[ImageOut]:
    """List the images of a project, newest first."""
    shown, cursor = call.services.images.page(
        call.principal,
        project_id,
        split=query.split,
        label_set_id=read_id("label_set_id", query.label_set_id) if query.label_set_id else None,
        is_labelled=query.labeled,
        limit=query.limit,
        cursor=query.cursor,
    )
    items = [describe_image(each, call.base_url) for each in shown]
    return Page(items=items, next_cursor=cursor, has_more=cursor is not None)


@api.operation(
    "GET",
    "/images/<image_id>",
    effect=Effect.READ,
    tag="images",
    scope="projects:read",
    tool="get-image",
    command="images show",
    errors=("NOT_FOUND",),
)
def get_image(call: Call, image_id: str) -> ImageOut:
    """Tell about an image."""
    return describe_image(call.services.images.get(call.principal, image_id), call.base_url)


@api.operation(
    "GET",
    "/images/<image_id>/file",
    effect=Effect.READ,
    tag="images",
    scope="projects:read",
    tool="view-image",
    command="images download",
    media_type="image/*",
    errors=("NOT_FOUND", "MODEL_NOT_READY", "IMAGE_INVALID", "INFERENCE_TIMEOUT"),
    takes_signature=True,
)
def get_image_file(call: Call, image_id: str, query: FileQuery) -> Response:
    """Return an image to look at: as it was uploaded, as a smaller JPEG, or with what is known about it drawn on it.

    With `labelSetId` and `trainingId` it is a JPEG of at most 2048 px, small images enlarged by a whole factor; what is
    about the whole image is written in its top left corner. Look at it before and after you label, and where a model
    errs. Ranges and conditions are understood where nothing is drawn.
    """
    if query.is_drawing:
        return _drawn(call, image_id, query)
    images = call.services.images
    if query.sig is not None:
        found = images.signed_file(image_id, query.sig, max_side_px=query.max_size)
    else:
        found = images.file(call.principal, image_id, max_side_px=query.max_size)
    response = send_file(found.path, mimetype=found.mime_type, etag=found.tag, conditional=True)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@api.operation(
    "PATCH",
    "/images/<image_id>",
    effect=Effect.UPDATE,
    tag="images",
    scope="projects:write",
    tool="update-image",
    command="images update",
    errors=("NOT_FOUND",),
    example={"split": "val"},
)
def update_image(call: Call, image_id: str, body: ImagePatch) -> ImageOut:
    """Put an image into a split, or with `null` into none."""
    call.services.splits.put(call.principal, image_id, body.split)
    return describe_image(call.services.images.get(call.principal, image_id), call.base_url)


@api.operation(
    "DELETE",
    "/images/<image_id>",
    effect=Effect.DELETE,
    tag="images",
    scope="projects:write",
    status=204,
    tool="delete-image",
    command="images delete",
    errors=("NOT_FOUND",),
)
def delete_image(call: Call, image_id: str) -> None:
    """Delete an image and its labels."""
    call.services.images.delete(call.principal, image_id)


@api.operation(
    "PUT",
    "/projects/<project_id>/splits",
    effect=Effect.UPDATE,
    tag="images",
    scope="projects:write",
    tool="set-splits",
    command="splits set",
    errors=("NOT_FOUND",),
    example={"strategy": "random", "ratios": {"train": 0.8, "val": 0.1, "test": 0.1}, "seed": 0},
)
def set_splits(call: Call, project_id: str, body: SplitsIn) -> SplitCounts:
    """Put a project's images into train, val and test, by chance or by name; return how many are in each.

    The same images, ratios and seed always give the same splits.
    """
    splits = call.services.splits
    if body.strategy == "explicit":
        assigned: dict[str, list[str]] = {
            split: [read_id("image_id", written) for written in ids] for split, ids in (body.assign or {}).items()
        }
        return SplitCounts(**splits.assign(call.principal, project_id, assigned))
    counts = splits.share_out(
        call.principal,
        project_id,
        ratios=body.ratios.model_dump(),
        seed=body.seed,
        is_adding=body.only_unassigned,
    )
    return SplitCounts(**counts)


def _drawn(call: Call, image_id: str, query: FileQuery) -> Response:
    wanted = Wanted(
        label_set_id=read_id("label_set_id", query.label_set_id) if query.label_set_id else None,
        run_id=read_id("training_id", query.training_id) if query.training_id else None,
        threshold=query.threshold,
        max_side_px=query.max_size,
    )
    if wanted.label_set_id is not None:
        require_scopes(call.principal, "annotations:read")
    if wanted.run_id is not None:
        require_scopes(call.principal, "inference:run")
    drawn = call.services.pictures.draw(
        call.principal, image_id, wanted, colours_of=partial(_colours, call.services.projects)
    )
    response = Response(drawn, mimetype="image/jpeg")
    response.headers["Cache-Control"] = "no-store"  # the next one may show something else
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _colours(projects: Projects, label_set: LabelSet) -> dict[str, str]:
    return colors_of(label_set, label_set.document or projects.get(label_set.project_id).origin.document)


def _files(request: Request, body: UploadIn) -> list[GivenImage]:
    """Return the files of a form; they lie on disk, where they are not small."""
    return [
        GivenImage(file.filename, partial(_stream, file), body.split)
        for _, file in request.files.items(multi=True)
        if file.filename
    ]


def _stream(file: FileStorage) -> BinaryIO:
    return cast(BinaryIO, file.stream)


def _fetched(services: Services, image: RemoteImage, body: UploadIn) -> GivenImage:
    return GivenImage(_name(image), partial(_open, services, image), image.split or body.split)


def _open(services: Services, image: RemoteImage) -> BinaryIO:
    if image.base64 is not None:
        return BytesIO(_decode(image.base64))
    url = image.url or ""
    if not url.lower().startswith(("http://", "https://")):
        raise Invalid("An image's url begins with http:// or https://.", code="validation_error")
    settings = services.settings
    media = Media(
        settings.home / "cache" / "media",
        settings.media_cache_bytes,
        max_file_bytes=MAX_IMAGE_BYTES,
        label_studio=None,
        allow_private=settings.allow_local_fetch,
        verify=settings.verify_tls,
    )
    try:
        return media.fetch(url, task_id=None).path.open("rb")
    except LimitExceeded as error:
        raise too_large() from error


def _decode(written: str) -> bytes:
    body = written.rpartition(",")[2] if written.startswith("data:") else written
    if len(body) // 4 * 3 > MAX_IMAGE_BYTES + 3:
        raise too_large()
    try:
        return b64decode(body, validate=True)
    except binascii.Error as error:
        raise Invalid("The image is not Base64.", code="image_invalid") from error


def _name(image: RemoteImage) -> str:
    if image.filename or image.url is None:
        return image.filename
    return image.url.partition("?")[0].partition("#")[0]
