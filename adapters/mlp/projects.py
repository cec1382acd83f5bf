"""Projects: what is being labelled, in which workspace."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from adapters.identifiers import read_id, spell
from adapters.mlp.api import api
from adapters.mlp.image_wire import ImageOut, describe_image
from adapters.mlp.label_set_wire import LabelSetOut, describe_label_set
from adapters.mlp.metrics import describe_metrics
from adapters.mlp.wire import Body, Moment, Page, PageQuery
from adapters.operations import Call, Effect
from backend.datasets.portfolio import Entry, Link
from backend.versions.registry import ModelVersion


class LinkIn(Body):
    """A project in Label Studio: one that is there, or with `create` a new one."""

    project_id: int | None = Field(None, ge=1, description="Its number there.")
    url: str = Field("", max_length=2000, description="Address of that Label Studio; left out: the server's own one.")
    create: bool = Field(False, description="Make one, unless the project has one there already.")

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if self.project_id is None and not self.create:
            raise ValueError("give projectId, or create")
        return self


class LinkOut(Body):
    """A project in Label Studio; `null` where there is none."""

    project_id: int | None
    url: str | None
    error: str | None


class SplitCounts(Body):
    """How many images are in which split."""

    train: int
    val: int
    test: int
    unassigned: int


class ProjectIn(Body):
    """A project to be made."""

    name: str = Field(min_length=1, max_length=200)
    workspace_id: str | None = Field(None, description="Left out: your default workspace.")
    description: str = Field("", max_length=10_000)
    label_studio: LinkIn | None = Field(
        None, description="Mirror it in Label Studio: in a new project, or one there is."
    )


class ProjectPatch(Body):
    """What may be changed; what is left out stays."""

    name: str | None = Field(None, min_length=1, max_length=200)
    description: str | None = Field(None, max_length=10_000)
    label_studio: LinkIn | None = Field(
        None, description="Mirror it in Label Studio: in a new project, or one there is."
    )


class ProjectOut(Body):
    """A project."""

    id: str
    number: int = Field(
        description="What /api/ml calls it: Label Studio's number of it, or ours where it is not there."
    )
    workspace_id: str | None
    name: str
    description: str
    created_by: str | None
    created_at: Moment
    updated_at: Moment
    image_count: int
    splits: SplitCounts
    label_studio: LinkOut


class ModelSummary(Body):
    """A model that a training made."""

    training_id: str
    label_set_id: str
    model_version: str
    status: str
    active: bool
    metrics: dict[str, Any] | None
    completed_at: Moment


class ProjectDetail(ProjectOut):
    """A project with what is in it: its newest images, its label sets, its models."""

    images: Page[ImageOut]
    label_sets: list[LabelSetOut]
    models: list[ModelSummary]


class ProjectsQuery(PageQuery):
    """Which projects."""

    workspace_id: str | None = Field(None, description="Left out: those of all your workspaces.")


class ProjectQuery(Body):
    """How much to tell."""

    image_limit: int = Field(50, ge=0, le=200, description="How many of the newest images.")


@api.operation(
    "GET",
    "/projects",
    effect=Effect.READ,
    tag="projects",
    scope="projects:read",
    tool="list-projects",
    command="projects list",
    errors=("NOT_FOUND",),
)
def list_projects(call: Call, query: ProjectsQuery) -> Page[ProjectOut]:
    """List the projects of your workspaces, newest first; those that Label Studio set up here, too."""
    workspace_id = read_id("workspace_id", query.workspace_id) or "-" if query.workspace_id else None
    entries, cursor = call.services.portfolio.page(
        call.principal, workspace_id=workspace_id, limit=query.limit, cursor=query.cursor
    )
    return Page(items=[ProjectOut(**_fields(entry)) for entry in entries], next_cursor=cursor, has_more=bool(cursor))


@api.operation(
    "POST",
    "/projects",
    effect=Effect.CREATE,
    tag="projects",
    scope="projects:write",
    status=201,
    tool="create-project",
    command="projects create",
    errors=("NOT_FOUND", "FORBIDDEN"),
    example={"name": "Street scenes"},
)
def create_project(call: Call, body: ProjectIn) -> ProjectOut:
    """Create a project in a workspace.

    With `labelStudio` it is mirrored into the Label Studio of this server: into a new project, or an existing one.
    Label sets and images follow, and so does what was said about images for all label sets; people's annotations come
    back, and they see predictions. That happens in the background: poll GET /projects/{id} until `labelStudio` has a
    `projectId`, or an `error`, after which it is tried again. Annotations that you write later stay here. A project in
    a Label Studio that this server has no key for is only noted.
    """
    if body.label_studio is not None and body.label_studio.create:
        call.services.mirrors.require_reach()
    entry = call.services.portfolio.create(
        call.principal,
        body.name,
        workspace_id=read_id("workspace_id", body.workspace_id) or "-" if body.workspace_id else None,
        description=body.description,
        link=_link(body.label_studio),
    )
    _mirror(call, entry.project.id, body.label_studio)
    return ProjectOut(**_fields(entry))


@api.operation(
    "GET",
    "/projects/<project_id>",
    effect=Effect.READ,
    tag="projects",
    scope="projects:read",
    tool="get-project",
    command="projects show",
    errors=("NOT_FOUND",),
)
def get_project(call: Call, project_id: str, query: ProjectQuery) -> ProjectDetail:
    """Tell about a project: its newest images, its label sets, and a summary of its models, newest first."""
    services, principal = call.services, call.principal
    entry = services.portfolio.get(principal, project_id)
    if query.image_limit:
        shown, cursor = services.images.page(principal, project_id, limit=query.image_limit)
    else:
        shown, cursor = [], None
    label_sets = services.label_sets.of_project(principal, project_id)
    in_use = {each.label_set.version_id for each in label_sets}
    known = {each.label_set.id for each in label_sets}
    versions = [each for each in services.versions.of_project(entry.project.id) if each.label_set_id in known]
    return ProjectDetail(
        **_fields(entry),
        images=Page(
            items=[describe_image(each, call.base_url) for each in shown], next_cursor=cursor, has_more=bool(cursor)
        ),
        label_sets=[describe_label_set(each) for each in label_sets],
        models=[_summary(version, is_active=version.id in in_use) for version in reversed(versions)],
    )


@api.operation(
    "PATCH",
    "/projects/<project_id>",
    effect=Effect.UPDATE,
    tag="projects",
    scope="projects:write",
    tool="update-project",
    command="projects update",
    errors=("NOT_FOUND", "FORBIDDEN", "INVALID_STATE"),
    example={"description": "Photos of 2026"},
)
def update_project(call: Call, project_id: str, body: ProjectPatch) -> ProjectOut:
    """Change a project's name, its description, or which project in Label Studio it is mirrored into."""
    _mirror(call, project_id, body.label_studio)
    entry = call.services.portfolio.change(
        call.principal,
        project_id,
        title=body.name,
        description=body.description,
        link=_link(body.label_studio),
    )
    return ProjectOut(**_fields(entry))


