"""docs/api.md, made from the docstrings: `python -m tests.docs.reference` writes it anew."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, Final

from tasb_qdrant import errors
from tasb_qdrant.ingest.options import IngestOptions
from tasb_qdrant.keywords import option_docs
from tasb_qdrant.search.options import SearchOptions
from tests.docs.pages import ROOT

PAGE: Final = ROOT / "docs" / "api.md"
PUBLIC: Final[dict[str, tuple[str, ...]]] = {
    "tasb_qdrant": (),
    "tasb_qdrant.search": ("Hits",),
    "tasb_qdrant.ingest": ("plan_sync", "SyncPlan", "RejectedLines"),
    "tasb_qdrant.filters": (
        *("field", "fields", "Indexed", "GeoPoint", "Filter", "all_of", "any_of", "at_least"),
        *("parse_filter", "format_filter", "as_filter", "check_filter", "indexes_of", "validate_payload"),
    ),
    "tasb_qdrant.collection.protocol": ("Collection", "OpenCollection", "Store"),
    "tasb_qdrant.encoder": ("load_cross_encoder", "CrossEncoder", "TokenBatch"),
    "tasb_qdrant.records": ("HitGroup", "FacetCount", "ModelContract", "Reject"),
    "tasb_qdrant.settings": ("Bm25Settings", "StoreSettings", "store_settings"),
    "tasb_qdrant.sources": ("TextOptions", "open_sources", "open_records", "SourceReader"),
}
"""What the page documents, by the module that people import it from; () is all of its `__all__`."""
SPELLED_OUT: Final[dict[str, type[Any]]] = {"ingest": IngestOptions, "Searcher.search": SearchOptions}
"""Whose options stand in the signature for editors; the others' are in their docstrings (`expanded_signature`)."""
MADE_BY_OURS: Final = {"CrossEncoder", "SourceReader"}
"""Classes that only functions here make."""
OPTIONS: Final = "Options:\n"
AWAITED: Final = re.compile(r"`Searcher\.\w+`, ")
"""Begins what is said of a method with the parameters of another."""


INTRODUCTION: Final = """\
Made from the docstrings by `make api`; `help(...)` shows the same. How the parts go together is in [searching from
Python](search.md), [filters](filters.md) and [architecture](architecture.md). Every error is a subclass of
`TasbQdrantError`; [the last section](#errors) lists them."""


def page() -> str:
    """All of docs/api.md."""
    parts = [
        "# API reference",
        INTRODUCTION,
    ]
    for module, names in public().items():
        parts.append(f"## {module}")
        for name, value in names.items():
            parts += _documented(name, value)
    parts += ["## Errors", *_error_table()]
    return "\n\n".join(parts) + "\n"


def public() -> dict[str, dict[str, Any]]:
    """Module -> name -> what it is, in the order of the page."""
    modules = {module: import_module(module) for module in PUBLIC}
    return {
        module: {name: getattr(modules[module], name) for name in names or modules[module].__all__}
        for module, names in PUBLIC.items()
    }


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every function and method of the page, by its name; of classes, what makes them as well."""
    for names in public().values():
        for name, value in names.items():
            if not inspect.isclass(value):
                yield name, value
                continue
            yield name, value
            for method, function in _members(value):
                if callable(function):
                    yield f"{name}.{method}", function


def option_meanings(name: str, function: Callable[..., Any]) -> dict[str, str]:
    """What each option means, as it is said once, in the TypedDict of the function's options."""
    if name in SPELLED_OUT:
        return dict(option_docs(SPELLED_OUT[name]))
    listed = (inspect.getdoc(_with_signature(function)) or "").partition(OPTIONS)[2]
    return dict(re.findall(r"^    (\w+): (.+)$", listed, re.MULTILINE))


def _documented(name: str, value: Any) -> Iterator[str]:
    yield f"### {name}"
    if not inspect.isclass(value):
        yield from _function(name, value)
        return
    if makes_itself(value):
        yield _block(signature(name, value))
    yield _prose(value)
    meanings = option_meanings(name, value)
    if meanings:
        yield _table(value, meanings)
    fields = _fields(value)
    if fields:
        yield "\n".join(["| field | type | default |", "|---|---|---|", *fields])
    for method, function in _members(value):
        own = (inspect.getdoc(function) or "").partition(OPTIONS)[0]
        if isinstance(function, property) or AWAITED.match(own):
            yield f"**`{name}.{method}`**: {' '.join(own.split())}"
        else:
            yield f"#### {name}.{method}"
            yield from _function(f"{name}.{method}", function)


def _function(name: str, function: Callable[..., Any]) -> Iterator[str]:
    yield _block(signature(name, function))
    yield _prose(function)
    meanings = option_meanings(name, function)
    if meanings:
        yield _table(function, meanings)


