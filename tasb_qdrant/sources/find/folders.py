"""What a folder stands for: its files, but none that a program set aside, and of a corpus the passages alone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Final, NoReturn

from tasb_qdrant.sources.find.tables import TABLE_ENDING, is_delta, refuse_other_table

_STORE: Final = ("collection.json", "shard")
_MODEL_FILES: Final = frozenset({"config.json", "modules.json"})

_PART: Final = r"(?:-\d+-of-\d+)?"
_COMPRESSED: Final = r"(?:\.(?:gz|zst|zstd))?"
_CORPUS: Final = re.compile(rf"corpus{_PART}(\.\w+){_COMPRESSED}", re.IGNORECASE)
_NO_CORPUS: Final = re.compile(rf"(?:queries|qrels){_PART}\.\w+{_COMPRESSED}", re.IGNORECASE)
_BEIR_FOLDERS: Final = frozenset({"queries", "qrels"})


def is_hidden(name: str) -> bool:
    """Whether a name means that a program set the file or folder aside: `_temporary`, `_SUCCESS`, `.git`.

    All readers of Spark's folders pass such names over, but not those of partitions: `_year=2000`.
    """
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def files_in(
    folder: Path,
    *,
    endings: Sequence[str],
    plain_name: Callable[[str], str],
    on_error: Callable[[Path, OSError], Exception],
    names: Iterable[PurePath] | None = None,
) -> Iterator[Path]:
    """The files with these endings, however deep, in no order; a Delta table is given as its folder.

    `names` are all files below a folder that lies elsewhere, by their paths in it, as which those chosen are given.

    Raises what `on_error` makes of a folder that can't be read, and SourceError for a table that isn't read here.
    """

    def unreadable(error: OSError) -> NoReturn:
        raise on_error(Path(error.filename), error) from None

    tables = TABLE_ENDING in endings and names is None
    walk = os.walk(folder, onerror=unreadable) if names is None else _walk(names)
    for parent, folders, files in walk:
        here = Path(parent)
        if tables and is_delta(folders):
            folders.clear()
            yield here
            continue
        if tables:
            refuse_other_table(here, folders)
        if (_STORE[0] in files and _STORE[1] in folders) or (here != folder and not _MODEL_FILES.isdisjoint(files)):
            folders.clear()
            continue
        wanted = [name for name in files if not is_hidden(name) and plain_name(name).endswith(tuple(endings))]
        folders[:] = (name for name in folders if not is_hidden(name))
        if _is_beir(folders, files):
            wanted = _corpus_files(wanted, endings)
            folders[:] = [] if wanted else (name for name in folders if name.lower() == "corpus")
        yield from (here / name for name in wanted)


def _walk(names: Iterable[PurePath]) -> Iterator[tuple[str, list[str], list[str]]]:
    """As os.walk does: (folder, names of folders, names of files), and folders taken off the list aren't entered."""
    tree: dict[PurePath, tuple[dict[str, None], list[str]]] = {PurePath(): ({}, [])}
    for name in names:
        tree.setdefault(name.parent, ({}, []))[1].append(name.name)
        for folder in [*name.parents][:-1]:
            tree.setdefault(folder, ({}, []))
            tree.setdefault(folder.parent, ({}, []))[0][folder.name] = None
    left = [PurePath()]
    while left:
        here = left.pop()
        folders, files = [*tree[here][0]], tree[here][1]
        yield str(here), folders, files
        left += [here / name for name in folders]


def _is_beir(folders: Collection[str], files: Collection[str]) -> bool:
    """BEIR's layout, as it came and as the hub stores it: queries and judgements lie beside the corpus."""
    corpus = any(_CORPUS.fullmatch(name) for name in files) or any(name.lower() == "corpus" for name in folders)
    others = any(_NO_CORPUS.fullmatch(name) for name in files)
    return corpus and (others or any(name.lower() in _BEIR_FOLDERS for name in folders))


def _corpus_files(names: Collection[str], endings: Sequence[str]) -> list[str]:
    """The corpus once, should it lie there in several formats or packed and unpacked."""
    of: dict[tuple[int, bool], list[str]] = {}
    for name in names:
        if match := _CORPUS.fullmatch(name):
            ending = match[1].lower()
            packed = not name.lower().endswith(ending)
            of.setdefault((endings.index(ending), packed), []).append(name)
    return of[min(of)] if of else []
