"""Who asks."""

from __future__ import annotations

from adapters.identifiers import spell
from adapters.mlp.api import api
from adapters.mlp.wire import Body
from adapters.operations import Call, Effect


class Me(Body):
    """Whoever asks."""

    user_id: str
    email: str | None
    name: str
    auth_source: str
    key_id: str | None
    scopes: list[str]
    claimed: bool
    default_workspace_id: str


@api.operation("GET", "/me", effect=Effect.READ, tag="account", tool="get-me", command="whoami")
def get_me(call: Call) -> Me:
    """Tell who the key belongs to.

    The first call an agent makes: go on only if `authSource` is `apiKey`.
    """
    principal = call.principal
    return Me(
        user_id=spell("user_id", principal.user_id),
        email=principal.email,
        name=principal.name,
        auth_source=principal.auth_source.value,
        key_id=spell("key_id", principal.key_id) if principal.key_id else None,
        scopes=sorted(principal.scopes),
        claimed=True,
        default_workspace_id=spell("workspace_id", principal.workspace_ids[0]),
    )
