"""The tree keeps its promises: imports point one way, importing is quick, and the public names are few."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import tasb_qdrant

PACKAGE = Path(tasb_qdrant.__file__).parent

# A package may import those of a lower level, and itself. The three in the middle never see each other.
LEVELS = {
    "errors": 0,
    "forks": 0,
    "records": 0,
    "cache": 0,
    "cores": 0,
    "keywords": 0,
    "steps": 0,
    "version": 0,
    "locks": 0,
    "printable": 0,
    "processes": 0,
    "settings": 0,
    "filters": 0,
    "sources": 1,
    "encoder": 1,
    "collection": 1,
    "ingest": 2,
    "search": 2,
    "manage": 2,
    "demo": 3,
    "doctor": 3,
    "evaluation": 3,
    "service": 3,
    "runs": 3,
    "cli": 4,
}
ENTRY_POINTS = {"__init__", "__main__"}


# Within a part: what the modules below the first never import, whatever the level of both.
ROOMS = {
    "collection.server": ["collection.edge"],
    "collection.edge": ["collection.server"],
    # Free of any store, and of what opens one.
    "collection.reads": ["collection.server", "collection.edge", "collection.open", "collection.protocol"],
    # Stages don't see each other's flow: the run joins them.
    **{
        f"ingest.{stage}": ["ingest.run", "ingest.pipeline", "ingest.verify"]
        for stage in ("source", "split", "read", "upload", "resume", "rejects")
    },
}


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    """`collection.open` for collection/open.py, `ingest` for ingest/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts if parts[-1] != "__init__" else parts[:-1])


NAMES: Final = {_name(path) for path in _modules()}


def _imported(path: Path) -> set[str]:
    """The modules of this package that a module imports, wherever in it it does so, also for its types alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: imports name their module from the top"
            # What is imported is a module itself, or is in the one that it is imported from.
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole.removeprefix("tasb_qdrant.") in NAMES else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.removeprefix("tasb_qdrant.") for name in found if name.startswith("tasb_qdrant.")}


def _circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module, by Tarjan's algorithm."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    circles: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        path.append(module)
        for other in imports.get(module, ()):
            if other not in number:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in path:
                lowest[module] = min(lowest[module], number[other])
        if lowest[module] == number[module]:
            circle = path[path.index(module) :]
            del path[-len(circle) :]
            if len(circle) > 1:
                circles.append(sorted(circle))

    for module in imports:
        if module not in number:
            visit(module)
    return circles


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    part = _part(path)
    if part in ENTRY_POINTS:
        return
    for imported in {name.split(".")[0] for name in _imported(path)}:
        allowed = imported == part or LEVELS[imported] < LEVELS[part] or LEVELS[part] == LEVELS[imported] == 0
        assert allowed, f"{path.name} imports {imported}"


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_do_not_see_what_they_must_not(room: str) -> None:
    inside = [path for path in _modules() if _is_in(_name(path), room)]
    assert inside, f"there is no {room}"
    assert all(any(_is_in(name, other) for name in NAMES) for other in ROOMS[room])
    for path in inside:
        for other in ROOMS[room]:
            seen = sorted(name for name in _imported(path) if _is_in(name, other))
            assert not seen, f"{_name(path)} imports {', '.join(seen)}"


def _is_in(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert _circles({_name(path): _imported(path) for path in _modules()}) == []


def test_circles_are_found_where_there_are_any() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a", "f"}, "g": set[str]()}
    assert sorted(_circles(imports)) == [["a", "b", "c"], ["d", "e"]]
    assert _circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_package_holds_no_assert_and_prints_only_in_the_cli(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            assert _part(path) == "cli", f"{path}:{node.lineno}"


def test_the_environment_is_read_in_settings_alone() -> None:
    readers = {_part(path) for path in _modules() if "os.environ" in path.read_text() or "getenv" in path.read_text()}
    assert readers == set()  # pydantic-settings does it, in settings.py


def test_the_public_names_are_these() -> None:
    assert tasb_qdrant.__all__ == [
        "ingest",
        "verify",
        "Searcher",
        "AsyncSearcher",
        "F",
        "Passage",
        "Hit",
        "IngestReport",
        "VerifyReport",
        "Progress",
        "Encoder",
        "load_encoder",
        "open_collection",
        "open_store",
        "CollectionSettings",
        "PayloadKeys",
        "SourceFields",
        "TasbQdrantError",
    ]
    for name in tasb_qdrant.__all__:
        assert getattr(tasb_qdrant, name).__module__.startswith("tasb_qdrant.")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'search_all'"):
        tasb_qdrant.search_all  # noqa: B018


def test_ingest_stays_the_function_whatever_is_imported_first() -> None:
    code = "import tasb_qdrant.ingest.pipeline, tasb_qdrant; assert callable(tasb_qdrant.ingest)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "heavy", ["torch", "transformers", "qdrant_client", "qdrant_edge", "pyarrow", "pydantic", "numpy"]
)
def test_importing_the_package_loads_nothing_heavy(heavy: str) -> None:
    code = f"import sys, tasb_qdrant; sys.exit({heavy!r} in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("heavy", ["torch", "transformers", "qdrant_client", "qdrant_edge", "pyarrow", "pydantic"])
def test_help_loads_nothing_heavy(heavy: str) -> None:
    code = (
        "import sys; from tasb_qdrant.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"sys.exit({heavy!r} in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_every_error_is_in_the_tree_drawn_in_its_module() -> None:
    from tasb_qdrant import errors

    classes = [
        value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__
    ]
    assert len(classes) > 20
    for kind in classes:
        assert issubclass(kind, errors.TasbQdrantError)
        assert errors.__doc__ is not None
        assert kind.__name__ in errors.__doc__
