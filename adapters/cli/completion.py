"""What a shell needs to complete our commands: `tandem completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    r"""Print what makes a shell complete commands, options and their values.

    \b
    bash: tandem completion bash > ~/.local/share/bash-completion/completions/tandem
    zsh:  tandem completion zsh > "${fpath[1]}/_tandem"
    fish: tandem completion fish > ~/.config/fish/completions/tandem.fish
    """
    found = get_completion_class(shell)
    assert found is not None, "click knows these three"
    click.echo(found(context.find_root().command, {}, "tandem", "_TANDEM_COMPLETE").source())
