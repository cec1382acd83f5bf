"""Guides for agents, made of the declarations: /agents.md, /agents/prompt, /auth.md, /llms.txt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from adapters.catalogue import STATUS
from adapters.discovery.openapi import written_path
from adapters.operations import MAX_JSON_BYTES, Api, Operation
from backend.accounts.service import SCOPES

_WHAT_TO_DO = {
    400: "Correct what you sent; `details.fields` says where.",
    401: "Ask the person for a key, or for a new one.",
    402: "The workspace has no tokens left: tell the person, or wait for the next month.",
    403: "The key may not do that; `details.requiredScopes` says what is missing. Ask the person.",
    404: "There is no such thing, or it belongs to a workspace that you are not in.",
    405: "See the table of endpoints.",
    409: "It cannot be done in the present state; read the object again.",
    413: "Send less at once; `details.limitBytes` is the limit.",
    415: "Send another kind of body or file.",
    422: "The labels or the data do not suffice yet; `details` says what is missing.",
    429: "Wait for `details.retryAfterSeconds`, then go on.",
    500: "Try once more with the same Idempotency-Key; else tell the person the request id.",
    502: "Label Studio does not answer as it should; try again later.",
    503: "Something that is needed does not answer; try again later.",
    504: "Try again.",
}


def prompt(base_url: str) -> str:
    """Return what a person pastes into an agent."""
    return (
        f"You can use the computer-vision training server at {base_url}. Before anything else, fetch "
        f"{base_url}/agents.md and follow it.\n"
        "Send `Authorization: Bearer <KEY>` on every request. Your first call is GET "
        f"{base_url}/me; go on only if `data.authSource` is `apiKey`.\n"
        "Poll a running training once every 30 seconds, not more. Starting a training spends tokens: say how many and "
        "ask me first.\n"
        "Never print or store the key.\n"
    )


def index(apis: Sequence[Api], base_url: str) -> str:
    """Return the table of contents for language models (https://llmstxt.org)."""
    lines = [
        "# Tandem",
        "",
        "> An ML backend that trains on your own labels: projects, images, label sets, training, inference, "
        "evaluation and download over HTTP, and Label Studio's own ML backend API.",
        "",
        "## Guides",
        "",
        f"- [Guide for agents]({base_url}/agents.md): everything needed to use this server with one key",
        f"- [How to get in]({base_url}/auth.md): where keys come from, and what to do when one is refused",
        f"- [Prompt]({base_url}/agents/prompt): what a person pastes into an agent",
        "",
        "## Reference",
        "",
        f"- [OpenAPI as JSON]({base_url}/openapi.json)",
        f"- [OpenAPI as YAML]({base_url}/openapi.yaml)",
        f"- [Interactive reference]({base_url}/docs)",
        "",
        "## Operations",
        "",
        *(f"- `{o.method} {written_path(o.path)}`: {o.summary}" for api in apis for o in api.operations),
    ]
    return "\n".join(lines) + "\n"


def guide(apis: Sequence[Api], base_url: str) -> str:
    """Return the guide for agents."""
    return _filled(
        "agents.md",
        base=base_url,
        endpoints="\n".join(_endpoints(apis)),
        errors="\n".join(_errors()),
        max_json=str(MAX_JSON_BYTES // 2**20),
    )


def admission(base_url: str) -> str:
    """Return how agents get in: where keys come from, and what to do when one is refused."""
    return _filled("auth.md", base=base_url, scopes=", ".join(f"`{scope}`" for scope in SCOPES))


def _filled(page: str, **said: str) -> str:
    text = (Path(__file__).parent / "pages" / page).read_text()
    return re.sub(r"<<(\w+)>>", lambda found: said[found[1]], text)


def _endpoints(apis: Sequence[Api]) -> Iterator[str]:
    for api in apis:
        for operation in api.operations:
            yield (
                f"| `{operation.method}` | `{written_path(operation.path)}` | {_body(operation)} | "
                f"{operation.scope or '–'} | {operation.summary} |"
            )


def _body(operation: Operation) -> str:
    if operation.form is not None:
        return " or ".join(operation.form)
    if operation.body is None:
        return "–"
    fields = operation.body.model_fields.items()
    return ", ".join(f"`{field.alias or name}`{'' if field.is_required() else '?'}" for name, field in fields)


def _errors() -> Iterator[str]:
    for code, status in STATUS.items():
        yield f"| `{code}` | {status} | {_WHAT_TO_DO[status]} |"
