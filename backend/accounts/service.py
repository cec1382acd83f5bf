"""Who asks, and what they may touch: users, workspaces, keys."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Any

from sqlalchemy import ForeignKey, bindparam, func, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.errors import Conflict, Denied, Invalid, NotFound
from backend.ids import new_id
from backend.settings import Settings
from backend.storage.columns import utc_now
from backend.storage.database import Database, Record
from backend.storage.write_behind import WriteBehind

log = logging.getLogger(__name__)

_RESOURCES = ("projects", "annotations", "training", "models", "backends", "budget", "team")
SCOPES = (
    *(f"{resource}:{verb}" for resource in _RESOURCES for verb in ("read", "write")),
    "inference:run",
    "notes:write",
    "webhooks:manage",
    "keys:manage",
)
"""What a key may be good for. `:write` includes `:read`."""
USUAL_SCOPES = frozenset(SCOPES) - {"keys:manage", "team:write"}
"""What a key is good for where nobody says."""
MAX_KEYS = 10
"""Keys that one user may have in use."""
PREFIXES = ("mlp_live_", "mlp_sk_")
"""How a key may begin; all mean the same."""
KEY_FORM = re.compile(f"({'|'.join(PREFIXES)})[0-9A-Za-z]{{24}}")

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_MAX_NAME = 120
_USE_NOTED_EVERY = timedelta(minutes=1)


class User(Record, kw_only=True):
    """A person who may sign in, or whose keys may."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(default="")
    is_admin: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)


class Workspace(Record, kw_only=True):
    """What people share: projects, and an allowance of tokens that its owner pays for.

    Attributes:
        allowance: Tokens a month; None: as many as wanted.
        bundle: Tokens left that do not expire with the month.
    """

    __tablename__ = "workspaces"
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    name: Mapped[str]
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    allowance: Mapped[int | None] = mapped_column(default=None)
    bundle: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)


class Membership(Record, kw_only=True):
    """Who belongs to a workspace; its owner does, too."""

    __tablename__ = "memberships"
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)


class ApiKey(Record, kw_only=True):
    """A key that acts as its owner, within its scopes. Only its digest is kept.

    Attributes:
        digest: SHA-256 of the whole key, in hex.
        preview: What people recognise it by.
    """

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True, default_factory=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    prefix: Mapped[str]
    preview: Mapped[str]
    scopes: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
    last_used_at: Mapped[datetime | None] = mapped_column(default=None)
    expires_at: Mapped[datetime | None] = mapped_column(default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)


class AuthSource(StrEnum):
    """What proved who asks."""

    API_KEY = "apiKey"
    BASIC = "basic"
    LOCAL = "local"
    """A command on the server's own machine."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever is asking, after authentication: the first argument of every service method that decides about access.

    Attributes:
        scopes: What the key may be used for, see `SCOPES`; `:write` includes `:read`.
        workspace_ids: Those that the user belongs to, oldest first.
    """

    user_id: str
    email: str
    name: str
    auth_source: AuthSource
    scopes: frozenset[str]
    workspace_ids: Sequence[str]
    key_id: str | None = None
    is_admin: bool = False


