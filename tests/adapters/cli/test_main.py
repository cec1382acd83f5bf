"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import Result

from adapters.cli.main import main


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", [path for path, _ in commands()], ids=" ".join)
def test_every_command_explains_itself(tandem: Callable[..., Result], path: tuple[str, ...]) -> None:
    said = tandem(*path, "--help")

    assert said.exit_code == 0
    assert f"Usage: tandem {' '.join(path)}" in said.output
    assert dict(commands())[path].get_short_help_str()


def test_help_loads_nothing_that_takes_long() -> None:
    code = (
        "import sys; sys.argv = ['tandem', '--help']\n"
        "from adapters.cli.main import main\n"
        "try: main()\n"
        "finally: print(sorted({'sqlalchemy', 'rq', 'redis', 'flask', 'numpy', 'torch'} & set(sys.modules)))"
    )

    said = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout.splitlines()[-1] == "[]"


def test_a_failure_is_one_sentence(tandem: Callable[..., Result]) -> None:
    said = tandem("status")

    assert said.exit_code == 1
    assert said.output == "Error: the database is empty; `tandem up` or `tandem migrate` sets it up\n"


def test_a_wrong_setting_is_named_as_it_is_set(tandem: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "ninety")
    monkeypatch.setenv("TANDEM_TRAIN_EVERY", "-1")

    said = tandem("migrate")

    assert said.exit_code == 1
    assert "PORT: Input should be a valid integer" in said.output
    assert "TANDEM_TRAIN_EVERY: Input should be greater than or equal to 0" in said.output


def test_migrating_again_changes_nothing(tandem: Callable[..., Result]) -> None:
    assert tandem("migrate").exit_code == 0
    assert tandem("migrate").exit_code == 0

    assert "no project has connected yet" in tandem("status").output.lower()
