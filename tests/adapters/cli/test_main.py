"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import Result

from adapters.catalogue import EXIT_CODES, code_of
from adapters.cli import remote
from adapters.cli.main import Lazy, main
from backend.errors import Conflict, Denied, Invalid, LimitExceeded, NotFound, TandemError, Unavailable


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        real = command.real if isinstance(command, Lazy) else command
        if isinstance(real, click.Group):
            yield from commands(real, (*path, name))


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


def test_starting_a_server_waits_for_no_declarations() -> None:
    code = (
        "import sys\n"
        "from adapters.cli.main import main\n"
        "for said in (['--version'], ['up', '--help']):\n"
        "    try: main(said)\n"
        "    except SystemExit: pass\n"
        "print(sorted({'adapters.operations', 'flask', 'sqlalchemy', 'requests'} & set(sys.modules)))"
    )

    said = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout.splitlines()[-1] == "[]"


def test_everything_that_is_declared_is_in_the_overview(tandem: Callable[..., Result]) -> None:
    overview = tandem("--help").output

    assert {words.split()[0] for words in remote.commands()} <= set(main.commands)
    assert all(f"\n  {name} " in overview for name in main.commands)
    for title in ("Run a server:", "Use a server, from anywhere:", "Look after it:"):
        assert title in overview


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (Invalid("x"), 1),
        (Denied("x"), 3),
        (NotFound("x"), 4),
        (Conflict("x", code="schema"), 5),
        (LimitExceeded("x", retry_after_s=1), 6),
        (LimitExceeded("x"), 1),
        (Unavailable("x"), 1),
        (Unavailable("x", code="prediction_timeout"), 8),
    ],
)
def test_failures_on_this_machine_have_the_exit_codes_of_others(error: TandemError, exit_code: int) -> None:
    assert EXIT_CODES[code_of(error)] == exit_code


def test_a_failure_is_one_sentence(tandem: Callable[..., Result]) -> None:
    said = tandem("status")

    assert said.exit_code == 5
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