class Accounts:
    """Creates and finds users, workspaces and keys."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._used = WriteBehind(self._note_use, max_waiting=1000)
        self._oldest_workspace_id: str | None = None

    def create_user(self, email: str, name: str = "") -> User:
        """Create a user with a workspace of their own; the first one is the administrator.

        Raises:
            Invalid: That is no email address.
            Conflict: Somebody has it already.
        """
        email = email.strip().lower()
        if not _EMAIL.fullmatch(email):
            raise _wrong("email", f"{email!r} is no email address; it looks like ada@example.com")
        with self._database.transaction() as session:
            if find_user(session, email):
                raise Conflict(f"{email} has an account already.", code="conflict", details={"email": email})
            is_first = session.scalar(select(User.id).limit(1)) is None
            user = User(email=email, name=name.strip(), is_admin=is_first)
            session.add(user)
            session.flush()
            add_workspace(session, user.name or email, user.id, self._settings.token_allowance)
        log.info("user created", extra={"user_id": user.id})
        return user

    def users(self) -> list[User]:
        """Return all users, oldest first."""
        with self._database.reading() as session:
            return list(session.scalars(select(User).order_by(User.id)))

    def find_user(self, email_or_id: str) -> User | None:
        """Return a user, or None where there is no such one."""
        with self._database.reading() as session:
            return find_user(session, email_or_id)

    def local(self, user: User) -> Principal:
        """Return a user as whoever works on the server's own machine: they may do everything that this user may."""
        with self._database.reading() as session:
            member_of = select(Membership.workspace_id).filter_by(user_id=user.id)
            found = session.scalars(member_of.order_by(Membership.created_at, Membership.workspace_id)).all()
        return Principal(
            user_id=user.id,
            email=user.email,
            name=user.name,
            auth_source=AuthSource.LOCAL,
            scopes=frozenset(SCOPES),
            workspace_ids=found,
            is_admin=user.is_admin,
        )

    def authenticate(self, token: str) -> Principal:
        """Return who a key belongs to. The database is asked each time, so that a revoked key fails at once.

        Raises:
            Denied: It is no key of ours ("unauthenticated"), or none that is in use ("api_key_invalid").
        """
        if not token.startswith(PREFIXES):
            raise Denied("An API key is needed: send Authorization: Bearer mlp_live_….", code="unauthenticated")
        is_formed = KEY_FORM.fullmatch(token) is not None
        found = self._database.rows(_BY_DIGEST, {"digest": _digest(token)}) if is_formed else ()
        now = utc_now()
        if not found or found[0].revoked_at or (found[0].expires_at and found[0].expires_at <= now):
            raise Denied("This API key is not valid, or no longer; ask for a new one.", code="api_key_invalid")
        key = found[0]
        if key.last_used_at is None or now - key.last_used_at > _USE_NOTED_EVERY:
            self._used.put({key.key_id: now})
        return Principal(
            user_id=key.user_id,
            email=key.email,
            name=key.name,
            auth_source=AuthSource.API_KEY,
            scopes=_with_implied(tuple(key.scopes)),
            workspace_ids=tuple(row.workspace_id for row in found if row.workspace_id),
            key_id=key.key_id,
            is_admin=key.is_admin,
        )

    def flush(self) -> None:
        """Wait until it is written when keys were last used."""
        self._used.flush()

    def mint(
        self,
        owner: Principal | User,
        name: str,
        *,
        scopes: Iterable[str] | None = None,
        expires_at: datetime | None = None,
        prefix: str = PREFIXES[0],
    ) -> tuple[ApiKey, str]:
        """Make a key, and the secret that it is used by, which is told this once.

        Args:
            owner: Whose it will be. A key may mint others only within its own scopes, with "keys:manage".
            name: For people.
            scopes: Of `SCOPES`; None: `USUAL_SCOPES`, as far as `owner` has them.
            expires_at: Aware.
            prefix: Of `PREFIXES`.

        Raises:
            Denied: A key asked that may not mint ("human_required"), or for more than it may ("insufficient_scope").
            Conflict: The user has `MAX_KEYS` in use ("key_limit_reached").
            Invalid: The name, a scope, the prefix or the expiry makes no sense.
        """
        asker = self.local(owner) if isinstance(owner, User) else owner
        granted = _granted(asker, scopes)
        if not 1 <= len(name.strip()) <= _MAX_NAME:
            raise _wrong("name", f"a name has 1 to {_MAX_NAME} characters")
        if prefix not in PREFIXES:
            raise _wrong("prefix", f"a key begins with {' or '.join(PREFIXES)}, not with {prefix!r}")
        if expires_at is not None and expires_at <= utc_now():
            raise _wrong("expiresAt", "the key would have expired already; choose a later moment")
        secret = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(24))
        key = new_key(asker.user_id, name.strip(), secret, scopes=granted, expires_at=expires_at)
        with self._database.transaction() as session:
            session.get_one(User, asker.user_id, with_for_update=True)  # whoever mints at the same time waits here
            if _num_in_use(session, asker.user_id) >= MAX_KEYS:
                raise Conflict(
                    f"There are {MAX_KEYS} keys in use already; revoke one first.",
                    code="key_limit_reached",
                    details={"limit": MAX_KEYS},
                )
            session.add(key)
        log.info("key made", extra={"key_id": key.id, "user_id": asker.user_id})
        return key, secret

    def keys(self, principal: Principal) -> list[ApiKey]:
        """Return the keys of whoever asks, newest first, revoked ones too."""
        with self._database.reading() as session:
            return list(session.scalars(select(ApiKey).filter_by(user_id=principal.user_id).order_by(ApiKey.id.desc())))

    def revoke(self, principal: Principal, key_id: str) -> None:
        """Make a key useless, now and everywhere; nothing happens where it is already.

        Raises:
            NotFound: Whoever asks has no such key.
            Denied: A key that may not manage others may revoke only itself ("human_required").
        """
        with self._database.transaction() as session:
            key = session.get(ApiKey, key_id, with_for_update=True)
            if key is None or key.user_id != principal.user_id:
                raise NotFound("There is no such key; GET /keys lists yours.", code="not_found")
            if principal.key_id not in (None, key_id) and "keys:manage" not in principal.scopes:
                raise Denied("A key may revoke only itself; ask a person to revoke others.", code="human_required")
            key.revoked_at = key.revoked_at or utc_now()
        log.info("key revoked", extra={"key_id": key_id, "user_id": principal.user_id})

    def require_member(self, principal: Principal, workspace_id: str) -> None:
        """Let those pass who belong to a workspace.

        Raises:
            NotFound: There is none, or it is others'.
        """
        if workspace_id not in principal.workspace_ids:
            raise NotFound("There is no such workspace; GET /workspaces lists yours.", code="not_found")

    def oldest_workspace_id(self) -> str | None:
        """Return the workspace that projects belong to of which nobody said whose they are; None: there is none yet."""
        if self._oldest_workspace_id is None:
            with self._database.reading() as session:
                self._oldest_workspace_id = session.scalar(select(func.min(Workspace.id)))
        return self._oldest_workspace_id

    def _note_use(self, moments: Mapping[str, datetime]) -> None:
        with self._database.transaction() as session:
            for key_id, at in moments.items():
                session.execute(update(ApiKey).filter_by(id=key_id).values(last_used_at=at))


