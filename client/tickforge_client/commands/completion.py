"""tickforge completion: what a shell needs to complete commands, options and ids."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM, VARIABLE = "tickforge", "_TICKFORGE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands, options and ids of jobs in SHELL.

    \b
    bash: tickforge completion bash > ~/.local/share/bash-completion/completions/tickforge
    zsh:  tickforge completion zsh > ~/.zfunc/_tickforge    (a folder of $fpath)
    fish: tickforge completion fish > ~/.config/fish/completions/tickforge.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click has these shells"
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())