def signature(name: str, function: Callable[..., Any]) -> str:
    """The call, on one line if it fits and else a parameter a line."""
    parameters = [each for each in inspect.signature(function).parameters.values() if each.name not in ("self", "cls")]
    returns = "" if inspect.isclass(function) else f" -> {_type(inspect.signature(function).return_annotation)}"
    shown = [*_with_star(parameters)]
    line = f"{name}({', '.join(shown)}){returns}"
    if len(line) <= 100:
        return line
    return "\n".join([f"{name}(", *(f"    {each}," for each in shown), f"){returns}"])


def _with_star(parameters: list[inspect.Parameter]) -> Iterator[str]:
    keyword = False
    for each in parameters:
        if each.kind is each.KEYWORD_ONLY and not keyword:
            keyword = True
            yield "*"
        keyword |= each.kind is each.VAR_POSITIONAL
        star = "*" if each.kind is each.VAR_POSITIONAL else ""
        kind = "" if each.annotation is each.empty else f": {_type(each.annotation)}"
        default = "" if each.default is each.empty else f" = {_default(each.default)}"
        yield f"{star}{each.name}{kind}{default}"


def _type(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    return (
        getattr(annotation, "__name__", "") if inspect.isclass(annotation) else str(annotation).replace("typing.", "")
    )


def _default(value: Any) -> str:
    text = repr(value)
    return "..." if " at 0x" in text or text.startswith("<") else text


def _block(code: str) -> str:
    return f"```py\n{code}\n```"


def _prose(value: Any) -> str:
    text = (inspect.getdoc(value) or "").partition(OPTIONS)[0].strip()
    # What is indented by four is code, and a code block says which language it is.
    return re.sub(r"(?m)(?:^    .*\n?)+", lambda found: f"```py\n{inspect.cleandoc(found[0])}\n```\n", text).strip()


def _one_line(value: Any) -> str:
    return " ".join((inspect.getdoc(value) or "").split())


def _table(function: Callable[..., Any], meanings: dict[str, str]) -> str:
    names = [name for name in inspect.signature(function).parameters if name in meanings]
    rows = [f"| `{name}` | {_cell(meanings[name])} |" for name in names]
    return "\n".join(["| option | means |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _members(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class, or a base of ours, defines."""
    seen = set()
    for base in kind.__mro__:
        if not base.__module__.startswith("tasb_qdrant") or (base is not kind and base in _documented_classes()):
            continue
        for name, value in vars(base).items():
            plain = value.__func__ if isinstance(value, staticmethod | classmethod) else value
            if (
                not name.startswith("_")
                and name not in seen
                and (inspect.isfunction(plain) or isinstance(plain, property))
            ):
                seen.add(name)
                yield name, plain


@cache
def _documented_classes() -> frozenset[type[Any]]:
    """Classes with a place of their own, where a subclass needn't repeat them."""
    return frozenset(each for names in public().values() for each in names.values() if inspect.isclass(each))


def _fields(kind: type[Any]) -> list[str]:
    rows = []
    if dataclasses.is_dataclass(kind):
        for each in dataclasses.fields(kind):
            if each.name.startswith("_"):
                continue
            if each.default_factory is not dataclasses.MISSING:
                default = f"`{each.default_factory()!r}`"
            else:
                default = "" if each.default is dataclasses.MISSING else f"`{each.default!r}`"
            rows.append(f"| `{each.name}` | `{_cell(_type(each.type))}` | {_cell(default)} |")
    for name, info in getattr(kind, "model_fields", {}).items():
        default = "" if info.is_required() else f"`{info.get_default(call_default_factory=True)!r}`"
        written = str(kind.__annotations__.get(name, info.annotation))
        rows.append(f"| `{name}` | `{_cell(written)}` | {_cell(default)} |")
    return rows


def makes_itself(kind: type[Any]) -> bool:
    """Whether people call the class. Of a protocol or a base they get instances; fields have a table."""
    if kind.__name__ in MADE_BY_OURS or "__init__" not in vars(kind) or getattr(kind, "_is_protocol", False):
        return False
    return not dataclasses.is_dataclass(kind) and not hasattr(kind, "model_fields")


def _with_signature(value: Any) -> Any:
    return value.__init__ if inspect.isclass(value) else value


def _error_table() -> Iterator[str]:
    kinds = [each for each in vars(errors).values() if inspect.isclass(each) and each.__module__ == errors.__name__]
    rows = [f"| `{kind.__name__}` | `{kind.__bases__[0].__name__}` | {_cell(_one_line(kind))} |" for kind in kinds]
    yield "From `tasb_qdrant.errors`. The values in a message are attributes of the error."
    yield "\n".join(["| error | is a | means |", "|---|---|---|", *rows])


if __name__ == "__main__":
    PAGE.write_text(page())
