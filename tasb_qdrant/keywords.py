"""Options that several functions take, said once: a TypedDict to type checkers and editors, a flat signature and a
docstring that explains each of them to everybody who asks at runtime.

    class StoreOptions(TypedDict, total=False):
        url: str | None
        \"""The server.\"""

    @expanded_signature(StoreSettings)
    def open_collection(name: str, **options: Unpack[StoreOptions]) -> Collection: ...
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ForwardRef, TypeVar, cast

if TYPE_CHECKING:
    from pydantic import SecretStr

C = TypeVar("C", bound=Callable[..., Any])
K = TypeVar("K")


def chosen(kind: type[K], options: Mapping[str, object]) -> K:
    """Those of the options that `kind`, a TypedDict, names."""
    names: frozenset[str] = kind.__optional_keys__  # type: ignore[attr-defined]  # TypedDicts have no common type
    return cast("K", {name: options[name] for name in names if name in options})


def hidden(key: str | SecretStr | None) -> SecretStr | None:
    """The API key as it is kept: who reports errors with the local variables of every frame must not see it."""
    from pydantic import SecretStr  # which takes longer than all that this package imports at first

    return SecretStr(key) if isinstance(key, str) else key


def _hide(given: dict[str, Any]) -> None:
    if isinstance(given.get("api_key"), str):
        given["api_key"] = hidden(given["api_key"])


def expanded_signature(*owners: Callable[..., Any], **defaults: object) -> Callable[[C], C]:
    """Give a function with `**options: Unpack[SomeTypedDict]` the signature of one that names every option, and a
    docstring that ends with what each of them means.

    `help`, IPython and `inspect` show both. Defaults are those given here, else those of the `owners`: functions,
    dataclasses or pydantic models with parameters or fields of the same names. An option without a default is a
    TypeError when the module is imported; an unknown name is one when the function is called, as with any function.
    """
    for owner in owners:
        defaults = _defaults(owner) | defaults

    def decorate(function: C) -> C:
        own = inspect.signature(function)
        *named, rest = own.parameters.values()
        taken = {each.name for each in named}
        kind = _dictionary(function, rest)
        options = {name: type_ for name, type_ in _annotations(kind).items() if name not in taken}
        if missing := options.keys() - defaults.keys():
            raise TypeError(f"{function.__qualname__}: there is no default for {', '.join(sorted(missing))}")
        expanded = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=type_)
            for name, type_ in options.items()
        ]
        allowed = taken | options.keys()

        def check(given: Mapping[str, object]) -> None:
            if not given.keys() <= allowed:
                unknown = next(name for name in given if name not in allowed)
                raise TypeError(f"{function.__qualname__}() got an unexpected keyword argument {unknown!r}")

        @wraps(function)
        def checked(*args: Any, **given: Any) -> Any:
            _hide(given)
            check(given)
            return function(*args, **given)

        @wraps(function)
        async def checked_async(*args: Any, **given: Any) -> Any:
            _hide(given)
            check(given)
            return await function(*args, **given)

        result: Any = checked_async if inspect.iscoroutinefunction(function) else checked
        result.__signature__ = own.replace(parameters=[*named, *expanded])
        result.__doc__ = _with_options(function, {name: option_docs(kind).get(name, "") for name in options})
        return cast("C", result)

    return decorate


def option_docs(kind: type[Any]) -> Mapping[str, str]:
    """Name -> meaning of each option of a TypedDict, in one line: the string below it in its class, or in a base.

    Empty where the source isn't at hand, as in a frozen program.
    """
    module = sys.modules[kind.__module__]
    definition = _classes(kind.__module__).get(kind.__name__)
    if definition is None:
        return {}
    found: dict[str, str] = {}
    for base in definition.bases:
        if isinstance(base, ast.Name) and hasattr(named := getattr(module, base.id, None), "__optional_keys__"):
            found |= option_docs(cast("type[Any]", named))
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """The classes of a module by name, as its source says them: nothing keeps the strings below fields at runtime."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:
        return {}
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _with_options(function: Callable[..., Any], meanings: Mapping[str, str]) -> str | None:
    """The function's docstring and its options, as `help` shows them. With -OO there are no docstrings."""
    if sys.flags.optimize > 1:
        return function.__doc__
    own = inspect.cleandoc(function.__doc__ or "")
    lines = [f"    {name}: {meaning}" for name, meaning in meanings.items() if meaning]
    return "\n".join([*([own, ""] if own else []), "Options:", *lines]) if lines else own or None


def _dictionary(function: Callable[..., Any], rest: inspect.Parameter) -> type[Any]:
    """The TypedDict `Name` of `**options: Unpack[Name]`."""
    name = str(rest.annotation).removeprefix("Unpack[").removesuffix("]")
    kind = function.__globals__.get(name)
    if rest.kind is not inspect.Parameter.VAR_KEYWORD or not hasattr(kind, "__optional_keys__"):
        raise TypeError(f"{function.__qualname__} must end with **options: Unpack[...] of a TypedDict of its module")
    return cast("type[Any]", kind)


def _annotations(kind: type[Any]) -> dict[str, object]:
    """Name -> annotation of each option."""
    found: Mapping[str, object] = kind.__annotations__
    return {name: one.__forward_arg__ if isinstance(one, ForwardRef) else one for name, one in found.items()}


def _defaults(owner: Callable[..., Any]) -> dict[str, object]:
    """Name -> default of each parameter or field that has one."""
    if model_fields := getattr(owner, "model_fields", None):
        return {name: each.get_default() for name, each in model_fields.items() if not each.is_required()}
    return {each.name: each.default for each in inspect.signature(owner).parameters.values() if _has_default(each)}


def _has_default(parameter: inspect.Parameter) -> bool:
    return parameter.default is not inspect.Parameter.empty
