"""tickforge completion: what a shell needs to complete commands, options and ids."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tickforge_client.commands.common import CommonOptions, pass_common, print_json

PROGRAM, VARIABLE = "tickforge", "_TICKFORGE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@pass_common
@click.pass_context
def completion(context: click.Context, common: CommonOptions, shell: str) -> None:
    """Print a script that completes commands, options and ids of jobs in SHELL.

    \b
    bash: tickforge completion bash > ~/.local/share/bash-completion/completions/tickforge
    zsh:  tickforge completion zsh > ~/.zfunc/_tickforge    (a folder of $fpath)
    fish: tickforge completion fish > ~/.config/fish/completions/tickforge.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click has these shells"
    script = kind(context.find_root().command, {}, PROGRAM, VARIABLE).source().strip()
    if common.json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
