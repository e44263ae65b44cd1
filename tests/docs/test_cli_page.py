"""docs/cli.md and the command line name the same commands and options."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from tasb_qdrant.cli.main import main
from tests.docs.pages import Page, all_pages

CLI = "docs/cli.md"
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
OTHERS = {
    "docs/performance.md",
    "docs/install.md",
    "docs/reliability.md",
    "docs/services.md",
    "docker/README.md",
    "CONTRIBUTING.md",
}
"""Pages that name options of other programs: pip's, docker's, uvicorn's, the benchmarks', the faults'."""
FOREIGN = {"--constraint", "--header", "--keep", "--force"} | {
    "--preload",
    "--workers",
    "--worker-class",
    "--config",
    "--pool",
}
"""Options of pip, curl and gzip, and of gunicorn, uvicorn and celery, in commands that pages show."""


def commands(group: click.Group = main, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Each command by its name, `collection list` included."""
    context = click.Context(group)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name}{each} ")
        else:
            yield f"{name}{each}", command


def options(command: click.Command) -> list[tuple[str, ...]]:
    """The spellings of each option; one of them is enough in the docs, as --no-normalize is of --normalize."""
    named = [(*each.opts, *each.secondary_opts) for each in command.params if isinstance(each, click.Option)]
    return [tuple(name for name in names if name.startswith("--")) for names in named]


COMMANDS = dict(commands())
KNOWN = {name for command in COMMANDS.values() for names in options(command) for name in names} | {
    "--help",
    "--version",
}


def shown_commands(page: Page) -> Iterator[tuple[int, str]]:
    """(line, command) of each call of the program in the page's blocks of shell."""
    for token in page.tokens:
        if token.type == "fence" and token.info == "sh" and token.map:
            for call in token.content.replace("\\\n", " ").splitlines():
                for part in re.split(r"[|;]|&&", re.sub(r"'[^']*'|\"[^\"]*\"", "", call)):
                    if (at := part.find("tasb-qdrant ")) >= 0:
                        yield token.map[0] + 1, part[at:].partition("#")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_on_the_page(name: str) -> None:
    written = set(OPTION.findall(Page.read(CLI).text))
    assert [names for names in options(COMMANDS[name]) if not written & set(names)] == []


def test_every_command_is_on_the_page() -> None:
    text = Page.read(CLI).text
    assert [name for name in COMMANDS if f"tasb-qdrant {name}" not in text and f"`{name}" not in text] == []


@pytest.mark.parametrize("path", [path for path in all_pages() if path not in OTHERS])
def test_every_option_on_a_page_is_one_that_there_is(path: str) -> None:
    assert sorted(set(OPTION.findall(Page.read(path).text)) - KNOWN - FOREIGN) == []


@pytest.mark.parametrize("path", [path for path in all_pages() if path not in OTHERS])
def test_a_shown_command_has_the_options_that_it_is_shown_with(path: str) -> None:
    wrong = []
    for line, call in shown_commands(Page.read(path)):
        name = next((each for each in COMMANDS if call.startswith(f"tasb-qdrant {each}")), "")
        known = {spelling for names in options(COMMANDS[name]) for spelling in names} if name else {"--version"}
        wrong += [
            f"{path}:{line}: {name} has no {each}" for each in OPTION.findall(call) if each not in known | {"--help"}
        ]
    assert wrong == []
