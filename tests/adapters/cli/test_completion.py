"""Completion in a shell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.shell_completion import ShellComplete
from click.testing import Result

from adapters.cli.main import main


def completed(*said: str) -> list[str]:
    shell = ShellComplete(main, {}, "tandem", "_TANDEM_COMPLETE")
    return [item.value for item in shell.get_completions(list(said[:-1]), said[-1])]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_shell_gets_what_makes_it_complete(tandem: Callable[..., Result], shell: str) -> None:
    said = tandem("completion", shell)

    assert said.exit_code == 0
    assert f"_TANDEM_COMPLETE={shell}_complete" in said.output


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("lab",), ["labelsets", "labels"]),
        (("projects", "sh"), ["show"]),
        (("images", "list", "demo", "--sp"), ["--split"]),
        (("images", "list", "demo", "--split", "t"), ["train", "test"]),
        (("infer-all", "r"), ["results"]),
        (("infer-all", "--sp"), ["--split"]),
        (("workspaces", "sh"), ["show"]),
    ],
)
def test_generated_commands_are_completed(home: object, said: tuple[str, ...], expected: list[str]) -> None:
    assert completed(*said) == expected
