"""`tasb-qdrant collection`: list, info, verify, optimize, index, passage, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from tasb_qdrant.cli.asking_first import agreed, check_named, declined
from tasb_qdrant.cli.options import collection_option, json_option, reading_store_options, store_options, yes_option
from tasb_qdrant.cli.passage import passage_group
from tasb_qdrant.cli.payload_index import index_group
from tasb_qdrant.cli.verify import verify_command

if TYPE_CHECKING:
    from tasb_qdrant.collection.info import CollectionInfo
    from tasb_qdrant.settings import Bm25Settings, ReadingStoreOptions, StoreOptions


@click.group("collection")
def collection_group() -> None:
    """List, describe, verify, optimize, edit and delete collections.

    \b
    Examples:
      tasb-qdrant collection list
      tasb-qdrant collection info --collection docs --json
    """


@collection_group.command("list")
@reading_store_options
@json_option
def list_command(*, store: ReadingStoreOptions, as_json: bool) -> int:
    """List the collections of the store.

    \b
    Example:
      tasb-qdrant collection list --url http://localhost:6333
    """
    from tasb_qdrant.cli.failures import DONE
    from tasb_qdrant.cli.render import note, print_json, print_table
    from tasb_qdrant.manage.listing import list_collections
    from tasb_qdrant.settings import store_settings

    settings = store_settings(**store)
    found = list_collections(settings)
    if as_json:
        print_json({"location": settings.location, "collections": [listed.to_dict() for listed in found]})
    elif not found:
        note(f"No collections at {settings.location}.")
    else:
        print_table(
            ["name", "points", "model", "aliases", "remark"],
            [
                [
                    listed.name,
                    "" if listed.info is None else f"{listed.info.points}",
                    "" if listed.info is None else listed.info.contract.model,
                    ", ".join(listed.aliases),
                    listed.remark or _remark(listed.info),
                ]
                for listed in found
            ],
        )
    return DONE


@collection_group.command("info")
@collection_option
@reading_store_options
@json_option
def info_command(*, collection: str, store: ReadingStoreOptions, as_json: bool) -> int:
    """Show what a collection is and holds.

    \b
    Example:
      tasb-qdrant collection info --collection docs
    """
    from tasb_qdrant.cli.failures import DONE
    from tasb_qdrant.cli.render import print_json, print_table
    from tasb_qdrant.collection.open import open_collection

    with open_collection(collection, **store) as opened:
        info = opened.info()
    if as_json:
        print_json(info.to_dict())
        return DONE
    contract = info.contract
    normalised = "normalised" if contract.normalized else "not normalised"
    print_table(
        ["", ""],
        [
            ["collection", f"{info.name} (an alias of {info.alias_of})" if info.alias_of else info.name],
            *([["aliases", ", ".join(info.aliases)]] if info.aliases else []),
            ["at", f"{info.location} ({info.store})"],
            ["status", info.status],
            ["passages", f"{info.points:,}"],
            ["in the vector index", f"{info.indexed:,}{_why_so_few(info)}"],
            ["payload indexes", ", ".join(f"{field}:{kind}" for field, kind in sorted(info.indexes.items())) or "none"],
            ["quantization", info.quantization],
            ["model", f"{contract.model} (weights {contract.weights[:12]}, {contract.precision})"],
            [
                "vectors",
                f"{contract.dim} {info.vectors}, {contract.pooling} pooling, {normalised}, {contract.distance}",
            ],
            *([["words", _words(info.bm25)]] if info.bm25 is not None else []),
            *([["texts", f"split into passages of up to {info.split.in_words}"]] if info.split is not None else []),
            ["longest passage", f"{contract.max_length} tokens"],
            ["point ids", f"{_NUMBERS[info.integer_ids]}, else UUIDs"],
            ["payload keys", f"{info.keys.id}, {info.keys.text}, {info.keys.title}"],
            ["made by", f"tasb-qdrant {contract.version}"],
        ],
    )
    return DONE


collection_group.add_command(verify_command)
collection_group.add_command(index_group)
collection_group.add_command(passage_group)


@collection_group.command("optimize")
@collection_option
@store_options
@json_option
def optimize_command(*, collection: str, store: StoreOptions, as_json: bool) -> int:
    """Build the vector index over every passage, and wait until it is built.

    `ingest` does this at its end; run it after --no-optimize, or after a run that was killed.

    \b
    Example:
      tasb-qdrant collection optimize --collection docs
    """
    from tasb_qdrant.cli.failures import DONE
    from tasb_qdrant.cli.logs import is_quiet
    from tasb_qdrant.cli.render import print_json
    from tasb_qdrant.cli.screen import stdout
    from tasb_qdrant.collection.open import open_existing
    from tasb_qdrant.ingest.display import ProgressDisplay
    from tasb_qdrant.ingest.progress import Progress
    from tasb_qdrant.settings import store_settings

    with open_existing(collection, store_settings(**store), patient=True) as opened:
        with ProgressDisplay(quiet=is_quiet()) as display:
            opened.optimize(lambda index: display(Progress(phase="building the vector index", index=index)))
        info = opened.info()
    if as_json:
        print_json(info.to_dict())
    else:
        stdout().print(f"{info.indexed:,} of {info.points:,} vectors are in the index of {info.name!r}.", markup=False)
    return DONE


@collection_group.command("delete")
@collection_option
@reading_store_options
@yes_option
@json_option
def delete_command(*, collection: str, store: ReadingStoreOptions, yes: bool, as_json: bool) -> int:
    """Delete a collection and everything in it.

    \b
    Example:
      tasb-qdrant collection delete --collection docs --yes
    """
    from tasb_qdrant.cli.failures import DONE
    from tasb_qdrant.cli.render import print_json
    from tasb_qdrant.cli.screen import stdout
    from tasb_qdrant.collection.open import open_store_at
    from tasb_qdrant.collection.schema import check_name, check_no_alias
    from tasb_qdrant.settings import store_settings

    check_named("to delete")
    settings = store_settings(**store)
    opened = open_store_at(settings, patient=False)
    try:
        aliases = opened.aliases()
        check_no_alias(check_name(collection), aliases, location=settings.location)
        others = ", ".join(sorted(alias for alias in aliases if aliases[alias] == collection))
        named = f"{collection!r} (also called {others})" if others else f"{collection!r}"
        if not yes and not agreed(f"Delete collection {named} at {settings.location} and everything in it?"):
            return declined()
        opened.delete(collection)
    finally:
        opened.close()
    if as_json:
        print_json({"deleted": collection, "location": settings.location})
    else:
        stdout().print(f"Deleted {collection!r} at {settings.location}.", markup=False)
    return DONE


def _remark(info: CollectionInfo | None) -> str:
    """What tells a collection of an earlier version."""
    return "integer ids up to 2^64" if info is not None and info.integer_ids == "u64" else ""


_NUMBERS: Final = {
    "u53": "numbers below 2^53",
    "u64": "numbers below 2^64 (as in earlier versions; JavaScript's clients round those from 2^53 up)",
}


def _words(bm25: Bm25Settings) -> str:
    left_out = [name for name in ("stemmer", "stopwords") if not getattr(bm25, name)]
    without = f", without {' and '.join(left_out)}" if left_out and bm25.language != "none" else ""
    return f"BM25, {bm25.language}{without}, k {bm25.k:g}, b {bm25.b:g}, average length {bm25.avg_len:g}"


def _why_so_few(info: CollectionInfo) -> str:
    if not info.index_deferred:
        return ""
    return (
        " (deferred by a load that is under way or did not finish; the same ingest again, or "
        f"tasb-qdrant collection optimize --collection {info.name}, finishes it)"
    )