_BY_DIGEST = (
    select(
        ApiKey.id.label("key_id"),
        ApiKey.scopes,
        ApiKey.expires_at,
        ApiKey.revoked_at,
        ApiKey.last_used_at,
        User.id.label("user_id"),
        User.email,
        User.name,
        User.is_admin,
        Membership.workspace_id,
    )
    .join(User, User.id == ApiKey.user_id)
    .join(Membership, Membership.user_id == User.id, isouter=True)
    .where(ApiKey.digest == bindparam("digest"))
    .order_by(Membership.created_at, Membership.workspace_id)
)


def new_key(
    user_id: str, name: str, secret: str, *, scopes: Iterable[str], expires_at: datetime | None = None
) -> ApiKey:
    """Return a key that is not kept yet; its secret has `KEY_FORM`."""
    prefix = next(each for each in PREFIXES if secret.startswith(each))
    return ApiKey(
        user_id=user_id,
        name=name,
        digest=_digest(secret),
        prefix=prefix,
        preview=f"{secret[: len(prefix) + 3]}…{secret[-3:]}",
        scopes=sorted(scopes),
        expires_at=expires_at,
    )


def find_user(session: Session, email_or_id: str) -> User | None:
    """Return a user, or None where there is no such one."""
    return session.scalar(select(User).where(or_(User.email == email_or_id.strip().lower(), User.id == email_or_id)))


def add_workspace(session: Session, name: str, owner_id: str, allowance: int | None) -> Workspace:
    """Add a workspace that its owner belongs to."""
    workspace = Workspace(name=name, owner_id=owner_id, allowance=allowance)
    session.add(workspace)
    session.flush()
    session.add(Membership(workspace_id=workspace.id, user_id=owner_id))
    return workspace


def _granted(asker: Principal, scopes: Iterable[str] | None) -> frozenset[str]:
    """Return what a new key may be good for, see `Accounts.mint`."""
    wanted = USUAL_SCOPES & asker.scopes if scopes is None else frozenset(scopes)
    if asker.auth_source is AuthSource.API_KEY and "keys:manage" not in asker.scopes:
        raise Denied(
            "Only people may make keys: ask one to run `tandem keys create` on the server.", code="human_required"
        )
    if unknown := sorted(wanted - set(SCOPES)):
        raise _wrong("scopes", f"there is no scope {unknown[0]!r}; there are {', '.join(SCOPES)}")
    if beyond := sorted(wanted - asker.scopes):
        raise Denied(
            f"A key makes others within its own scopes only; this one lacks {', '.join(beyond)}.",
            code="insufficient_scope",
            details={"requiredScopes": beyond},
        )
    return wanted


def _num_in_use(session: Session, user_id: str) -> int:
    query = select(func.count()).select_from(ApiKey).filter_by(user_id=user_id, revoked_at=None)
    return session.scalars(query.where(or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > utc_now()))).one()


@lru_cache
def _with_implied(scopes: tuple[str, ...]) -> frozenset[str]:
    """Add what is included.

    >>> sorted(_with_implied(("projects:write", "notes:write")))
    ['notes:write', 'projects:read', 'projects:write']
    """
    return frozenset(scopes) | {scope.replace(":write", ":read") for scope in scopes} & set(SCOPES)


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(message, code="validation_error", details={"fields": {field: message}})
