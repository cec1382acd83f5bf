"""Keys: what programs prove with whose they are."""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime, Field

from adapters.identifiers import spell
from adapters.mlp.api import api
from adapters.mlp.wire import Body, Moment, Page
from adapters.operations import Call, Effect
from backend.accounts.service import ApiKey


class KeyOut(Body):
    """What may be known of a key; the secret is in the answer that made it, and nowhere else."""

    id: str
    name: str
    prefix: str
    preview: str
    scopes: list[str]
    status: str
    created_at: Moment
    last_used_at: Moment | None
    expires_at: Moment | None
    revoked_at: Moment | None


class KeyIn(Body):
    """A key to be made."""

    name: str = Field(min_length=1, max_length=120, description="For people, to tell keys apart.")
    scopes: list[str] | None = Field(None, description="Left out: all that the key which asks may hand on.")
    expires_at: AwareDatetime | None = Field(None, description="Left out: never.")


class MadeKey(Body):
    """A new key with its secret, which is shown this once."""

    key: KeyOut
    secret: str


@api.operation("GET", "/keys", effect=Effect.READ, tag="account", tool="list-keys", command="keys list")
def list_keys(call: Call) -> Page[KeyOut]:
    """List the keys of whoever asks, newest first; revoked ones too, secrets never."""
    return Page(items=[_describe(key) for key in call.services.accounts.keys(call.principal)])


@api.operation(
    "POST",
    "/keys",
    effect=Effect.CREATE,
    tag="account",
    status=201,
    command="keys create",
    toolless="secrets must not get into a model's context",
    errors=("HUMAN_REQUIRED", "KEY_LIMIT_REACHED"),
    tells_secret=True,
    example={"name": "nightly", "scopes": ["projects:read"]},
)
def create_key(call: Call, body: KeyIn) -> MadeKey:
    """Make a key.

    People make keys (`tandem keys create` on the server). A key may only with the scope `keys:manage`, and never one
    that may more than itself. At most 10 keys are active at a time.
    """
    expires_at: datetime | None = body.expires_at
    key, secret = call.services.accounts.mint(call.principal, body.name, scopes=body.scopes, expires_at=expires_at)
    return MadeKey(key=_describe(key), secret=secret)


@api.operation(
    "DELETE",
    "/keys/<key_id>",
    effect=Effect.DELETE,
    tag="account",
    status=204,
    tool="revoke-key",
    command="keys revoke",
    errors=("NOT_FOUND", "HUMAN_REQUIRED"),
)
def revoke_key(call: Call, key_id: str) -> None:
    """Revoke a key: from now on it is refused everywhere. A key may revoke itself."""
    call.services.accounts.revoke(call.principal, key_id)


def _describe(key: ApiKey) -> KeyOut:
    return KeyOut(
        id=spell("key_id", key.id),
        name=key.name,
        prefix=key.prefix,
        preview=key.preview,
        scopes=list(key.scopes),
        status="revoked" if key.revoked_at else "active",
        created_at=key.created_at,
        last_used_at=key.last_used_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
    )
