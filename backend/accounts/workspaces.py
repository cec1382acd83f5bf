"""What people share: workspaces, who belongs to them, and what they may spend."""

from __future__ import annotations

import logging

from sqlalchemy import select

from backend.accounts.service import (
    Accounts,
    AuthSource,
    Membership,
    Principal,
    User,
    Workspace,
    add_workspace,
    find_user,
)
from backend.errors import Conflict, Denied, Invalid, NotFound
from backend.settings import Settings
from backend.storage.columns import utc_now
from backend.storage.database import Database

log = logging.getLogger(__name__)

_MAX_NAME = 200


class Workspaces:
    """Creates workspaces, and says who belongs to them. Members see them; some things only their owner may."""

    def __init__(self, database: Database, accounts: Accounts, settings: Settings) -> None:
        self._database = database
        self._accounts = accounts
        self._settings = settings

    def all(self, principal: Principal) -> list[Workspace]:
        """Return the workspaces that whoever asks belongs to, their own first."""
        with self._database.reading() as session:
            found = session.scalars(select(Workspace).where(Workspace.id.in_(principal.workspace_ids))).all()
        return sorted(found, key=lambda workspace: principal.workspace_ids.index(workspace.id))

    def get(self, principal: Principal, workspace_id: str) -> Workspace:
        """Return a workspace.

        Raises:
            NotFound: There is none, or it is others'.
        """
        self._accounts.require_member(principal, workspace_id)
        with self._database.reading() as session:
            return session.get_one(Workspace, workspace_id)

    def create(self, principal: Principal, name: str) -> Workspace:
        """Create a workspace that whoever asks owns. A principal that was made before does not know of it.

        Raises:
            Invalid: The name is empty or too long.
        """
        if not 1 <= len(name.strip()) <= _MAX_NAME:
            message = f"a name has 1 to {_MAX_NAME} characters"
            raise Invalid(message, code="validation_error", details={"fields": {"name": message}})
        with self._database.transaction() as session:
            return add_workspace(session, name.strip(), principal.user_id, self._settings.token_allowance)

    def members(self, principal: Principal, workspace_id: str) -> list[User]:
        """Return who belongs to a workspace, in the order in which they came.

        Raises:
            NotFound: There is no such workspace, or it is others'.
        """
        self._accounts.require_member(principal, workspace_id)
        query = select(User).join(Membership, Membership.user_id == User.id)
        with self._database.reading() as session:
            return list(
                session.scalars(
                    query.where(Membership.workspace_id == workspace_id).order_by(Membership.created_at, User.id)
                )
            )

    def add_member(self, principal: Principal, workspace_id: str, email_or_user_id: str) -> User:
        """Let a user belong to a workspace; nothing happens where they do already.

        Raises:
            NotFound: There is no such user, or no such workspace, or it is others'.
        """
        self._accounts.require_member(principal, workspace_id)
        with self._database.transaction() as session:
            user = find_user(session, email_or_user_id)
            if user is None:
                raise NotFound(
                    "There is no such user; `tandem users create` on the server makes one.", code="not_found"
                )
            self._database.insert_new(
                Membership, [{"workspace_id": workspace_id, "user_id": user.id, "created_at": utc_now()}]
            )
        log.info("member added", extra={"workspace_id": workspace_id, "member_id": user.id})
        return user

    def remove_member(self, principal: Principal, workspace_id: str, user_id: str) -> None:
        """Let a user belong to a workspace no longer; their keys lose it at once.

        Raises:
            NotFound: There is no such member, or no such workspace, or it is others'.
            Denied: Whoever asks does not own it.
            Conflict: That user owns it.
        """
        workspace = self._owned(principal, workspace_id)
        if user_id == workspace.owner_id:
            raise Conflict("The owner of a workspace stays its member.", code="conflict")
        with self._database.transaction() as session:
            member = session.get(Membership, (workspace_id, user_id))
            if member is None:
                raise NotFound("There is no such member.", code="not_found")
            session.delete(member)
        log.info("member removed", extra={"workspace_id": workspace_id, "member_id": user_id})

    def set_allowance(
        self, principal: Principal, workspace_id: str, *, allowance: int | None, bundle: int | None = None
    ) -> Workspace:
        """Change what a workspace may spend.

        Args:
            principal: Its owner, as a person.
            workspace_id: Which.
            allowance: Tokens a month; None: as many as wanted.
            bundle: Tokens that do not expire with the month; None: as many as there are.

        Raises:
            NotFound: There is no such workspace, or it is others'.
            Denied: Whoever asks does not own it ("forbidden"), or is no person ("human_required").
            Invalid: A number is negative.
        """
        self._owned(principal, workspace_id)
        if principal.auth_source is AuthSource.API_KEY:
            raise Denied("Only people may change what a workspace may spend.", code="human_required")
        for field, number in (("allowance", allowance), ("bundle", bundle)):
            if number is not None and number < 0:
                message = "a number of tokens is not negative"
                raise Invalid(message, code="validation_error", details={"fields": {field: message}})
        with self._database.transaction() as session:
            workspace = session.get_one(Workspace, workspace_id, with_for_update=True)
            workspace.allowance = allowance
            workspace.bundle = workspace.bundle if bundle is None else bundle
        return workspace

    def _owned(self, principal: Principal, workspace_id: str) -> Workspace:
        workspace = self.get(principal, workspace_id)
        if workspace.owner_id != principal.user_id:
            raise Denied("Only the owner of the workspace may do that; ask them.", code="forbidden")
        return workspace
