"""What a test needs: a Qdrant server, a model's weights. Found by looking, and held to while it runs.

What starts a server or gives weights is decorated with `@needs("server")` or `@needs("model")`. A test that names
it, or whose fixtures or helpers in this folder name it, gets the marker of that name when tests are collected, so
that `make quick` leaves it out. What looking can't find (a fixture asked for by a string, a name in a table) fails
at the decorated function, which says which marker to write.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar

if TYPE_CHECKING:
    import pytest  # not at run time: processes that tests start import what is decorated

P = ParamSpec("P")
R = TypeVar("R")

_OURS: Final = __name__.split(".")[0]
_NEEDS: Final = "_tests_need"
_Cached: Final = type(functools.cache(len))

_running: list[pytest.Item] = []


def needs(kind: Literal["server", "model"]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates what starts a server or gives a model's weights."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for item in _running:
                if item.get_closest_marker(kind) is None:
                    raise AssertionError(f"{item.nodeid} needs a {kind}: mark it with @pytest.mark.{kind}")
            return function(*args, **kwargs)

        setattr(checked, _NEEDS, kind)
        return checked

    return decorate


@contextmanager
def running(item: pytest.Item) -> Iterator[None]:
    """While the test runs, it may use what it is marked with."""
    _running.append(item)
    try:
        yield
    finally:
        _running.pop()


def needed_by(functions: list[Any]) -> set[str]:
    """What the functions need, or any of our functions and classes that they name, or those name in turn."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting = list(functions)
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if (kind := getattr(each, _NEEDS, None)) is not None:
            found.add(kind)
        else:
            waiting += _named_by(each)
    return found


@functools.cache
def _named_by(each: Any) -> tuple[Any, ...]:
    if isinstance(each, (classmethod, staticmethod)):
        return (each.__func__,)
    if isinstance(each, functools.cached_property):
        return (each.func,)
    if isinstance(each, property):
        return (each.fget,)
    if isinstance(each, _Cached):
        return (each.__wrapped__,)
    if not str(getattr(each, "__module__", "")).startswith(_OURS):
        return ()
    if isinstance(each, type):
        return tuple(_hashable(vars(each).values()))
    if not isinstance(each, FunctionType):
        return ()
    names = set(_names(each.__code__))
    values = [value for name, value in each.__globals__.items() if name in names]
    modules = [value for value in values if isinstance(value, ModuleType) and value.__name__.startswith(_OURS)]
    values += [vars(module)[name] for module in modules for name in names if name in vars(module)]
    # Of decorated functions, those within; Hypothesis keeps its own elsewhere.
    within = [getattr(each, "__wrapped__", None), getattr(getattr(each, "hypothesis", None), "inner_test", None)]
    return tuple(_hashable([*values, *within]))


def _hashable(values: Iterable[Any]) -> list[Any]:
    """Functions and classes are, and nothing else matters."""
    kinds = (FunctionType, type, classmethod, staticmethod, property, functools.cached_property, _Cached)
    return [value for value in values if isinstance(value, kinds)]


def _names(code: CodeType) -> Iterator[str]:
    """All that the code names, also in the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
