"""What is said about images: one image at a time, or data sets in and out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from tempfile import TemporaryFile

from flask import Response, g

from adapters.formats import native
from adapters.formats.exchange import bring_in, hand_out
from adapters.formats.geometry import Size
from adapters.formats.intake import fitting, one_label, unknown_label
from adapters.formats.payload import Payload
from adapters.identifiers import spell
from adapters.mlp.annotations_wire import (
    AnnotationOut,
    AnnotationsIn,
    AnnotationsOut,
    ExportQuery,
    ImportIn,
    ImportOptions,
    ImportOut,
    LeftOut,
)
from adapters.mlp.api import api
from adapters.operations import MAX_JSON_BYTES, Call, Effect, validated
from adapters.transfer import read_chunks
from backend.accounts.service import AuthSource
from backend.datasets.annotations import Labelled, require_given_here
from backend.errors import Invalid
from backend.projects.tasks import Source
from models.labels import Objective
from models.regions import Region

_PATH = "/label-sets/<label_set_id>/images/<image_id>/annotations"
_IMPORT_EXAMPLE = {
    "format": "native",
    "data": {"images": [{"filename": "a.jpg", "annotations": [{"label": "car", "bbox": [10, 20, 100, 50]}]}]},
}


@api.operation(
    "GET",
    _PATH,
    effect=Effect.READ,
    tag="annotations",
    scope="annotations:read",
    tool="get-annotations",
    command="labels show",
    errors=("NOT_FOUND",),
)
def get_annotations(call: Call, label_set_id: str, image_id: str) -> AnnotationsOut:
    """Tell what counts for an image: what was said here or, for most label sets, whatever was said last.

    What people said in Label Studio counts, too.
    """
    return _describe(call.services.annotations.read(call.principal, label_set_id, image_id), label_set_id)


@api.operation(
    "PUT",
    _PATH,
    effect=Effect.DELETE,
    tag="annotations",
    scope="annotations:write",
    tool="set-annotations",
    command="labels set",
    errors=("NOT_FOUND", "UNKNOWN_LABEL", "GEOMETRY_INVALID"),
    example={"annotations": [{"label": "car", "bbox": [10, 20, 100, 50]}]},
)
def set_annotations(call: Call, label_set_id: str, image_id: str, body: AnnotationsIn) -> AnnotationsOut:
    """Say what is in an image, in place of all that was said before.

    `{"annotations": []}` says that somebody looked and there is nothing: the image is labelled.
    """
    service = call.services.annotations
    label_set = call.services.access.label_set(call.principal, label_set_id)
    require_given_here(label_set.schema)
    picture = service.measure(service.read(call.principal, label_set_id, image_id).picture)
    size = Size(picture.width_px, picture.height_px) if picture.width_px else None
    if label_set.schema.objective is Objective.CLASSIFICATION and len(body.annotations) > 1:
        raise one_label()
    regions: list[Region] = []
    for index, annotation in enumerate(body.annotations):
        try:
            written = annotation.model_dump(exclude_none=True)
            region = native.read_annotation(written, size, is_normalized=body.coords == "normalized")
            if region.label not in label_set.schema.names:
                raise unknown_label(region.label, label_set.schema)
            regions += fitting(label_set.schema.objective, [region], size)
        except Invalid as error:
            fields = {f"annotations.{index}": error.message}
            raise Invalid(error.message, code=error.code, details={**error.details, "fields": fields}) from None
    if label_set.schema.objective is Objective.MULTI_LABEL:
        regions = list(dict.fromkeys(regions))
    source = Source.AGENT if call.principal.auth_source is AuthSource.API_KEY else Source.HUMAN
    return _describe(service.set(call.principal, label_set_id, image_id, regions, source=source), label_set_id)


@api.operation(
    "DELETE",
    _PATH,
    effect=Effect.DELETE,
    tag="annotations",
    scope="annotations:write",
    status=204,
    tool="clear-annotations",
    command="labels clear",
    errors=("NOT_FOUND",),
)
def remove_annotations(call: Call, label_set_id: str, image_id: str) -> None:
    """Make an image unlabelled: nobody has looked at it.

    What people said in Label Studio comes back when a training collects it again.
    """
    call.services.annotations.clear(call.principal, label_set_id, image_id)


@api.operation(
    "POST",
    "/label-sets/<label_set_id>/annotations/import",
    effect=Effect.DELETE,
    tag="annotations",
    scope="annotations:write",
    tool="import-annotations",
    command="labels import",
    errors=("NOT_FOUND", "IMPORT_INVALID", "PAYLOAD_TOO_LARGE"),
    form={"application/json": {"schema": ImportIn.model_json_schema(by_alias=True), "example": _IMPORT_EXAMPLE}},
    example=_IMPORT_EXAMPLE,
)
def import_annotations(call: Call, label_set_id: str) -> ImportOut:
    r"""Label many images at once, by a file in one of the usual formats, sent as JSON of up to 100 MiB.

    - `native`: `{"images": [{"imageId" or "filename", "annotations": […], "coords"?: "normalized"}]}`
    - `coco`: `{"images": […], "annotations": […], "categories": […]}`; `bbox` for detection, `segmentation` (polygons,
      or RLE with compressed or uncompressed counts) for segmentation, `keypoints` for points
    - `yolo`: `{"classes": ["car"], "files": {"a.txt": "0 0.5 0.5 0.2 0.1\n"}}`; outlines for segmentation
    - `labelstudio`: the list of tasks that Label Studio exports as JSON; cancelled annotations are left out, and of
      several for one task the newest counts
    - `voc`: `{"files": {"a.xml": "<annotation>…</annotation>"}}`
    - `csv`: a text with the columns `filename,label`, for classification; further columns are further labels

    Images that the file names are labelled afterwards, those without annotations as containing nothing. `replace`
    puts it in place of what was said before, `append` adds to it. What is wrong with single annotations is listed in
    `errors`, and the rest is imported; all of it is written at once, or nothing. Try it with `dryRun` first.
    """
    with TemporaryFile() as file:
        for chunk in read_chunks(call.request, MAX_JSON_BYTES):
            file.write(chunk)
        if not call.request.is_json:
            raise Invalid(
                "The body must be JSON: send it with Content-Type: application/json.", code="unsupported_media_type"
            )
        payload = Payload(file)
        options = validated(ImportOptions, payload.options)
        imported = bring_in(
            call.services,
            call.principal,
            label_set_id,
            payload,
            format=options.format,
            appends=options.mode == "append",
            match_by=options.match_by,
            creates_labels=options.create_missing_labels,
            is_trial=options.dry_run,
        )
    return ImportOut(
        matched_images=imported.num_images,
        unmatched=imported.unmatched,
        created=imported.num_created,
        replaced=imported.num_replaced,
        skipped=imported.num_skipped,
        new_labels=imported.new_labels,
        errors=[LeftOut(ref=each.ref, code=each.code, message=each.message) for each in imported.problems],
        dry_run=options.dry_run,
    )


@api.operation(
    "GET",
    "/label-sets/<label_set_id>/annotations/export",
    effect=Effect.READ,
    tag="annotations",
    scope="annotations:read",
    tool="export-annotations",
    command="labels export",
    errors=("NOT_FOUND", "FORMAT_UNAVAILABLE"),
    example={"format": "coco"},
)
def export_annotations(call: Call, label_set_id: str, query: ExportQuery) -> Response:
    """Hand out what counts for all labelled images, in any format that can be imported.

    `data` is what an import takes as `data`. With `raw=true` it comes without the envelope: for `csv` as a text.
    `labelstudio` holds what other ML backends said about these images, too.
    """
    is_text = query.format == "csv"
    parts = hand_out(
        call.services, call.principal, label_set_id, format=query.format, split=query.split, base_url=call.base_url
    )
    if query.raw:
        return Response(parts, mimetype="text/csv" if is_text else "application/json")
    return Response(_enveloped(parts, g.request_id, is_text=is_text), mimetype="application/json")


def _enveloped(parts: Iterator[str], request_id: str, *, is_text: bool) -> Iterator[str]:
    quote = '"' if is_text else ""
    yield f'{{"ok":true,"data":{quote}'
    for part in parts:
        yield json.dumps(part)[1:-1] if is_text else part
    yield f'{quote},"requestId":"{request_id}"}}'


def _describe(labelled: Labelled, label_set_id: str) -> AnnotationsOut:
    picture, said = labelled.picture, labelled.said
    size = Size(picture.width_px, picture.height_px) if picture.width_px else None
    image = spell("image_id", picture.task_id)
    label_set = spell("label_set_id", label_set_id)
    return AnnotationsOut(
        image_id=image,
        label_set_id=label_set,
        labeled=labelled.regions is not None,
        annotations=[
            AnnotationOut.model_validate(
                {
                    **native.write_annotation(region, size),
                    "id": spell("annotation_id", labelled.region_id(index)),
                    "image_id": image,
                    "label_set_id": label_set,
                    "source": said.source,
                    "created_by": spell("user_id", said.created_by) if said.created_by else None,
                    "created_at": said.created_at,
                }
            )
            for index, region in enumerate(labelled.regions or ())
            if said is not None
        ],
    )
