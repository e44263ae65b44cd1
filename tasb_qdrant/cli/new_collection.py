"""The options that say how `ingest` makes a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tasb_qdrant.cli.options import grouped

if TYPE_CHECKING:
    from tasb_qdrant.settings import Bm25Settings, CollectionSettings, PayloadKeys


def _copies(text: str) -> int | str:
    """A number, or "auto"."""
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter(f"expected a number or auto, got {text!r}") from None


def _settings(*, indexes: tuple[str, ...], split: str | None, **given: Any) -> CollectionSettings:
    from tasb_qdrant.settings import CollectionSettings, SplitSettings, parse_indexes

    bm25, keys = _bm25(_taken(given, "bm25")), _keys(_taken(given, "key"))
    parts = None if split is None else SplitSettings.parse(split)
    return CollectionSettings(indexes=parse_indexes(indexes), bm25=bm25, keys=keys, split=parts, **given)


def _taken(given: dict[str, Any], word: str) -> dict[str, Any]:
    """The options with this word at one end of their names, which are left out of the others."""
    names = [name for name in given if name.startswith(word) or name.endswith(word)]
    return {name: given.pop(name) for name in names}


def _bm25(options: dict[str, Any]) -> Bm25Settings | None:
    from tasb_qdrant.settings import Bm25Settings

    wanted = options.pop("bm25")
    chosen = {name.removeprefix("bm25_"): value for name, value in options.items() if value is not None}
    if chosen and not wanted:
        raise click.UsageError(f"--bm25-{next(iter(chosen)).replace('_', '-')} is for --bm25; give that, too")
    return Bm25Settings(**chosen) if wanted else None


def _keys(options: dict[str, Any]) -> PayloadKeys | None:
    from tasb_qdrant.settings import PayloadKeys

    chosen = {name.removesuffix("_key"): value for name, value in options.items() if value is not None}
    return PayloadKeys(**chosen) if chosen else None


collection_options = grouped(
    "settings",
    _settings,
    click.option(
        "--index",
        "indexes",
        multiple=True,
        metavar="FIELD:TYPE",
        help="Payload index, for filters: keyword, integer, float, bool, datetime, geo, text or uuid. Repeatable.",
    ),
    click.option(
        "--quantization",
        type=click.Choice(["none", "int8", "binary", "turbo4"]),
        default="none",
        show_default=True,
        help="Keep smaller vectors in memory, for a new collection; the originals are kept too, and score the hits.",
    ),
    click.option(
        "--vectors",
        type=click.Choice(["float32", "float16"]),
        default="float32",
        show_default=True,
        help="How a new collection stores vectors: float16 takes half the space, and rounds each number to 3 digits.",
    ),
    click.option(
        "--on-disk", is_flag=True, help="Keep the vectors on disk rather than in memory, for a new collection."
    ),
    click.option(
        "--hnsw-m", type=int, default=16, show_default=True, help="Edges per vector in a new collection's index."
    ),
    click.option(
        "--hnsw-ef-construct",
        type=int,
        default=128,
        show_default=True,
        help="Neighbours considered while building it: more is slower, and finds more.",
    ),
    click.option(
        "--shards",
        type=int,
        help="Parts of a new collection, spread over the nodes and loaded in parallel. [default: one for every four "
        "cores, if there are passages enough]",
    ),
    click.option(
        "--replicas",
        type=_copies,
        metavar="N|auto",
        help="Copies of each passage on a cluster; auto is 3 on three nodes or more, two of which confirm each write.",
    ),
    click.option("--write-consistency", type=int, help="Copies that must confirm a write before it counts as stored."),
    click.option(
        "--bm25",
        is_flag=True,
        help="Store a sparse vector of each passage's words, too, for lexical and hybrid search.",
    ),
    click.option(
        "--bm25-language",
        metavar="NAME",
        help="Language whose stopwords and word endings --bm25 drops. [default: english]",
    ),
    click.option(
        "--bm25-stemmer/--no-bm25-stemmer", default=None, help="Drop word endings, or keep them. [default: drop]"
    ),
    click.option(
        "--bm25-avg-len", type=float, metavar="WORDS", help="Average length of the passages. [default: measured]"
    ),
    click.option(
        "--split",
        metavar="tokens:N,overlap:N",
        help="Split texts into passages of up to N tokens, title included, which share up to N; for a new collection. "
        "Search it with --best-per doc_id.",
    ),
    click.option("--id-key", help="Payload field for the id. [default: passage_id]"),
    click.option("--text-key", help="Payload field for the text. [default: text]"),
    click.option("--title-key", help="Payload field for the title. [default: title]"),
)
"""--index, --quantization and the like, as `settings: CollectionSettings`."""
