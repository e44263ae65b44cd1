"""What is public is documented: docs/api.md is what the docstrings say, and they say everything that can be set."""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import pkgutil
import re
from importlib import import_module
from typing import Any

import pytest

import tasb_qdrant
from tasb_qdrant import errors
from tasb_qdrant.keywords import option_docs
from tests.docs.reference import PAGE, callables, makes_itself, page, public, signature

CALLABLES = dict(callables())
CLASSES = {name: each for names in public().values() for name, each in names.items() if inspect.isclass(each)}
HARMLESS = {"format_filter"}
"""Functions that take any value of their type."""


def _documented(name: str) -> str:
    """What the docstring of a function says, or of a class with that of its `__init__`."""
    value: Any = CALLABLES[name]
    made = inspect.getdoc(value.__init__) if inspect.isclass(value) and "__init__" in vars(value) else ""
    return f"{inspect.getdoc(value) or ''}\n{made or ''}"


def test_the_page_is_what_the_docstrings_say() -> None:
    assert PAGE.read_text() == page(), "run make api"


@pytest.mark.parametrize("name", CALLABLES)
def test_everything_public_has_a_docstring(name: str) -> None:
    value = CALLABLES[name]
    assert inspect.getdoc(value), name
    if inspect.isclass(value):
        bare = [key for key, each in vars(value).items() if isinstance(each, property) and not each.__doc__]
        assert [key for key in bare if not key.startswith("_")] == []


@pytest.mark.parametrize("name", CALLABLES)
def test_a_docstring_names_every_option(name: str) -> None:
    value: Any = CALLABLES[name]
    if inspect.isclass(value) and not makes_itself(value):
        return
    options = [
        each.name
        for each in inspect.signature(CALLABLES[name]).parameters.values()
        if each.kind is each.KEYWORD_ONLY and not re.search(rf"\b{each.name}\b", _documented(name))
    ]
    assert options == []


@pytest.mark.parametrize("name", CLASSES)
def test_the_docstring_of_a_class_names_every_field(name: str) -> None:
    kind = CLASSES[name]
    fields = [each.name for each in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
    fields += getattr(kind, "model_fields", {})
    shown = [each for each in fields if not each.startswith("_")]
    assert [each for each in shown if not re.search(rf"\b{each}\b", _documented(name))] == []


@pytest.mark.parametrize("name", CALLABLES)
def test_a_docstring_says_what_is_raised(name: str) -> None:
    if inspect.isclass(CALLABLES[name]) or name in HARMLESS:
        return
    owner = CLASSES.get(name.partition(".")[0])
    if owner is None or name.partition(".")[0] in ("Searcher", "AsyncSearcher", "Collection", "Store", "Encoder"):
        said = _documented(name) + ("" if owner is None else str(inspect.getdoc(owner)))
        assert re.search(r"\b[Rr]aises?\b", said)


def test_the_errors_that_docstrings_name_are_there() -> None:
    named = {found for name in CALLABLES for found in re.findall(r"\b[A-Z]\w+Error\b", _documented(name))}
    assert named - vars(errors).keys() - vars(builtins).keys() == set()


def test_every_option_says_what_it_means() -> None:
    silent = []
    for module in pkgutil.walk_packages(tasb_qdrant.__path__, "tasb_qdrant."):
        if module.name.endswith("__main__") or ".forward." in module.name:
            continue
        for kind in vars(import_module(module.name)).values():
            if isinstance(kind, type) and kind.__module__ == module.name and kind.__name__.endswith("Options"):
                names: frozenset[str] = getattr(kind, "__optional_keys__", frozenset())
                silent += [f"{kind.__name__}.{each}" for each in sorted(names) if each not in option_docs(kind)]
    assert silent == []


def test_a_long_signature_stands_on_several_lines() -> None:
    def many(self: object, first: int, *, second: str = "2", third: float = 3.0) -> None: ...

    assert signature("many", many) == "many(first: int, *, second: str = '2', third: float = 3.0) -> None"
    assert signature("m" * 99, many).splitlines()[1:3] == ["    first: int,", "    *,"]
