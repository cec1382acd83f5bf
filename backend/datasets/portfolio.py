"""Projects, for those who may touch them: made, listed, changed, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from backend.access import Access
from backend.accounts.service import Accounts, Principal
from backend.connections.mirrors import Progress
from backend.datasets.erasure import Erasure
from backend.datasets.splits import Splits
from backend.errors import NotFound
from backend.paging import page
from backend.projects.service import Origin, Project
from backend.storage.columns import utc_now
from backend.storage.database import Database, next_number

MADE_HERE = "mlp"
"""Kind of the origin of projects that were made here."""
_NUMBER_THERE = "project_id"
"""Parameter of the origin of a project that was made here: the project that it was linked to in Label Studio."""


@dataclass(frozen=True, slots=True)
class Link:
    """A project in Label Studio.

    Attributes:
        number: Its own there; None as long as it is still to be made.
        url: Of its page, or where nobody mirrors it, of that installation; "" where that is not known.
        trouble: What people should know about mirroring it; "" where all is well.
    """

    number: int | None
    url: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A project and what there is to say about it.

    Attributes:
        workspace_id: Whose it is; None as long as there is nobody.
        link: Where it is in Label Studio, if it is there.
        splits: How many images are in "train", "val", "test" and "unassigned".
    """

    project: Project
    workspace_id: str | None
    link: Link | None
    splits: dict[str, int]


class Portfolio:
    """Keeps the projects of workspaces."""

    def __init__(
        self, database: Database, accounts: Accounts, access: Access, splits: Splits, erasure: Erasure
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._access = access
        self._splits = splits
        self._erasure = erasure

    def create(
        self,
        principal: Principal,
        title: str,
        *,
        workspace_id: str | None = None,
        description: str = "",
        link: Link | None = None,
    ) -> Entry:
        """Make a project.

        Args:
            principal: Who asks.
            title: What people call it.
            workspace_id: Whose it shall be; None: the principal's first one.
            description: For people.
            link: Which project in Label Studio is about the same.

        Raises:
            NotFound: The principal does not belong to that workspace.
        """
        workspace_id = _require_member(principal, workspace_id or principal.workspace_ids[0])
        with self._database.transaction() as session:
            project = Project(
                number=next_number(session, "project"),
                title=title,
                description=description,
                workspace_id=workspace_id,
                created_by=principal.user_id,
            )
            session.add(project)
            session.flush()
            origin = Origin(project_id=project.id, kind=MADE_HERE, uid=project.id)
            _set_link(origin, link)
            session.add(origin)
            session.flush()
            return self._entries(session, [project])[0]

    def get(self, principal: Principal, project_id: str) -> Entry:
        """Return a project.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        project = self._access.project(principal, project_id)
        with self._database.reading() as session:
            return self._entries(session, [project])[0]

    def page(
        self, principal: Principal, *, workspace_id: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Entry], str | None]:
        """Return a page of the projects that a principal may see, newest first, and the cursor of the next one.

        Raises:
            NotFound: The principal does not belong to that workspace.
            Invalid: The cursor is none of ours.
        """
        asked = [_require_member(principal, workspace_id)] if workspace_id else principal.workspace_ids
        is_theirs: ColumnElement[bool] = Project.workspace_id.in_(asked)
        if self._accounts.oldest_workspace_id() in asked:
            is_theirs |= Project.workspace_id.is_(None)
        with self._database.reading() as session:
            found, following = page(session, select(Project).where(is_theirs), Project.id, limit=limit, cursor=cursor)
            return self._entries(session, found), following

    def change(
        self,
        principal: Principal,
        project_id: str,
        *,
        title: str | None = None,
        description: str | None = None,
        link: Link | None = None,
    ) -> Entry:
        """Change a project; None leaves a value as it is. A project that Label Studio calls us for stays linked to it.

        Raises:
            NotFound: There is no such project.
        """
        found = self._access.project(principal, project_id)
        with self._database.transaction() as session:
            project = session.get_one(Project, found.id)
            project.title = title if title is not None else project.title
            project.description = description if description is not None else project.description
            project.updated_at = utc_now()
            origin = session.get_one(Origin, project.id)
            if link is not None and origin.kind == MADE_HERE:
                _set_link(origin, link)
            return self._entries(session, [project])[0]

    def delete(self, principal: Principal, project_id: str) -> None:
        """Forget a project and all that is in it; in Label Studio nothing changes.

        Raises:
            NotFound: There is no such project.
            Conflict: Something works on it ("invalid_state").
        """
        self._erasure.project(self._access.project(principal, project_id).id)

    def _entries(self, session: Session, projects: Sequence[Project]) -> list[Entry]:
        ids = [project.id for project in projects]
        origins = {row.project_id: row for row in session.scalars(select(Origin).where(Origin.project_id.in_(ids)))}
        splits = self._splits.count(ids)
        return [
            Entry(project, self._access.workspace_id(project), _link(origins[project.id]), splits[project.id])
            for project in projects
        ]


def _require_member(principal: Principal, workspace_id: str) -> str:
    if workspace_id not in principal.workspace_ids:
        raise NotFound("There is no such workspace; GET /workspaces lists yours.", code="not_found")
    return workspace_id


def _set_link(origin: Origin, link: Link | None) -> None:
    if link is not None:
        origin.params, origin.url = {**origin.params, _NUMBER_THERE: link.number}, link.url


def _link(origin: Origin) -> Link | None:
    written = origin.params.get(_NUMBER_THERE, "") if origin.kind == MADE_HERE else origin.uid.partition(".")[0]
    number = int(written) if str(written).isdecimal() else None
    progress = Progress.of(origin)
    if progress is None:
        return Link(number, origin.url) if number is not None else None
    return Link(number, f"{progress.url}/projects/{number}" if progress.url else origin.url, progress.trouble)
