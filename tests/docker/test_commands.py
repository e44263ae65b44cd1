"""Every command line in the container files is one that the program understands."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.docker.reading import interpolated, readme_commands, services, stages


def _command_lines() -> list[list[str]]:
    """What follows `tasb-qdrant` in compose.yaml, the README and the images' health check."""
    built = {name: service for name, service in services("compose.yaml").items() if "build" in service}
    lines = [
        [interpolated(word, {}) for word in service["command"]] for service in built.values() if "command" in service
    ]
    for command in readme_commands():
        if command[:2] == ["docker", "run"]:
            image = next(index for index, word in enumerate(command) if word.startswith("tasb-qdrant:"))
            lines.append(command[image + 1 :])
        elif command[:2] == ["docker", "compose"] and "run" in command:
            service = next(index for index, word in enumerate(command) if word in built)
            lines.append(command[service + 1 :])
    return [line for line in lines if line]


def _understood(line: list[str], volumes: Path) -> None:
    """Parse down to the last subcommand without running anything; a usage error is raised."""
    from tasb_qdrant.cli.main import main

    words = [str(volumes / word.removeprefix("/")) if word.startswith(("/corpus", "/data")) else word for word in line]
    command: click.Command = main
    context = click.Context(main, info_name="tasb-qdrant")
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
        else:
            command.make_context(name, words, parent=context)


def test_the_files_hold_the_commands_that_a_person_starts_with() -> None:
    assert {line[0] for line in _command_lines()} >= {"ingest", "search", "collection", "doctor"}


@pytest.mark.parametrize("line", _command_lines(), ids=" ".join)
def test_the_program_understands_the_command(line: list[str], tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "data").mkdir()
    _understood(line, tmp_path)


def test_a_misspelt_option_would_be_noticed(tmp_path: Path) -> None:
    with pytest.raises(click.NoSuchOption):
        _understood(["search", "a question", "--collection", "c", "--limitt", "3"], tmp_path)


def test_the_health_check_and_the_default_command_are_answered(capsys: pytest.CaptureFixture[str]) -> None:
    from tasb_qdrant.cli.main import main

    assert '"--version"' in stages()["cpu"].last("HEALTHCHECK")
    assert stages()["cpu"].last("CMD") == '["--help"]'
    for option in ("--version", "--help"):
        with pytest.raises(click.exceptions.Exit) as ended:
            main.make_context("tasb-qdrant", [option])
        assert ended.value.exit_code == 0
    assert "tasb-qdrant" in capsys.readouterr().out
