"""Commands that are made of the declarations."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import Result
from reachable import ReachableServer

from adapters.catalogue import EXIT_CODES, STATUS
from adapters.cli.generated import command_of, find
from adapters.cli.remote import commands
from adapters.cli.special import WHERE
from adapters.verbs import Verb, verbs
from adapters.web import SPOKEN

Tandem = Callable[..., Result]
ALL = sorted({*commands(), *WHERE})


def told(said: Result) -> Any:
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


@pytest.fixture
def project(tandem: Tandem, logged_in: ReachableServer) -> str:
    """The id of a project called demo."""
    return str(told(tandem("projects", "create", "--name", "demo", "--json"))["id"])


@pytest.fixture
def label_set(tandem: Tandem, project: str) -> str:
    """The id of one called demo/pets."""
    made = tandem(
        "labelsets", "create", project, "--name", "pets", "--task-type", "classification",
        "--label", "cat", "--label", '{"name": "dog", "color": "#ff8800"}', "--json",
    )  # fmt: skip
    return str(told(made)["id"])


@pytest.mark.parametrize("words", ALL)
def test_every_command_of_the_declarations_has_help(tandem: Tandem, logged_in: ReachableServer, words: str) -> None:
    """S-001, as far as it is about the command line."""
    said = tandem(*words.split(), "--help")

    assert said.exit_code == 0, said.output
    assert f"Usage: tandem {words} " in said.output


@pytest.mark.parametrize("verb", [verb for verb in verbs(SPOKEN) if verb.command], ids=lambda verb: verb.command)
def test_every_verb_comes_to_a_command(verb: Verb) -> None:
    made = command_of(verb)

    names = [option for parameter in made.params for option in parameter.opts + parameter.secondary_opts]
    assert len(names) == len(set(names))
    assert {"--json", "--server"} <= set(names)


def test_what_is_for_people_only_is_absent(tandem: Tandem) -> None:
    """S-001: rows whose command is a dash."""
    assert tandem("approvals", "confirm", "--help").exit_code == 2
    assert tandem("approvals", "decline", "--help").exit_code == 2


def test_json_is_what_the_server_answered(tandem: Tandem, logged_in: ReachableServer, project: str) -> None:
    """S-002, for one answer."""
    [listed] = told(tandem("projects", "list", "--json"))["items"]

    assert listed["id"] == project
    assert told(tandem("projects", "show", project, "--json"))["id"] == project


def test_things_may_be_called_by_their_names(tandem: Tandem, project: str, label_set: str) -> None:
    shown = told(tandem("labelsets", "show", "demo/pets", "--json"))
    images = tandem("images", "list", "demo", "--label-set", "pets", "--no-labeled", "--json")

    assert shown["id"] == label_set
    assert [label["name"] for label in shown["labels"]] == ["cat", "dog"]
    assert shown["labels"][1]["color"] == "#ff8800"
    assert told(images)["items"] == []


def test_people_see_tables_and_values(tandem: Tandem, project: str) -> None:
    table, values = tandem("projects", "list").stdout, tandem("projects", "show", "demo").stdout

    assert project in table
    assert "demo" in table
    assert dict(line.split(maxsplit=1) for line in values.splitlines() if line.startswith(("Id ", "Name "))) == {
        "Id": project,
        "Name": "demo",
    }


def test_what_leaves_nothing_behind_is_confirmed(tandem: Tandem, project: str) -> None:
    said = tandem("projects", "delete", "demo")

    assert said.output == f"deleted {project}\n"
    assert told(tandem("projects", "list", "--json"))["items"] == []


def test_json_of_nothing_is_null(tandem: Tandem, project: str) -> None:
    assert told(tandem("projects", "delete", project, "--json")) is None


def test_only_what_was_said_is_changed(tandem: Tandem, project: str) -> None:
    tandem("projects", "update", project, "--description", "of cats")

    after = told(tandem("projects", "update", project, "--name", "cats", "--json"))

    assert (after["name"], after["description"]) == ("cats", "of cats")


def test_inner_fields_are_options_of_their_own(tandem: Tandem, label_set: str) -> None:
    made = told(
        tandem(
            "training", "create", "demo/pets", "--name", "one", "--config", '{"epochs": 9, "seed": 7}',
            "--config.epochs", "3", "--no-config.pretrained", "--json",
        )
    )  # fmt: skip

    assert {name: made["config"][name] for name in ("epochs", "seed", "pretrained")} == {
        "epochs": 3,
        "seed": 7,
        "pretrained": False,
    }


def test_what_is_needed_is_a_mistake_of_usage_where_it_is_missing(tandem: Tandem, logged_in: ReachableServer) -> None:
    for words, missing in ((("projects", "create"), "--name"), (("projects", "show"), "PROJECT")):
        said = tandem(*words)
        assert said.exit_code == 2
        assert missing in said.stderr


def test_json_may_be_in_a_file(tandem: Tandem, label_set: str, tmp_path: Any) -> None:
    (tmp_path / "config.json").write_text('{"epochs": 4}')

    made = tandem("training", "create", label_set, "--config", f"@{tmp_path / 'config.json'}", "--json")

    assert told(made)["config"]["epochs"] == 4


@pytest.mark.parametrize(
    ("written", "problem"),
    [("{epochs: 3}", "It is not JSON"), ("@nowhere.json", "nowhere.json cannot be read: No such file or directory")],
)
def test_what_is_no_json_is_a_mistake_of_usage(tandem: Tandem, label_set: str, written: str, problem: str) -> None:
    said = tandem("training", "create", label_set, "--config", written)

    assert said.exit_code == 2
    assert problem in said.output


def test_the_word_null_is_nothing(tandem: Tandem, label_set: str) -> None:
    after = told(tandem("labelsets", "update", "demo/pets", "--active-training", "null", "--json"))

    assert after["activeTrainingId"] is None


def test_all_pages_are_one(tandem: Tandem, logged_in: ReachableServer) -> None:
    """S-012, for the command line."""
    for number in range(3):
        tandem("projects", "create", "--name", str(number))

    first = tandem("projects", "list", "--limit", "2")
    page = told(tandem("projects", "list", "--limit", "2", "--json"))
    whole = told(tandem("projects", "list", "--limit", "2", "--all", "--json"))

    assert f"--cursor {page['nextCursor']}, or --all" in first.stderr
    assert [each["name"] for each in whole["items"]] == ["2", "1", "0"]
    assert (whole["nextCursor"], whole["hasMore"]) == (None, False)


def test_what_is_repeated_with_the_same_key_is_done_once(tandem: Tandem, logged_in: ReachableServer) -> None:
    """S-011, for the command line."""
    once, again = (tandem("projects", "create", "--name", "cats", "--idempotency-key", "k", "--json") for _ in range(2))

    assert told(once) == told(again)


def test_a_refusal_is_a_sentence_with_the_request_that_it_was(tandem: Tandem, logged_in: ReachableServer) -> None:
    """S-004 and S-005, for the command line."""
    said = tandem("training", "start", "trn_01jd3z6t9q4m8w2v5x7b1c0n3k")

    assert said.exit_code == 4
    assert said.stdout == ""
    assert said.stderr.startswith("Error: There is no such training.\n  (NOT_FOUND, request 0")


def test_for_programs_a_refusal_is_json(tandem: Tandem, label_set: str) -> None:
    """S-004, for the command line: the code, and its exit code."""
    training = told(tandem("training", "create", label_set, "--json"))["id"]

    said = tandem("training", "start", training, "--json")

    error = json.loads(said.stdout)
    assert (error["ok"], error["error"]["code"], error["status"]) == (False, "LABELS_INSUFFICIENT", 422)
    assert error["requestId"]
    assert (said.exit_code, said.stderr) == (1, "")


@pytest.mark.parametrize(
    ("command", "code", "exit_code"),
    [
        ("models promote demo/pets --active-training TRAINING", "MODEL_NOT_READY", 5),
        ("projects create --name cats --workspace ws_01jd3z6t9q4m8w2v5x7b1c0n3k", "NOT_FOUND", 4),
        ("keys create --name more", "HUMAN_REQUIRED", 3),
        ("labelsets create demo --name pets --task-type classification --label cat", "CONFLICT", 5),
    ],
)
def test_failures_have_exit_codes(tandem: Tandem, label_set: str, command: str, code: str, exit_code: int) -> None:
    """S-004, for the command line."""
    training = told(tandem("training", "create", label_set, "--json"))["id"]

    said = tandem(*shlex.split(command.replace("TRAINING", training)), "--json")

    assert (json.loads(said.stdout)["error"]["code"], said.exit_code) == (code, exit_code)


@pytest.mark.parametrize("code", STATUS)
def test_every_code_has_an_exit_code(code: str) -> None:
    """S-004: the column of agent-surface.md §8."""
    special = {
        **dict.fromkeys(("UNAUTHENTICATED", "API_KEY_INVALID", "INSUFFICIENT_SCOPE", "FORBIDDEN", "HUMAN_REQUIRED"), 3),
        **dict.fromkeys(("NOT_FOUND", "RESULTS_NOT_FOUND"), 4),
        "METHOD_NOT_ALLOWED": 2,
        **dict.fromkeys(("TOKENS_EXHAUSTED", "CONFLICT", "INVALID_STATE", "MODEL_NOT_READY", "FORMAT_UNAVAILABLE"), 5),
        **dict.fromkeys(("KEY_LIMIT_REACHED", "IDEMPOTENCY_IN_PROGRESS"), 5),
        "RATE_LIMITED": 6,
        "INFERENCE_TIMEOUT": 8,
    }

    assert EXIT_CODES[code] == special.get(code, 1)


def test_nobody_who_is_logged_in_is_told_how_to_be(tandem: Tandem) -> None:
    said = tandem("projects", "list")

    assert said.exit_code == 3
    assert "tandem auth login" in said.stderr


def test_no_failure_shows_the_key(tandem: Tandem, reachable: ReachableServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """S-015."""
    key = reachable.mint("ann@example.com")
    monkeypatch.setenv("TANDEM_API_KEY", key)
    outputs = [tandem(*words, "--server", server).output
               for server in (reachable.url, "http://127.0.0.1:1")
               for words in (("projects", "show", "x"), ("whoami",), ("auth", "status"))]  # fmt: skip

    assert [output for output in outputs if key in output or key[9:] in output] == []


def test_where_a_word_alone_is_a_command_others_are_below_it(tandem: Tandem, logged_in: ReachableServer) -> None:
    alone, below = (
        tandem(*words, "trn_01jd3z6t9q4m8w2v5x7b1c0n3k") for words in (("evaluate",), ("evaluate", "results"))
    )
    overview = tandem("evaluate", "--help").output

    assert [said.exit_code for said in (alone, below)] == [4, 4]
    assert "tandem evaluate results --help" in overview


def test_commands_say_how_they_are_asked_for_otherwise(tandem: Tandem) -> None:
    said = tandem("projects", "create", "--help").output

    assert "Example: tandem projects create --name 'Street scenes'" in said
    assert "Over HTTP: POST /projects, as a tool: create-project" in said


def test_what_answers_no_json_has_a_command_written_by_hand() -> None:
    assert {words for words, verb in commands().items() if verb.operation.media_type != "application/json"} <= set(
        WHERE
    )


def test_what_takes_the_place_of_a_generated_command_is_a_command() -> None:
    assert all(isinstance(find(words), click.Command) for words in WHERE)
