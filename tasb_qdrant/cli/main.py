"""The program: its commands, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import StringIO
from typing import Any, Final, NoReturn

import click

from tasb_qdrant.cli.defaults import give_defaults, origin
from tasb_qdrant.cli.failures import DONE, INCOMPLETE, INTERRUPTED, NAMED_ERROR, USAGE, answer, show
from tasb_qdrant.cli.logs import with_verbosity
from tasb_qdrant.cli.said import Said, form_of
from tasb_qdrant.cli.screen import encode_anything, print_traceback, say
from tasb_qdrant.errors import TasbQdrantError

__all__ = ["DONE", "INCOMPLETE", "INTERRUPTED", "NAMED_ERROR", "USAGE", "main"]

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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, with the defaults of the settings file. While completing, a bad file is passed over."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None:
            with suppress(*([TasbQdrantError] if ctx.resilient_parsing else [])):
                give_defaults(ctx, name, command)
        return name, command, rest

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run, and exit with a code of cli/failures.py."""
        said = Said(form_of(sys.argv[1:] if args is None else args))
        encode_anything()
        try:
            extra = {**extra, "obj": said}
            code = super().main(args, prog_name or "tasb-qdrant", complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except click.ClickException as error:
            error = _located(error)
            shown = StringIO()
            error.show(file=shown)
            say(shown.getvalue().rstrip(), err=True)
            is_usage = isinstance(error, click.UsageError)
            answer(said, kind="usage" if is_usage else "input", message=error.format_message())
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):  # click makes the one of the other
            say("Interrupted.", err=True)
            answer(said, kind="interrupted", message="Interrupted.")
            sys.exit(INTERRUPTED)
        except TasbQdrantError as error:
            sys.exit(show(error, said))
        except BrokenPipeError:
            # The reader of our output has left (`| head`). Python would complain once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(DONE)
        except Exception as error:
            answer(said, kind="internal", message=f"{type(error).__name__}: {error}")
            sys.excepthook = print_traceback
            raise
        sys.exit(code if isinstance(code, int) else DONE)


def _located(error: click.ClickException) -> click.ClickException:
    """The same, and where a value that can't be right comes from, unless it was typed."""
    if not isinstance(error, click.BadParameter) or error.ctx is None or error.param is None:
        return error
    where = origin(error.ctx, error.param)
    message = f"{error.message} (it comes from {where})" if where else error.message
    return click.BadParameter(message, error.ctx, error.param, error.param_hint) if where else error


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
