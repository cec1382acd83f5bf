"""That the tools are those of the parity table, and that they describe themselves truly."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from adapters.mcp.schemas import AUTHORIZATION, IDEMPOTENCY_KEY
from adapters.mcp.tools import GUIDE, NINE, Tool, make_tools, select, usable
from adapters.operations import Effect
from adapters.verbs import verbs
from adapters.web import SPOKEN

TOOLS = make_tools(SPOKEN, is_proxy=False)
BY_NAME = {tool.name: tool for tool in TOOLS}
VERBS = {verb.tool: verb for verb in verbs(SPOKEN) if verb.tool}

# Row by row, agent-surface.md §9: 1–40 and 67, which are all that there is so far.
CORE = set(
    re.findall(
        r"\S+",
        """
get-me get-capabilities get-usage list-workspaces create-workspace add-workspace-member remove-workspace-member
list-keys revoke-key list-projects create-project get-project update-project delete-project upload-images list-images
get-image view-image update-image delete-image set-splits create-label-set list-label-sets get-label-set
update-label-set delete-label-set get-annotations set-annotations clear-annotations import-annotations
export-annotations create-training validate-training start-training get-training list-trainings cancel-training
delete-training get-model-download promote-model infer-image infer-all get-batch-results evaluate-model get-evaluation
list-ml-backends add-ml-backend get-ml-backend remove-ml-backend update-ml-backend request-interactive-annotation
create-predictions-all-tasks train get-model-versions get-agent-guide
    """,
    )
)
BEYOND = {"get-workspace", "list-project-trainings", "update-training"}
"""Operations that the table does not name."""

READS = re.compile(r"(get|list|view|validate|export|poll)-")
DESTROYS = re.compile(r"(delete|remove|cancel|revoke|clear)-")
CHANGES = re.compile(r"(set|update|edit|promote)-")
ADDS = re.compile(r"(create|start|fund|infer|evaluate|upload|import|add|submit|request)-|train$")
REPEATABLE = {"upload-images", "start-training", "infer-image", "add-workspace-member"}
"""Adding tools that are the same done twice: §6, and those that say so of a thing that is there already."""

HINTS = {  # naftiko.md §3: read only, destructive, idempotent
    "list-ml-backends": (True, False, True),
    "add-ml-backend": (False, False, False),
    "get-ml-backend": (True, False, True),
    "remove-ml-backend": (False, True, True),
    "update-ml-backend": (False, False, True),
    "request-interactive-annotation": (False, False, False),
    "create-predictions-all-tasks": (False, False, False),
    "train": (False, False, False),
    "get-model-versions": (True, False, True),
}
SEED = {
    "list-ml-backends": "List ML backends",
    "add-ml-backend": "Add ML Backend",
    "get-ml-backend": "Get ML Backend",
    "remove-ml-backend": "Remove ML Backend",
    "update-ml-backend": "Update ML Backend",
    "request-interactive-annotation": "Request Interactive Annotation",
    "create-predictions-all-tasks": "Create predictions for all tasks",
    "train": "Train",
    "get-model-versions": "Get model versions",
}

each_tool = pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)


def hints(tool: Tool) -> tuple[bool, bool, bool]:
    return (
        tool.annotations["readOnlyHint"],
        tool.annotations["destructiveHint"],
        tool.annotations["idempotentHint"],
    )


def test_the_tools_of_the_parity_table_are_there() -> None:
    """S-001: and no others than those of operations that it does not name; `mint key` (row 7) has none."""
    assert set(BY_NAME) == CORE | BEYOND
    assert len(TOOLS) == len(BY_NAME)


def test_the_nine_come_first_and_the_rest_by_name() -> None:
    """N-017."""
    names = list(BY_NAME)

    assert tuple(names[:9]) == NINE == tuple(HINTS)
    assert names[9:] == sorted(names[9:])


@pytest.mark.parametrize("name", NINE)
def test_the_nine_are_described_as_in_the_capability(name: str) -> None:
    """N-017: hints, the words that the description begins with, and what they take."""
    tool = BY_NAME[name]

    assert hints(tool) == HINTS[name]
    assert tool.annotations["openWorldHint"] is False
    assert tool.description.startswith(SEED[name])
    assert set(tool.input_schema["properties"]) - {AUTHORIZATION, IDEMPOTENCY_KEY} == {
        "list-ml-backends": {"project", "is_interactive"},
        "add-ml-backend": {"body"},
        "update-ml-backend": {"id", "body"},
        "request-interactive-annotation": {"id", "body"},
        "create-predictions-all-tasks": {"id", "batch_size"},
        "train": {"id", "body"},
    }.get(name, {"id"})


def test_the_nine_reach_out_when_label_studio_answers_them() -> None:
    proxied = {tool.name: tool for tool in make_tools(SPOKEN, is_proxy=True)}

    assert all(proxied[name].annotations["openWorldHint"] for name in NINE)
    assert proxied["get-ml-backend"].output_schema == {"type": "object"}
    assert proxied["get-me"].annotations["openWorldHint"] is False


@each_tool
def test_annotations_follow_the_rule_of_the_table(tool: Tool) -> None:
    """S-020: by name, where the capability does not fix them."""
    if tool.name in NINE:
        return
    if READS.match(tool.name):
        expected = (True, False, True)
    elif DESTROYS.match(tool.name) or tool.name == "set-annotations":
        expected = (False, True, True)
    elif CHANGES.match(tool.name):
        expected = (False, False, True)
    else:
        assert ADDS.match(tool.name)
        is_repeatable = tool.name in REPEATABLE
        expected = (False, tool.name == "import-annotations", is_repeatable)

    assert hints(tool) == expected
    assert tool.annotations["openWorldHint"] is (tool.name == "upload-images")
    assert set(tool.annotations) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}


@each_tool
def test_a_tool_is_destructive_if_its_operation_deletes_or_replaces(tool: Tool) -> None:
    """S-020."""
    if tool.name != GUIDE:
        operation = VERBS[tool.name].operation
        assert tool.annotations["destructiveHint"] is (operation.effect is Effect.DELETE)
        assert tool.annotations["readOnlyHint"] is (operation.method == "GET")


@each_tool
def test_schemas_are_objects_and_valid_by_themselves(tool: Tool) -> None:
    """N-017: an object goes in, an object comes out."""
    for schema in (tool.input_schema, tool.output_schema):
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert references(schema) <= {f"#/$defs/{name}" for name in schema.get("$defs", {})}
    assert AUTHORIZATION not in tool.input_schema.get("required", ())
    assert "description" in tool.input_schema["properties"][AUTHORIZATION]


@each_tool
def test_a_description_has_an_example_that_the_schema_accepts(tool: Tool) -> None:
    said, _, example = tool.description.rpartition("\n\nExample: ")

    assert len(said) > 10
    Draft202012Validator(tool.input_schema).validate(json.loads(example))


@each_tool
def test_creating_tools_take_an_idempotency_key(tool: Tool) -> None:
    is_post = tool.name != GUIDE and VERBS[tool.name].operation.method == "POST"

    assert (IDEMPOTENCY_KEY in tool.input_schema["properties"]) is is_post


def test_what_costs_tokens_says_so() -> None:
    assert "spends at least 1 token" in BY_NAME["start-training"].description


def test_the_nine_are_in_every_selection_and_of_every_key() -> None:
    """S-019: even where their group is not, or the key may not."""
    assert list(select(TOOLS, ["ops"])) == list(NINE)
    assert [tool.name for tool in usable(TOOLS, [])][:9] == list(NINE)


def references(schema: Any) -> set[str]:
    match schema:
        case {"$ref": str(reference), **rest}:
            return {reference} | references(rest)
        case dict():
            return {found for inner in schema.values() for found in references(inner)}
        case list():
            return {found for inner in schema for found in references(inner)}
    return set()
