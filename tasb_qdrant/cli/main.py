"""The program: its commands, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from tasb_qdrant.cli.logs import with_verbosity
from tasb_qdrant.errors import TasbQdrantError

DONE: Final = 0
NAMED_ERROR: Final = 1
USAGE: Final = 2
INCOMPLETE: Final = 3
INTERRUPTED: Final = 130

# Command -> module and function. A command's module is imported when it is wanted: --help stays quick.
_COMMANDS: Final = {
    "ingest": ("tasb_qdrant.cli.ingest", "ingest_command"),
    "search": ("tasb_qdrant.cli.search", "search_command"),
    "collection": ("tasb_qdrant.cli.collection", "collection_group"),
    "demo": ("tasb_qdrant.cli.demo", "demo_command"),
    "doctor": ("tasb_qdrant.cli.doctor", "doctor_command"),
    "completion": ("tasb_qdrant.cli.completion", "completion_command"),
}


class Program(click.Group):
    """The group of commands; turns every outcome into an exit code and at most one message."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module now."""
        if cmd_name not in _COMMANDS:
            return None
        module, function = _COMMANDS[cmd_name]
        command = getattr(import_module(module), function)
        return with_verbosity(command) if isinstance(command, click.Command) else None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run, and exit: 0 done, 1 a named error, 2 usage, 3 done with rejects, 130 interrupted."""
        try:
            code = super().main(args, prog_name or "tasb-qdrant", complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):  # click makes the one of the other
            click.echo("Interrupted.", err=True)
            sys.exit(INTERRUPTED)
        except TasbQdrantError as error:
            click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
            sys.exit(NAMED_ERROR)
        except BrokenPipeError:
            # The reader of our output has left (`| head`). Python would complain once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(DONE)
        sys.exit(code if isinstance(code, int) else DONE)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tasb-qdrant", prog_name="tasb-qdrant")
def main() -> None:
    """Put passages into Qdrant with the TAS-B encoder, and search them.

    \b
    Try it:      tasb-qdrant demo
    Your own:    tasb-qdrant ingest passages.jsonl --collection mine
                 tasb-qdrant search "a question" --collection mine
    """


with_verbosity(main)


if __name__ == "__main__":
    main()
