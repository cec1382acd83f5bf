"""Workspaces: who shares projects, and what training took from their allowance."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from adapters.identifiers import read_id, spell
from adapters.mlp.api import api
from adapters.mlp.wire import Body, Moment, Page
from adapters.operations import Call, Effect
from backend.accounts.allowances import Usage
from backend.accounts.service import User, Workspace


class TokenUsage(Body):
    """What a workspace has spent in a month, and what it may; `null` is as many as wanted."""

    period: str
    allowance: int | None
    used: int
    reserved: int
    remaining: int | None
    bundle: int


class WorkspaceOut(Body):
    """A workspace as one of its members sees it."""

    id: str
    name: str
    owner_id: str
    role: str
    member_count: int
    project_count: int
    tokens: TokenUsage
    created_at: Moment


class WorkspaceIn(Body):
    """A workspace to be made."""

    name: str = Field(min_length=1, max_length=200)


class MemberIn(Body):
    """Who shall belong to it: one of the two."""

    email: str | None = Field(None, description="Who; this or `userId`.")
    user_id: str | None = Field(None, description="Who; this or `email`.")


class MemberOut(Body):
    """Somebody who belongs to a workspace."""

    user_id: str
    email: str
    name: str


class UsageQuery(Body):
    """Whose usage, and when."""

    workspace_id: str | None = Field(None, description="Left out: your default workspace.")
    period: str | None = Field(None, description="A month in UTC, like 2026-11; left out: the present one.")


class UsageEntry(Body):
    """What one training took."""

    training_id: str
    tokens: int
    at: Moment
    caller_id: str


class UsageOut(TokenUsage):
    """What a workspace has spent, training by training."""

    entries: list[UsageEntry]


@api.operation(
    "GET", "/workspaces", effect=Effect.READ, tag="workspaces", tool="list-workspaces", command="workspaces list"
)
def list_workspaces(call: Call) -> Page[WorkspaceOut]:
    """List the workspaces that you belong to, your default one first."""
    return Page(items=[_describe(call, found) for found in call.services.workspaces.all(call.principal)])


@api.operation(
    "POST",
    "/workspaces",
    effect=Effect.CREATE,
    tag="workspaces",
    scope="team:write",
    status=201,
    tool="create-workspace",
    command="workspaces create",
    example={"name": "Lab"},
)
def create_workspace(call: Call, body: WorkspaceIn) -> WorkspaceOut:
    """Create a workspace, which you own. Whatever is trained in it is paid for by its owner's tokens."""
    made = call.services.workspaces.create(call.principal, body.name)
    owner = replace(call.principal, workspace_ids=(*call.principal.workspace_ids, made.id))
    return _describe(replace(call, principal=owner), made)


@api.operation(
    "GET",
    "/workspaces/<workspace_id>",
    effect=Effect.READ,
    tag="workspaces",
    tool="get-workspace",
    command="workspaces show",
    errors=("NOT_FOUND",),
)
def get_workspace(call: Call, workspace_id: str) -> WorkspaceOut:
    """Tell about a workspace."""
    return _describe(call, call.services.workspaces.get(call.principal, workspace_id))


@api.operation(
    "POST",
    "/workspaces/<workspace_id>/members",
    effect=Effect.UPDATE,
    tag="workspaces",
    scope="team:write",
    status=201,
    tool="add-workspace-member",
    command="workspaces add-member",
    errors=("NOT_FOUND",),
    example={"email": "ann@example.com"},
)
def add_workspace_member(call: Call, workspace_id: str, body: MemberIn) -> MemberOut:
    """Let somebody with an account belong to a workspace: all their keys reach its projects from now on."""
    named = read_id("user_id", body.user_id) if body.user_id else body.email or ""
    return _member(call.services.workspaces.add_member(call.principal, workspace_id, named))


@api.operation(
    "DELETE",
    "/workspaces/<workspace_id>/members/<user_id>",
    effect=Effect.DELETE,
    tag="workspaces",
    scope="team:write",
    status=204,
    tool="remove-workspace-member",
    command="workspaces remove-member",
    errors=("NOT_FOUND", "FORBIDDEN", "CONFLICT"),
)
def remove_workspace_member(call: Call, workspace_id: str, user_id: str) -> None:
    """Let somebody belong to a workspace no longer: their keys lose it at once. Only its owner may."""
    call.services.workspaces.remove_member(call.principal, workspace_id, user_id)


@api.operation(
    "GET", "/usage", effect=Effect.READ, tag="account", tool="get-usage", command="usage", errors=("NOT_FOUND",)
)
def get_usage(call: Call, query: UsageQuery) -> UsageOut:
    """Tell what trainings took from a workspace's tokens in a month."""
    asked = read_id("workspace_id", query.workspace_id) if query.workspace_id else call.principal.workspace_ids[0]
    workspace = call.services.workspaces.get(call.principal, asked)
    usage = _usage(call.services.allowances.usage(workspace.id, query.period))
    entries = [
        UsageEntry(
            training_id=spell("training_id", entry.run_id),
            tokens=entry.num_consumed,
            at=entry.at,
            caller_id=spell("user_id", entry.user_id),
        )
        for entry in call.services.allowances.entries(workspace.id, query.period)
    ]
    return UsageOut(**usage.model_dump(), entries=entries)


def _describe(call: Call, workspace: Workspace) -> WorkspaceOut:
    return WorkspaceOut(
        id=spell("workspace_id", workspace.id),
        name=workspace.name,
        owner_id=spell("user_id", workspace.owner_id),
        role="owner" if workspace.owner_id == call.principal.user_id else "member",
        member_count=len(call.services.workspaces.members(call.principal, workspace.id)),
        project_count=call.services.access.num_projects(workspace.id),
        tokens=_usage(call.services.allowances.usage(workspace.id)),
        created_at=workspace.created_at,
    )


def _member(user: User) -> MemberOut:
    return MemberOut(user_id=spell("user_id", user.id), email=user.email, name=user.name)


def _usage(usage: Usage) -> TokenUsage:
    return TokenUsage(
        period=usage.period,
        allowance=usage.allowance,
        used=usage.used,
        reserved=usage.reserved,
        remaining=usage.remaining,
        bundle=usage.bundle,
    )
