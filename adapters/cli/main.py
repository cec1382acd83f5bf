"""The command `tandem`: its parts by name, and how a failure reads."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import click

from adapters.catalogue import EXIT_CODES, code_of
from adapters.cli.answers import Failure
from backend.errors import TandemError

_SERVER = "made of the declarations"
_BOTH = "and what the declarations say"
_SECTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Run a server": {
        "up": ("Start Tandem: web, workers, and a private Redis.", "up:up"),
        "connect": ("Say how to connect Label Studio to it.", "connect:connect"),
        "status": ("Show the projects of Label Studio, and what answers them.", "projects:status"),
        "doctor": ("Check the machine, the settings and Label Studio.", "doctor:doctor"),
        "web": ("Serve HTTP, and nothing else.", "processes:web"),
        "worker": ("Run one kind of background process.", "processes:worker"),
        "migrate": ("Bring the database to the schema of this release.", "processes:migrate"),
    },
    "Use a server, from anywhere": {
        "auth": ("Log in to a server, and out: begin here.", "auth:auth"),
        "whoami": ("Tell who you are there.", _SERVER),
        "capabilities": ("Tell what can be trained, and the limits.", _SERVER),
        "usage": ("Tell what trainings took from a workspace's tokens.", _SERVER),
        "projects": ("Make projects, list, show, change and delete them.", _SERVER),
        "images": ("Upload images, list and show them, put them into splits.", _SERVER),
        "splits": ("Put a project's images into train, val and test.", _SERVER),
        "labelsets": ("Say what is asked about the images of a project.", _SERVER),
        "labels": ("Label images; import and export labels in the usual formats.", _SERVER),
        "training": ("Describe trainings, start and follow them.", _SERVER),
        "models": ("Download a model, let it answer; add models that you have.", "models:models", _BOTH),
        "evaluate": ("Measure a model on labelled images.", _SERVER),
        "infer": ("Ask what a model finds in an image.", _SERVER),
        "infer-all": ("Let a model look at all images of a project.", _SERVER),
        "backends": ("Register ML backends as Label Studio does, and ask them.", _SERVER),
        "docs": ("Print the server's guide for agents.", "guide:docs"),
        "mcp": ("Offer a server's tools to an MCP client on this machine.", "mcp:mcp"),
    },
    "Look after it": {
        "users": ("Create the people who may have keys.", "users:users"),
        "keys": ("Make the keys that agents call a server with.", "keys:keys", _BOTH),
        "workspaces": ("Share projects among people; say what training may take.", "workspaces:workspaces", _BOTH),
        "weights": ("Bring pretrained weights to this machine.", "weights:weights"),
        "host": ("Serve a model written for Label Studio's SDK.", "host:host"),
        "new": ("Begin a model family of your own.", "new:new"),
        "completion": ("Let your shell complete these commands.", "completion:completion"),
    },
    "Projects of Label Studio on this machine": {
        "project": ("Change what a project does by itself.", "projects:project"),
        "train": ("Train on what people have labelled.", "projects:train"),
        "runs": ("Watch training runs, and cancel them.", "runs:runs"),
        "versions": ("List, promote, pin and compare versions.", "versions:versions"),
        "predict": ("Predict a project, or a file.", "predict:predict"),
        "predictions": ("Follow predictions in progress.", "predict:predictions"),
        "next": ("Say what to label next.", "review:next_"),
        "errors": ("List annotations that are likely wrong.", "review:errors"),
    },
}


class Lazy(click.Command):
    """Stands for a command that is loaded when it is used: then everything else need not be.

    Args:
        name: Of the command.
        summary: What an overview says.
        load: Returns the command.
    """

    def __init__(self, name: str, summary: str, load: Callable[[], click.Command]) -> None:
        super().__init__(name, help=summary, short_help=summary)
        self._load = load

    @cached_property
    def real(self) -> click.Command:
        """The command."""
        return self._load()

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """See `click.Command`."""
        return self.real.make_context(info_name, args, parent, **extra)


class _Tandem(click.Group):
    """Has its commands in sections; shows the sentence of an error that a caller can understand, and no traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See `click.Group`."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Group`."""
        width = max(map(len, self.commands))
        for title, names in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), summary) for name, (summary, *_) in names.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """See `click.Group`."""
        try:
            return super().invoke(ctx)
        except TandemError as error:
            raise Failure(error.message, EXIT_CODES[code_of(error)]) from error


@click.group(cls=_Tandem, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tandem-ml", prog_name="tandem")
def main() -> None:
    """An ML backend for Label Studio: it predicts, learns from your labels, and keeps every version.

    To begin: `tandem up` starts a server on this machine, which says what to paste into Label Studio. To use a server
    from a terminal or a script: `tandem auth login`, then `tandem projects list`; --json answers with JSON.

    Settings are environment variables; see the README.
    """


def _load(name: str, summary: str, *where: str) -> click.Command:
    """Return a command: one of our modules, or what the declarations say, or both."""
    local = None
    if where[0] != _SERVER:
        module, _, attribute = where[0].partition(":")
        found = getattr(importlib.import_module(f"adapters.cli.{module}"), attribute)
        assert isinstance(found, click.Command)
        if _BOTH not in where:
            return found
        assert isinstance(found, click.Group)
        local = found
    from adapters.cli.generated import group_of

    return group_of(name, (local.help if local else None) or summary, local)


for _names in _SECTIONS.values():
    for _name, _entry in _names.items():
        main.add_command(Lazy(_name, _entry[0], partial(_load, _name, *_entry)))


if __name__ == "__main__":
    main(prog_name="tandem")
