"""`tasb-qdrant collection passage`: delete, patch, replace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import orjson

from tasb_qdrant.cli.asking_first import agreed, check_named, declined
from tasb_qdrant.cli.options import (
    collection_option,
    dry_run_option,
    encoder_options,
    filter_option,
    json_option,
    reading_store_options,
    yes_option,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasb_qdrant.collection.protocol import OpenCollection
    from tasb_qdrant.encoder.options import EncoderOptions
    from tasb_qdrant.records.edit import EditReport
    from tasb_qdrant.settings import ReadingStoreOptions

_SHOWN = 10

ids_argument = click.argument("ids", metavar="ID...", nargs=-1)
set_option = click.option(
    "--set",
    "fields",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a payload field: VALUE is JSON, such as 2011, true or [1, 2], or else a string. Repeatable.",
)
remove_option = click.option("--remove", multiple=True, metavar="NAME", help="Remove a payload field. Repeatable.")


@click.group("passage")
def passage_group() -> None:
    """Delete, patch and replace single passages.

    A later `ingest` of their source stores what that has: change it there, too, if it is to stay so.

    \b
    Examples:
      tasb-qdrant collection passage delete bees owls --collection docs
      tasb-qdrant collection passage patch bees --set year=2011 --remove draft --collection docs
      tasb-qdrant collection passage replace bees --text "Bees dance." --collection docs
    """


@passage_group.command("delete")
@ids_argument
@filter_option
@collection_option
@dry_run_option
@yes_option
@reading_store_options
@json_option
def delete_command(
    *,
    ids: tuple[str, ...],
    where: str | None,
    collection: str,
    dry_run: bool,
    yes: bool,
    store: ReadingStoreOptions,
    as_json: bool,
) -> int:
    """Delete passages, by their ids or by a filter.

    With a filter, --dry-run shows what matches, and without --yes it is asked first. Exit status 3 says that some
    of the ids are not in the collection.

    \b
    Examples:
      tasb-qdrant collection passage delete bees owls --collection docs
      tasb-qdrant collection passage delete --filter 'year < 2000' --dry-run --collection docs
    """
    _check_one_way(ids, where)
    if dry_run and where is None:
        raise click.UsageError("--dry-run goes with --filter; give both")
    if not dry_run:
        check_named("to delete from")
    with _opened(collection, store, patient=where is not None) as opened:
        if where is None:
            return _told(opened.delete(ids), as_json=as_json, document_field=_document_field(opened))
        if dry_run or not yes:
            found = opened.delete_where(where, dry_run=True)
            if dry_run:
                return _told(found, as_json=as_json)
            if not found.matched:
                return _told_of_none(found, as_json=as_json)
            _show(found, err=True)
            if not agreed(f"Delete {_passages(found.matched)} from collection {opened.name!r} at {opened.location}?"):
                return declined()
        return _told(opened.delete_where(where), as_json=as_json)


@passage_group.command("patch")
@ids_argument
@filter_option
@set_option
@remove_option
@collection_option
@reading_store_options
@json_option
def patch_command(
    *,
    ids: tuple[str, ...],
    where: str | None,
    fields: tuple[str, ...],
    remove: tuple[str, ...],
    collection: str,
    store: ReadingStoreOptions,
    as_json: bool,
) -> int:
    """Set payload fields of passages, and remove others; text, title and vectors stay.

    Exit status 3 says that some of the ids are not in the collection.

    \b
    Examples:
      tasb-qdrant collection passage patch bees --set year=2011 --set 'tags=["insects"]' --collection docs
      tasb-qdrant collection passage patch --filter 'draft = true' --remove draft --collection docs
    """
    _check_one_way(ids, where)
    patch = _fields(fields)
    with _opened(collection, store, patient=where is not None) as opened:
        if where is None:
            report = opened.patch(ids, patch, remove=remove)
            return _told(report, as_json=as_json, document_field=_document_field(opened))
        return _told(opened.patch_where(where, patch, remove=remove), as_json=as_json)


@passage_group.command("replace")
@click.argument("identifier", metavar="ID")
@click.option("--text", help="The new text. [default: as it is]")
@click.option("--title", help="The new title; '' is none. [default: as it is]")
@set_option
@remove_option
@collection_option
@reading_store_options
@encoder_options()
@json_option
def replace_command(
    *,
    identifier: str,
    text: str | None,
    title: str | None,
    fields: tuple[str, ...],
    remove: tuple[str, ...],
    collection: str,
    store: ReadingStoreOptions,
    encoder: EncoderOptions,
    as_json: bool,
) -> int:
    """Give a passage another text or title, and encode it again.

    Its vector, and with BM25 its words, change with it. Many passages are replaced by ingesting them again.

    \b
    Example:
      tasb-qdrant collection passage replace bees --text "Bees dance." --set checked=true --collection docs
    """
    from dataclasses import replace

    from tasb_qdrant.collection.editing import check_patchable
    from tasb_qdrant.errors import PassageNotFoundError
    from tasb_qdrant.records import Passage
    from tasb_qdrant.records.path import plain_name
    from tasb_qdrant.search import Searcher

    if text is None and title is None:
        raise click.UsageError("give --text, --title or both; payload fields alone are set with `passage patch`")
    patch, remove = _fields(fields), tuple(map(plain_name, remove))
    with Searcher(collection, **store, **encoder) as searcher:
        check_patchable([*patch, *remove], searcher.collection.keys, searcher.collection.split)
        stored = searcher.get([identifier]).get(identifier)
        if stored is None:
            raise PassageNotFoundError(collection, [identifier], document_field=_document_field(searcher.collection))
        kept = {name: value for name, value in stored.payload.items() if name not in remove}
        passage = Passage(stored.id, stored.text, stored.title, {**kept, **patch})
        if text is not None:
            passage = replace(passage, text=text)
        if title is not None:
            passage = replace(passage, title=title or None)
        return _told(searcher.replace(passage), as_json=as_json)


def _opened(collection: str, store: ReadingStoreOptions, *, patient: bool) -> OpenCollection:
    """The collection. A filter may be long work, `patient` unless a --read-timeout is given."""
    from tasb_qdrant.collection.open import open_existing
    from tasb_qdrant.settings import store_settings

    settings = store_settings(**store)
    return open_existing(collection, settings, patient=patient and settings.read_timeout is None)


def _check_one_way(ids: tuple[str, ...], where: str | None) -> None:
    if bool(ids) == (where is not None):
        raise click.UsageError("give the ids of passages, or --filter EXPR; one of the two")


def _fields(written: tuple[str, ...]) -> Mapping[str, Any]:
    """`year=2011` as {"year": 2011}. Raises UsageError."""
    from tasb_qdrant.records.path import plain_name

    fields: dict[str, Any] = {}
    for each in written:
        # A name in backticks or quotes may have an equals sign of its own.
        end = each.find(each[0], 1) if each[:1] in ("`", '"') else 0
        name, equals, value = each[max(end, 0) :].partition("=")
        name = plain_name(each[: max(end, 0)] + name)
        if not equals or not name:
            raise click.UsageError(f"--set takes NAME=VALUE, such as year=2011; got {each!r}")
        try:
            fields[name] = orjson.loads(value)
        except orjson.JSONDecodeError:
            fields[name] = value
    return fields


def _document_field(collection: OpenCollection) -> str:
    """The payload field with the ids of documents, if their texts are split; else ""."""
    return "" if collection.split is None else collection.split.field


def _told(report: EditReport, *, as_json: bool, document_field: str = "") -> int:
    """Print what was done; the exit status says whether everything that was named is there."""
    from tasb_qdrant.cli.failures import DONE, INCOMPLETE
    from tasb_qdrant.cli.render import note, print_json, warn
    from tasb_qdrant.cli.screen import stdout
    from tasb_qdrant.errors import which_ids

    if report.truncated:
        warn(f"{_passages(report.truncated)} longer than the model reads; only the beginning was encoded")
    if report.missing:
        shown = ", ".join(repr(one[:100]) for one in report.missing[:_SHOWN])
        more = f" and {len(report.missing) - _SHOWN:,} more" if len(report.missing) > _SHOWN else ""
        warn(f"the collection has no passage {shown}{more}; {which_ids(report.missing, document_field)}")
    if report.changed:
        note("A later ingest of the source stores what that has: change it there, too, if this is to stay so.")
    if as_json:
        print_json(report.to_dict())
        return INCOMPLETE if report.missing else DONE
    where = f"collection {report.collection!r} at {report.location}"
    if report.dry_run:
        stdout().print(f"{_passages(report.matched)} of {where} would be {report.kind}.", markup=False)
        _show(report)
        return DONE
    encoded = f", {report.encoded:,} with a new vector" if report.encoded else ""
    stdout().print(f"{report.kind.capitalize()} {_passages(report.changed)} of {where}{encoded}.", markup=False)
    return INCOMPLETE if report.missing else DONE


def _told_of_none(found: EditReport, *, as_json: bool) -> int:
    """Say that there was nothing to delete, with JSON in the report of a deletion."""
    from dataclasses import replace

    from tasb_qdrant.cli.failures import DONE
    from tasb_qdrant.cli.render import print_json
    from tasb_qdrant.cli.screen import say

    say("No passage matches; nothing was deleted.", err=True)
    if as_json:
        print_json(replace(found, dry_run=False).to_dict())
    return DONE


def _show(report: EditReport, *, err: bool = False) -> None:
    """Some of the passages, a line each."""
    from tasb_qdrant.cli.render import clean
    from tasb_qdrant.cli.screen import say

    for hit in report.sample:
        head = clean(hit.title or hit.text)[:80]
        say(f"  [{clean(hit.id)[:100]}]  {head}", err=err)
    if (more := report.matched - len(report.sample)) > 0:
        say(f"  and {more:,} more", err=err)


def _passages(count: int) -> str:
    return "1 passage" if count == 1 else f"{count:,} passages"