@api.operation(
    "DELETE",
    "/projects/<project_id>",
    effect=Effect.DELETE,
    tag="projects",
    scope="projects:write",
    status=204,
    tool="delete-project",
    command="projects delete",
    errors=("NOT_FOUND", "INVALID_STATE"),
)
def delete_project(call: Call, project_id: str) -> None:
    """Delete a project with its images, labels and models; not while a training is queued or running.

    In Label Studio nothing changes.
    """
    call.services.portfolio.delete(call.principal, project_id)


def _link(given: LinkIn | None) -> Link | None:
    return Link(given.project_id, given.url) if given and given.project_id else None


def _mirror(call: Call, project_id: str, given: LinkIn | None) -> None:
    mirrors = call.services.mirrors
    if given is not None and (given.create or mirrors.reaches(given.url)):
        mirrors.ask(call.principal, project_id, number=given.project_id)


def _fields(entry: Entry) -> dict[str, Any]:
    project, link = entry.project, entry.link
    return {
        "id": spell("project_id", project.id),
        "number": link.number if link and link.number else project.number,
        "workspace_id": spell("workspace_id", entry.workspace_id) if entry.workspace_id else None,
        "name": project.title,
        "description": project.description,
        "created_by": spell("user_id", project.created_by) if project.created_by else None,
        "created_at": project.created_at,
        "updated_at": project.updated_at,
        "image_count": sum(entry.splits.values()),
        "splits": SplitCounts(**entry.splits),
        "label_studio": LinkOut(
            project_id=link.number if link else None,
            url=(link.url or None) if link else None,
            error=(link.trouble or None) if link else None,
        ),
    }


def _summary(version: ModelVersion, *, is_active: bool) -> ModelSummary:
    return ModelSummary(
        training_id=spell("training_id", version.run_id),
        label_set_id=spell("label_set_id", version.label_set_id),
        model_version=version.name,
        status="completed",
        active=is_active,
        metrics=describe_metrics(version.metrics, split="val", num_images=version.metrics.get("num_held_out")),
        completed_at=version.created_at,
    )
