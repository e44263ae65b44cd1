"""`tasb-qdrant completion`: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(*, shell: str) -> int:
    """Print the completion script for SHELL.

    \b
    Examples:
      tasb-qdrant completion bash >> ~/.bashrc
      tasb-qdrant completion zsh >> ~/.zshrc
      tasb-qdrant completion fish > ~/.config/fish/completions/tasb-qdrant.fish
    """
    from tasb_qdrant.cli.main import main
    from tasb_qdrant.cli.screen import say

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    say(kind(main, {}, "tasb-qdrant", "_TASB_QDRANT_COMPLETE").source())
    return 0
