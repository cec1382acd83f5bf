"""Guides for agents, made of the declarations: agents.md, skill.md, auth.md, the prompt, llms.txt and llms-full.txt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from adapters.catalogue import EXIT_CODES, STATUS
from adapters.discovery.capability import NAMESPACE
from adapters.discovery.openapi import written_path
from adapters.discovery.reference import reference
from adapters.operations import MAX_JSON_BYTES, Api
from adapters.verbs import Place, Verb, requests
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
        "evaluation and download over HTTP, as MCP tools and as commands, and Label Studio's own ML backend API.",
        "",
        "## Guides",
        "",
        f"- [Guide for agents]({base_url}/agents.md): everything needed to use this server with one key",
        f"- [The same as a skill]({base_url}/skill.md): with the name and the description that agents choose skills by",
        f"- [How to get in]({base_url}/auth.md): where keys come from, and what to do when one is refused",
        f"- [Prompt]({base_url}/agents/prompt): what a person pastes into an agent",
        f"- [Naftiko capability]({base_url}/naftiko/{NAMESPACE}.yml): Label Studio's ML backend operations, for an "
        "engine that serves them over REST and MCP",
        "",
        "## Reference",
        "",
        f"- [All in one text]({base_url}/llms-full.txt): the guides, and every operation with its parameters and types",
        f"- [OpenAPI as JSON]({base_url}/openapi.json)",
        f"- [OpenAPI as YAML]({base_url}/openapi.yaml)",
        f"- [Interactive reference]({base_url}/docs)",
        "",
        f"MCP over HTTP is at {base_url}/mcp. After each operation come its MCP tool and its command.",
        "",
        "## Operations",
        "",
        *map(_line, requests(apis)),
    ]
    return "\n".join(lines) + "\n"


def guide(apis: Sequence[Api], base_url: str) -> str:
    """Return the guide for agents."""
    return _filled(
        "agents.md",
        base=base_url,
        prompt="\n".join(f"> {line}" for line in prompt(base_url).splitlines()),
        operations="\n".join(map(_row, requests(apis))),
        errors="\n".join(_errors()),
        max_json=str(MAX_JSON_BYTES // 2**20),
    )


def skill(apis: Sequence[Api], base_url: str) -> str:
    """Return the guide as agents keep it on their side: with what tells them when to read it."""
    return _filled("skill.md", base=base_url) + "\n" + guide(apis, base_url)


def admission(base_url: str) -> str:
    """Return how agents get in: where keys come from, and what to do when one is refused."""
    return _filled("auth.md", base=base_url, scopes=", ".join(f"`{scope}`" for scope in SCOPES))


def everything(apis: Sequence[Api], base_url: str) -> str:
    """Return all that there is to read, in one text: the guides and the reference."""
    return "\n".join([guide(apis, base_url), admission(base_url), "# Reference", "", reference(apis, base_url)])


def _filled(page: str, **said: str) -> str:
    text = (Path(__file__).parent / "pages" / page).read_text()
    return re.sub(r"<<(\w+)>>", lambda found: said[found[1]], text)


def _row(verb: Verb) -> str:
    scope = ", ".join(f"`{each}`" for each in verb.operation.scope.split())
    cells = [f"`{verb.operation.method}`", f"`{written_path(verb.operation.path)}`", _body(verb), scope]
    cells += [f"`{name}`" if name else "" for name in (verb.tool, verb.command)]
    return f"| {' | '.join(cell or '–' for cell in cells)} | {verb.summary} |"


def _body(verb: Verb) -> str:
    taken = {each.name: each.is_required for each in verb.arguments if each.place is Place.BODY}
    for each in verb.arguments:
        if each.place is Place.WHOLE_BODY:
            taken |= {name: name in each.schema.get("required", []) for name in each.schema["properties"]}
    fields = ", ".join(f"`{name}`{'' if is_required else '?'}" for name, is_required in taken.items())
    return f"a form with files, or {fields}" if "multipart/form-data" in (verb.operation.form or {}) else fields


def _line(verb: Verb) -> str:
    names = [f"tool `{verb.tool}`"] * bool(verb.tool) + [f"command `tandem {verb.command}`"] * bool(verb.command)
    said = f"- `{verb.operation.method} {written_path(verb.operation.path)}`: {verb.summary}"
    return f"{said} ({', '.join(names)})" if names else said


def _errors() -> Iterator[str]:
    for code, status in STATUS.items():
        yield f"| `{code}` | {status} | {EXIT_CODES[code]} | {_WHAT_TO_DO[status]} |"
