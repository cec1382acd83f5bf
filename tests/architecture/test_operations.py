"""That the operations are those of the parity table, and that those who declare them leave storage alone."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from adapters.discovery.openapi import written_path
from adapters.mcp.tools import GUIDE, make_tools
from adapters.operations import Effect
from adapters.web import SPOKEN

ROOT = Path(__file__).parents[2]
OPERATIONS = [operation for api in SPOKEN for operation in api.operations]
DIALECTS = sorted(
    path
    for folder in ("mcp", "mlp", "formats", "discovery", "label_studio/backends")
    for path in (ROOT / "adapters" / folder).rglob("*.py")
)
FORBIDDEN = ("backend.storage", "rq", "redis", "sqlalchemy")
PARITY = [
    (1, "GET /me", "get-me", "whoami"),
    (2, "GET /capabilities", "get-capabilities", "capabilities"),
    (3, "GET /usage", "get-usage", "usage"),
    (4, "GET /workspaces", "list-workspaces", "workspaces list"),
    (4, "POST /workspaces", "create-workspace", "workspaces create"),
    (5, "POST /workspaces/{}/members", "add-workspace-member", "workspaces add-member"),
    (5, "DELETE /workspaces/{}/members/{}", "remove-workspace-member", "workspaces remove-member"),
    (6, "GET /keys", "list-keys", "keys list"),
    (6, "DELETE /keys/{}", "revoke-key", "keys revoke"),
    (7, "POST /keys", "", "keys create"),
    (8, "GET /projects", "list-projects", "projects list"),
    (9, "POST /projects", "create-project", "projects create"),
    (10, "GET /projects/{}", "get-project", "projects show"),
    (11, "PATCH /projects/{}", "update-project", "projects update"),
    (11, "DELETE /projects/{}", "delete-project", "projects delete"),
    (12, "POST /projects/{}/images", "upload-images", "images upload"),
    (13, "GET /projects/{}/images", "list-images", "images list"),
    (13, "GET /images/{}", "get-image", "images show"),
    (14, "GET /images/{}/file", "view-image", "images download"),
    (15, "PATCH /images/{}", "update-image", "images update"),
    (15, "DELETE /images/{}", "delete-image", "images delete"),
    (16, "PUT /projects/{}/splits", "set-splits", "splits set"),
    (17, "POST /projects/{}/labelsets", "create-label-set", "labelsets create"),
    (18, "GET /projects/{}/labelsets", "list-label-sets", "labelsets list"),
    (18, "GET /label-sets/{}", "get-label-set", "labelsets show"),
    (19, "PATCH /label-sets/{}", "update-label-set", "labelsets update"),
    (19, "DELETE /label-sets/{}", "delete-label-set", "labelsets delete"),
    (20, "GET /label-sets/{}/images/{}/annotations", "get-annotations", "labels show"),
    (20, "PUT /label-sets/{}/images/{}/annotations", "set-annotations", "labels set"),
    (20, "DELETE /label-sets/{}/images/{}/annotations", "clear-annotations", "labels clear"),
    (21, "POST /label-sets/{}/annotations/import", "import-annotations", "labels import"),
    (22, "GET /label-sets/{}/annotations/export", "export-annotations", "labels export"),
    (23, "POST /label-sets/{}/training", "create-training", "training create"),
    (24, "GET /training/{}/validation", "validate-training", "training check"),
    (25, "POST /training/{}/start", "start-training", "training start"),
    (26, "GET /training/{}", "get-training", "training show"),
    (26, "GET /training/{}/log", "", "training logs"),
    (27, "GET /label-sets/{}/training", "list-trainings", "training list"),
    (28, "POST /training/{}/cancel", "cancel-training", "training cancel"),
    (28, "DELETE /training/{}", "delete-training", "training delete"),
    (29, "GET /training/{}/download", "", "models download"),
    (29, "GET /training/{}/download-link", "get-model-download", "models link"),
    (31, "POST /training/{}/infer/{}", "infer-image", "infer"),
    (32, "POST /training/{}/infer-all", "infer-all", "infer-all"),
    (33, "GET /training/{}/infer-all/results", "get-batch-results", "infer-all results"),
    (34, "POST /training/{}/evaluate", "evaluate-model", "evaluate"),
    (35, "GET /training/{}/evaluate/results", "get-evaluation", "evaluate results"),
    *(
        (row, f"{method} {root}{path}", tool, command)
        for row, method, path, tool, command in (
            (36, "GET", "", "list-ml-backends", "backends list"),
            (36, "POST", "", "add-ml-backend", "backends add"),
            (36, "GET", "/{}", "get-ml-backend", "backends show"),
            (36, "DELETE", "/{}", "remove-ml-backend", "backends remove"),
            (36, "PATCH", "/{}", "update-ml-backend", "backends update"),
            (37, "POST", "/{}/interactive-annotating", "request-interactive-annotation", "backends interactive"),
            (38, "POST", "/{}/predict", "create-predictions-all-tasks", "backends predict"),
            (39, "POST", "/{}/train", "train", "backends train"),
            (40, "GET", "/{}/versions", "get-model-versions", "backends versions"),
        )
        for root in ("/api/ml", "/v1/api/ml")
    ),
]
"""Rows 1–40 of agent-surface.md §9. 30 is a field of 19, 67 are the documents below, and the tool of 29 tells
an address where its route sends bytes."""
COMMANDLESS = {"try_ml_backend"}
"""Looks at what goes over the wire between this server and a backend; nothing comes of it."""
DOCUMENTS = ("/agents.md", "/llms.txt", "/auth.md")


def route(method: str, path: str) -> str:
    return method + " " + re.sub(r"{\w+}", "{}", written_path(path))


@pytest.mark.parametrize(("row", "said", "tool", "command"), PARITY, ids=[f"{row}-{said}" for row, said, *_ in PARITY])
def test_a_row_of_the_parity_table_is_an_operation(row: int, said: str, tool: str, command: str) -> None:
    """S-001: its route exists, and it names its tool and its command."""
    by_route = {route(each.method, path): each for each in OPERATIONS for path in (each.path, *each.aliases)}

    assert said in by_route
    assert (by_route[said].tool, by_route[said].command) == (tool, command)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_is_a_tool_and_a_command_or_says_why_not(operation) -> None:
    """S-001: whatever is declared is in all three."""
    assert bool(operation.tool) is not bool(operation.toolless)
    assert bool(operation.command) is (operation.name not in COMMANDLESS)


def test_each_tool_that_an_operation_names_is_listed() -> None:
    """S-001: and no other, but for the guide (row 67)."""
    named = [name for each in OPERATIONS for name in (each.tool, *(part.tool for part in each.shortcuts)) if name]

    assert sorted(tool.name for tool in make_tools(SPOKEN, is_proxy=False)) == sorted([*named, GUIDE])


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_document_of_the_parity_table_is_there(client, path: str) -> None:
    """S-001, row 67."""
    assert client.get(path).status_code == 200


def test_names_of_operations_tools_and_commands_are_unique() -> None:
    for names in zip(*((each.name, each.tool, each.command) for each in OPERATIONS), strict=True):
        assert [name for name, count in Counter(filter(None, names)).items() if count > 1] == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_what_an_operation_does_fits_its_method(operation) -> None:
    """S-020: tools are described by their effect."""
    by_method = {
        "GET": {Effect.READ},
        "DELETE": {Effect.DELETE},
        "PATCH": {Effect.UPDATE},
        "PUT": {Effect.UPDATE, Effect.DELETE},
        "POST": set(Effect),
    }

    assert operation.effect in by_method[operation.method]
    assert operation.status != 204 or operation.answer is None
    assert re.fullmatch(r"([a-z]+(-[a-z]+)*)?", operation.tool)


@pytest.mark.parametrize("path", DIALECTS, ids=lambda path: str(path.relative_to(ROOT / "adapters")))
def test_a_dialect_touches_neither_the_database_nor_the_queue(path: Path) -> None:
    """S-003."""
    touched = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                touched |= {name.name for name in names}
            case ast.ImportFrom(module=module):
                touched.add(module or "")
            case ast.Attribute(value=ast.Name("services") | ast.Attribute(attr="services"), attr="database" | "queue"):
                touched.add("backend.storage")

    assert [name for name in touched if f"{name}.".startswith(tuple(f"{one}." for one in FORBIDDEN))] == []
