"""Options that nobody typed: from the environment, or from a settings file. What is typed goes first, then the
environment, then the file."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from tasb_qdrant.cli.said import said

if TYPE_CHECKING:
    from tasb_qdrant.settings.file import SettingsFile

_log = logging.getLogger(__name__)

_RANK: Final = {ParameterSource.COMMANDLINE: 3, ParameterSource.ENVIRONMENT: 2, ParameterSource.DEFAULT_MAP: 1}
_FILE: Final = "tasb_qdrant.settings_file"


def read_file(context: click.Context) -> SettingsFile:
    """The settings file of the working folder, read once for each command line. Raises SettingsError."""
    from tasb_qdrant.settings.file import find_settings

    if _FILE not in context.meta:
        context.meta[_FILE] = find_settings()
    found: SettingsFile = context.meta[_FILE]
    return found


def give_defaults(context: click.Context, name: str, command: click.Command) -> None:
    """Let the command `name` of `context`, and the commands below it, have the file's values as their defaults."""
    from tasb_qdrant.settings.file import OF_SEARCH

    values = {
        key: value for key, value in read_file(context).values.items() if name == "search" or key not in OF_SEARCH
    }
    context.default_map = {name: _defaults(context, command, values)}


def _defaults(context: click.Context, command: click.Command, values: dict[str, Any]) -> dict[str, Any]:
    """The values, and under the name of each command in a group the same for that."""
    if not isinstance(command, click.Group):
        return values
    below = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {**values, **{name: _defaults(context, each, values) for name, each in below.items() if each is not None}}


def remember(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """A callback: where the value comes from, unless it was typed, so that an error about it can say so."""
    name = str(parameter.name)
    source = context.get_parameter_source(name)
    if value is not None and source in (ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP):
        said().origins[name] = (str(value), origin(context, parameter))
    return value


def origin(context: click.Context, parameter: click.Parameter) -> str:
    """The variable or the file that a parameter's value comes from; "" for what was typed, and for defaults."""
    match context.get_parameter_source(str(parameter.name)):
        case ParameterSource.ENVIRONMENT:
            return f"${parameter.envvar}"
        case ParameterSource.DEFAULT_MAP:
            return str(read_file(context).file)
    return ""


def log_defaults() -> None:
    """Tell `-v` which values of the settings file are used. After all options are read, as that is one of them."""
    context = click.get_current_context(silent=True)
    if context is None:
        return
    used = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.DEFAULT_MAP]
    if used:
        keys = ", ".join(name.replace("_", "-") for name in used)
        _log.info("From %s: %s.", read_file(context).file, keys)


def nearer(values: dict[str, Any], one: str, other: str) -> dict[str, Any]:
    """The values without that of two options that exclude each other which comes from farther away: a --path that was
    typed goes before the $QDRANT_URL of the environment. Both stay if they come from the same place."""
    context = click.get_current_context(silent=True)
    if context is None or values[one] is None or values[other] is None:
        return values
    ranks = {name: _RANK.get(context.get_parameter_source(name) or ParameterSource.DEFAULT, 0) for name in (one, other)}
    if ranks[one] == ranks[other]:
        return values
    return {**values, min(ranks, key=lambda name: ranks[name]): None}


def without_defaults(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """The values without those of these options that nobody typed."""
    context = click.get_current_context(silent=True)
    if context is None:
        return values
    typed = {name for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    return {name: None if name in names and name not in typed else value for name, value in values.items()}
