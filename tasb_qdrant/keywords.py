"""Options that several functions take, said once: a TypedDict to type checkers and editors, a flat signature to
everybody who asks at runtime.

    class StoreOptions(TypedDict, total=False):
        url: str | None
        \"""The server.\"""

    @expanded_signature(StoreSettings)
    def open_collection(name: str, **options: Unpack[StoreOptions]) -> Collection: ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ForwardRef, TypeVar, cast

C = TypeVar("C", bound=Callable[..., Any])
K = TypeVar("K")


def chosen(kind: type[K], options: Mapping[str, object]) -> K:
    """Those of the options that `kind`, a TypedDict, names."""
    names: frozenset[str] = kind.__optional_keys__  # type: ignore[attr-defined]  # TypedDicts have no common type
    return cast("K", {name: options[name] for name in names if name in options})


def expanded_signature(*owners: Callable[..., Any], **defaults: object) -> Callable[[C], C]:
    """Give a function with `**options: Unpack[SomeTypedDict]` the signature of one that names every option.

    `help`, IPython and `inspect` show it. Defaults are those given here, else those of the `owners`: functions,
    dataclasses or pydantic models with parameters or fields of the same names. An option without a default is a
    TypeError when the module is imported; an unknown name is one when the function is called, as with any function.
    """
    for owner in owners:
        defaults = _defaults(owner) | defaults

    def decorate(function: C) -> C:
        own = inspect.signature(function)
        *named, rest = own.parameters.values()
        taken = {each.name for each in named}
        options = {name: kind for name, kind in _options(function, rest).items() if name not in taken}
        if missing := options.keys() - defaults.keys():
            raise TypeError(f"{function.__qualname__}: there is no default for {', '.join(sorted(missing))}")
        expanded = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=kind)
            for name, kind in options.items()
        ]
        allowed = taken | options.keys()

        def check(given: Mapping[str, object]) -> None:
            if not given.keys() <= allowed:
                unknown = next(name for name in given if name not in allowed)
                raise TypeError(f"{function.__qualname__}() got an unexpected keyword argument {unknown!r}")

        @wraps(function)
        def checked(*args: Any, **given: Any) -> Any:
            check(given)
            return function(*args, **given)

        @wraps(function)
        async def checked_async(*args: Any, **given: Any) -> Any:
            check(given)
            return await function(*args, **given)

        result: Any = checked_async if inspect.iscoroutinefunction(function) else checked
        result.__signature__ = own.replace(parameters=[*named, *expanded])
        return cast("C", result)

    return decorate


def _options(function: Callable[..., Any], rest: inspect.Parameter) -> dict[str, object]:
    """Name -> annotation of each option of `**options: Unpack[Name]`."""
    name = str(rest.annotation).removeprefix("Unpack[").removesuffix("]")
    kind = function.__globals__.get(name)
    if rest.kind is not inspect.Parameter.VAR_KEYWORD or not hasattr(kind, "__optional_keys__"):
        raise TypeError(f"{function.__qualname__} must end with **options: Unpack[...] of a TypedDict of its module")
    found: Mapping[str, object] = kind.__annotations__
    return {name: one.__forward_arg__ if isinstance(one, ForwardRef) else one for name, one in found.items()}


def _defaults(owner: Callable[..., Any]) -> dict[str, object]:
    """Name -> default of each parameter or field that has one."""
    if model_fields := getattr(owner, "model_fields", None):
        return {name: each.get_default() for name, each in model_fields.items() if not each.is_required()}
    return {each.name: each.default for each in inspect.signature(owner).parameters.values() if _has_default(each)}


def _has_default(parameter: inspect.Parameter) -> bool:
    return parameter.default is not inspect.Parameter.empty
