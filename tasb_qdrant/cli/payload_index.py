"""`tasb-qdrant collection index`: add, drop, list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tasb_qdrant.cli.asking_first import check_named
from tasb_qdrant.cli.options import collection_option, json_option, reading_store_options, store_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasb_qdrant.settings import ReadingStoreOptions, StoreOptions


@click.group("index")
def index_group() -> None:
    """Add, drop and list payload indexes, which make filters quick.

    \b
    Examples:
      tasb-qdrant collection index add year:integer lang:keyword --collection docs
      tasb-qdrant collection index drop topic --collection docs
    """


@index_group.command("add")
@click.argument("indexes", metavar="FIELD:TYPE...", nargs=-1, required=True)
@collection_option
@store_options
@json_option
def add_command(*, indexes: tuple[str, ...], collection: str, store: StoreOptions, as_json: bool) -> int:
    """Index payload fields: keyword, integer, float, bool, datetime, geo, text or uuid.

    All that is stored is looked at first: an index that would not hold a value of some passage is not made.

    \b
    Example:
      tasb-qdrant collection index add year:integer --collection docs
    """
    from tasb_qdrant.cli.failures import DONE
    from tasb_qdrant.cli.logs import is_quiet
    from tasb_qdrant.cli.render import print_json, warn
    from tasb_qdrant.cli.screen import stdout
    from tasb_qdrant.collection.open import open_existing
    from tasb_qdrant.ingest.display import ProgressDisplay
    from tasb_qdrant.ingest.progress import Counters
    from tasb_qdrant.settings import parse_indexes, store_settings

    wanted = parse_indexes(indexes)
    with open_existing(collection, store_settings(**store), patient=True) as opened:
        with ProgressDisplay(quiet=is_quiet()) as display:
            counters = Counters(on_progress=display)
            counters.compare("looking at the values to index", None)
            added = opened.add_indexes(wanted, on_page=counters.compared)
        held = opened.index_points()
    for field in added:
        if not held[field][1]:
            warn(f"no passage has the field {field}; if it is mistyped, drop the index, and index the right one")
    if as_json:
        print_json({"added": added, "indexes": _listed(held)})
        return DONE
    console = stdout()
    for field, kind in added.items():
        console.print(f"Indexed {field} as {kind}: {held[field][1]:,} passages have it.", markup=False)
    if not added:
        console.print("They are there already; nothing was changed.")
    return DONE


@index_group.command("drop")
@click.argument("fields", metavar="FIELD...", nargs=-1, required=True)
@collection_option
@reading_store_options
@json_option
def drop_command(*, fields: tuple[str, ...], collection: str, store: ReadingStoreOptions, as_json: bool) -> int:
    """Drop the payload indexes of fields. The values stay.

    \b
    Example:
      tasb-qdrant collection index drop topic --collection docs
    """
    from tasb_qdrant.cli.failures import DONE
    from tasb_qdrant.cli.render import print_json
    from tasb_qdrant.cli.screen import stdout
    from tasb_qdrant.collection.open import open_collection

    check_named("to drop indexes of")
    with open_collection(collection, **store) as opened:
        dropped = opened.drop_indexes(fields)
        held = opened.index_points()
    if as_json:
        print_json({"dropped": dropped, "indexes": _listed(held)})
        return DONE
    for field, kind in dropped.items():
        stdout().print(f"Dropped the index of {field} ({kind}).", markup=False)
    return DONE


@index_group.command("list")
@collection_option
@reading_store_options
@json_option
def list_command(*, collection: str, store: ReadingStoreOptions, as_json: bool) -> int:
    """List the payload indexes: the type of each, and how many passages it holds.

    \b
    Example:
      tasb-qdrant collection index list --collection docs
    """
    from tasb_qdrant.cli.failures import DONE
    from tasb_qdrant.cli.render import note, print_json, print_table
    from tasb_qdrant.collection.open import open_collection

    with open_collection(collection, **store) as opened:
        held = opened.index_points()
    if as_json:
        print_json({"indexes": _listed(held)})
    elif not held:
        note(f"Collection {collection!r} has no payload indexes.")
    else:
        print_table(["field", "type", "passages"], [[field, kind, points] for field, (kind, points) in held.items()])
    return DONE


def _listed(held: Mapping[str, tuple[str, int]]) -> list[dict[str, object]]:
    return [{"field": field, "type": kind, "passages": points} for field, (kind, points) in held.items()]
