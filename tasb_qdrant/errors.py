"""Every error that this package raises on purpose.

    TasbQdrantError                 1 on the command line, or the code of its class in cli/failures.py
    ├── InvalidInputError           bad input from a person or a file
    │   ├── InvalidPassageError     an empty text, a bad id, a payload that is not JSON (also a ValueError)
    │   ├── PayloadInvalidError     a payload that doesn't match its model (also a ValueError)
    │   ├── SourceError             a file or stream that can't be read
    │   │   └── MissingFieldError   the source has no such column or field
    │   ├── RejectedError           the first reject, when no rejects file was named
    │   ├── TooManyRejectsError     more rejects than were allowed
    │   ├── DeletionRefusedError    a sync whose deletions look like a mistake
    │   ├── ReplaceRefusedError     texts that would be replaced by those of another field
    │   ├── FilterError             a filter that can't be right (also a ValueError)
    │   │   ├── FilterSyntaxError   the text form doesn't parse
    │   │   └── FilterTypeError     a value whose type can never match the field
    │   └── SettingsError           an invalid option or environment variable
    ├── ModelError                  the encoder
    │   ├── ModelNotFoundError      no such model or folder, or one of its files is missing
    │   ├── HubUnreachableError     the Hugging Face hub can't be reached and the model isn't cached
    │   ├── UnsafeWeightsError      pickle weights only
    │   ├── CorruptModelError       model files that exist but are damaged or inconsistent
    │   ├── DeviceError             a device or precision that this machine lacks
    │   ├── WorkerError             a worker process that ended before its work was done
    │   └── EncodingError           the encoder gave vectors that can't be stored
    ├── CollectionError             the store
    │   ├── CollectionNotFoundError
    │   ├── ContractMismatchError   another model, pooling, size or distance made the vectors
    │   │   └── CollectionChangedError  another collection stands under the name than the one that was opened
    │   ├── CollectionReplacedError it was made anew, restored or exchanged while it was loaded into
    │   ├── LoadUnderWayError       another load stores what would be deleted, or deletes
    │   ├── NotOurCollectionError   a collection without a model contract
    │   ├── StoreLockedError        the embedded store is open elsewhere
    │   ├── StoreCorruptError       damaged files in the embedded store
    │   ├── DiskFullError           no room on the embedded store's disk
    │   ├── ServerUnreachableError  nothing answers at the address
    │   ├── ServerTooOldError
    │   ├── UnauthorizedError       a key is needed, or the one given isn't accepted
    │   ├── PassageNotFoundError    a passage asked for by id is not in the collection
    │   ├── ServerBusyError         the server kept refusing or failing until the retries ran out
    │   │   └── ServerOverloadedError   it said that it is overloaded
    │   ├── SearchTimeoutError      a search, or another read, was not answered in time
    │   ├── IndexMismatchError      a payload index that would not hold what is stored
    │   ├── UnreadableAnswerError   a valid answer that this version can't read
    │   └── RequestRefusedError     the server understood the request and refused it
    │       └── LimitExceededError  more than the server's strict mode allows
    ├── ForkedError                 opened in a process that this one was forked from
    └── StateError                  the files that an interrupted run resumes from
        ├── StateLockedError        another run is ingesting the same sources into the same collection
        ├── StateCorruptError       state files that exist but are damaged
        └── ResumeRefusedError      the source, model or collection has changed since the interruption

A message is one line: what was expected, what was found, what to do. The values in it are also attributes
of the exception, for programs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final, Literal

from tasb_qdrant.printable import escaped, listed, named

_SHOWN_DIFFERENCES: Final = 5

_PART: Final = re.compile(r"#[0-9]+\Z")
"""How the id of a split document's passage ends."""

_ROOMY: Final = 64 * 2**20
"""With more bytes free than these, a disk that is said to be full has another limit."""


class TasbQdrantError(Exception):
    """The root: `except TasbQdrantError` catches everything that this package raises on purpose.

    Its message is one line that can't steer a terminal, whoever prints it.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(escaped(arg) if isinstance(arg, str) else arg for arg in args))

    def __reduce__(self) -> tuple[object, ...]:
        """As what it is, in another process: most kinds are made of other arguments than their message."""
        return _as_it_was, (type(self), self.args, self.__dict__)

    @property
    def kind(self) -> str:
        """A stable name for programs: `collection_not_found` for CollectionNotFoundError, and so on."""
        name = type(self).__name__.removesuffix("Error")
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()

    @property
    def remedy(self) -> str:
        """What to do, as the end of the message says, or ""."""
        return remedy_in(str(self))


def _as_it_was(kind: type[TasbQdrantError], args: tuple[object, ...], attributes: dict[str, object]) -> TasbQdrantError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


def remedy_in(message: str) -> str:
    """The last clause of a message that says what was expected, what was found, and what to do; "" of a single one."""
    *before, last = re.split(r"(?:;|(?<=\w)\.) ", message.partition("\n")[0])
    return last if before else ""


class InvalidInputError(TasbQdrantError):
    """Input from a person or a file that can't be used."""


class InvalidPassageError(InvalidInputError, ValueError):
    """A passage that can't be stored. `reason` says why, `field` which part of it."""

    def __init__(self, reason: str, *, field: str) -> None:
        self.reason = reason
        self.field = field
        super().__init__(reason)


class PayloadInvalidError(InvalidInputError, ValueError):
    """A payload that doesn't match its model. `passage_id`, `model`, `field`, `problem`, and how many `others`."""

    def __init__(self, *, passage_id: str, model: str, field: str, problem: str, others: int = 0) -> None:
        self.passage_id = passage_id
        self.model = model
        self.field = field
        self.problem = problem
        self.others = others
        more = f" (and {others} more)" if others else ""
        super().__init__(
            f"the payload of passage {passage_id!r} is not a valid {model}: {field}: {problem}{more}; "
            "correct the payload or the model"
        )


class SourceError(InvalidInputError):
    """A file or stream that can't be read. `source` names it, `line` is 1-based or None."""

    def __init__(self, reason: str, *, source: str, line: int | None = None) -> None:
        self.reason = reason
        self.source = source
        self.line = line
        place = named(source) if line is None else f"{named(source)}:{line}"
        super().__init__(f"{place}: {reason}")


class MissingFieldError(SourceError):
    """The source has no such column or field. `wanted` names it, `available` lists those that exist."""

    def __init__(
        self,
        *,
        source: str,
        wanted: str,
        available: Iterable[str],
        option: str,
        noun: Literal["column", "field"] = "column",
    ) -> None:
        self.wanted = wanted
        self.available = tuple(available)
        self.option = option
        these = listed(self.available) or "none"
        super().__init__(f"no {noun} {wanted!r}; the {noun}s are: {these}; choose one with {option}", source=source)


class RejectedError(InvalidInputError):
    """An input that can't be stored, with no rejects file to record it in. `source`, `line`, `reason`."""

    def __init__(self, *, source: str, line: int, reason: str) -> None:
        self.source = source
        self.line = line
        self.reason = reason
        super().__init__(
            f"{named(source)}:{line}: {reason}; correct the line, or keep such lines in a file with --rejects FILE"
        )


class TooManyRejectsError(InvalidInputError):
    """More than `limit` inputs can't be stored. `rejects_file` lists them."""

    def __init__(self, *, limit: int, rejects_file: str) -> None:
        self.limit = limit
        self.rejects_file = rejects_file
        super().__init__(
            f"more than {limit:,} inputs were rejected, the most that --max-rejects allows; see "
            f"{named(rejects_file)}, and correct the source or the options. What has been stored stays"
        )


class DeletionRefusedError(InvalidInputError):
    """Points of a collection that must not be deleted without confirmation. `name`, `deletions`, `why`."""

    def __init__(self, name: str, *, deletions: int, why: str) -> None:
        self.name = name
        self.deletions = deletions
        self.why = why
        super().__init__(
            f"--sync would delete {deletions:,} points of collection {name!r}, and {why}; nothing was changed. Correct "
            "the source, preview with --dry-run, or give --delete-anyway"
        )


class ReplaceRefusedError(InvalidInputError):
    """Texts of a collection that must not be replaced by those of another field without confirmation.

    `name`, `passage_id` (the first of them), and `differences`: (what, the collection's, this run's).
    """

    def __init__(self, name: str, *, passage_id: str, differences: Iterable[tuple[str, object, object]]) -> None:
        self.name = name
        self.passage_id = passage_id
        self.differences = tuple(differences)
        listed = "; ".join(
            f"{what}: the collection has {here}, this run has {now}" for what, here, now in self.differences
        )
        super().__init__(
            f"the text of passage {passage_id!r} in collection {name!r} would be replaced by one of another field "
            f"({listed}); name the collection's own with --text-field or --title-field, or ingest with --replace"
        )


class FilterError(InvalidInputError, ValueError):
    """A filter that can't be right."""


class FilterSyntaxError(FilterError):
    """The text form doesn't parse. `column` is 1-based, `expected` says what would be valid there."""

    def __init__(self, text: str, *, column: int, expected: str, found: str) -> None:
        self.text = text
        self.column = column
        self.expected = expected
        self.found = found
        start = max(0, column - 61)  # a window: a filter may be 64 KiB long, and may have line breaks
        shown = "".join(c if c.isprintable() else " " for c in text[start : start + 120])
        pointer = " " * (column - 1 - start) + "^"
        super().__init__(f"filter, column {column}: expected {expected}, found {found}")
        # The one message of several lines: the filter, and below it where it fails.
        self.args = (f"{self.args[0]}\n  {shown}\n  {pointer}",)


class FilterTypeError(FilterError):
    """A value whose type can never match the field. `field`, `value`, and what the field is:

    `declared_as` by a payload model, else `indexed_as` (None without an index).
    """

    def __init__(
        self,
        *,
        field: str,
        value: object,
        indexed_as: str | None = None,
        declared_as: str | None = None,
        problem: str = "which can never match",
        hint: str = "",
    ) -> None:
        self.field = field
        self.indexed_as = indexed_as
        self.declared_as = declared_as
        self.value = value
        names = {str: "string", bool: "boolean", int: "integer", float: "float", tuple: "place"}
        kind = names.get(type(value), type(value).__name__)
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        index = f"is indexed as {indexed_as}" if indexed_as else "has no index"
        if declared_as is not None:
            index = f"is declared as {declared_as}"
        message = f"{named(field)} {index}, got the {kind} {shown}, {problem}"
        super().__init__(f"{message}; {hint}" if hint else message)


class SettingsError(InvalidInputError):
    """An invalid option or environment variable."""


class ModelError(TasbQdrantError):
    """The encoder can't be loaded or used."""


class ModelNotFoundError(ModelError):
    """No such model or folder, or one of its files is missing."""


class HubUnreachableError(ModelError):
    """The Hugging Face hub can't be reached and the model is not in the cache."""


class UnsafeWeightsError(ModelError):
    """The model has pickle weights only, which can run code when they are loaded."""


class CorruptModelError(ModelError):
    """Model files that exist but are damaged or inconsistent."""


class DeviceError(ModelError):
    """A device or precision that this machine lacks."""


class WorkerError(ModelError):
    """One of the worker processes that encode on several devices ended before its work was done."""


class EncodingError(ModelError):
    """The encoder gave vectors that can't be stored: wrong shape, or not finite.

    `index` is the position of the text in the call, or None if no single text is to blame.
    """

    def __init__(self, reason: str, *, index: int | None = None) -> None:
        self.reason = reason
        self.index = index
        super().__init__(reason)


class CollectionError(TasbQdrantError):
    """The store can't do what was asked."""


class CollectionNotFoundError(CollectionError):
    """No such collection. `name`, `location`, and those `available`, or None if they were not listed."""

    def __init__(self, name: str, *, location: str, available: Iterable[str] | None) -> None:
        self.name = name
        self.location = location
        self.available = None if available is None else tuple(available)
        there = "" if self.available is None else f"; collections there: {listed(self.available) or 'none'}"
        super().__init__(
            f"no collection {name!r} at {named(location)}{there}; "
            "create it with 'tasb-qdrant ingest', or correct --collection"
        )


class ContractMismatchError(CollectionError):
    """Another model, pooling, size or distance made the vectors. `differences`: (what, stored, given)."""

    def __init__(self, name: str, differences: Iterable[tuple[str, object, object]]) -> None:
        self.name = name
        self.differences = tuple(differences)
        listed = "; ".join(
            f"{what}: the collection has {_shown(stored)}, this run has {_shown(given)}"
            for what, stored, given in self.differences
        )
        options = ", ".join(_encoded_by(what, stored) for what, stored, _ in self.differences)
        # Options make up for a difference only if all else is the same: the model, above all.
        named = f" ({options})" if all(_encoded_by(what, stored) for what, stored, _ in self.differences) else ""
        super().__init__(
            f"the collection {name!r} was made with another model or other settings than this run's ({listed}); "
            f"use the same model and settings{named}, or another --collection"
        )


class CollectionChangedError(ContractMismatchError):
    """Another collection stands under the name than the one that was opened: it was made anew, or an alias was
    switched. `name`, `location`, and the `differences` that matter: (what, opened, now)."""

    def __init__(self, name: str, differences: Iterable[tuple[str, object, object]], *, location: str) -> None:
        self.name = name
        self.location = location
        self.differences = tuple(differences)
        listed = "; ".join(f"{what} was {_shown(then)}, is {_shown(now)}" for what, then, now in self.differences)
        CollectionError.__init__(
            self,
            f"another collection is called {name!r} at {location} since it was opened: it was made anew, or an alias "
            f"was switched ({listed}); open it again, with the model of the collection that is there now",
        )


def _shown(value: object) -> str:
    """An empty prompt shows as one, and blanks at its end."""
    return repr(value) if (isinstance(value, str) and value.strip() != value) or value == "" else str(value)


def _encoded_by(what: str, stored: object) -> str:
    """The option that encodes as the collection does, or ""."""
    if what == "normalized":
        return "--normalize" if stored else "--no-normalize"
    if what == "split":
        return "no --split" if stored == "none" else f"--split {stored}"
    options = {"dim": "--dim", "query prompt": "--query-prompt", "passage prompt": "--passage-prompt"}
    return f"{options[what]} {stored!r}" if what in options else ""


class NotOurCollectionError(CollectionError):
    """A collection without a model contract: nothing says which encoder made its vectors."""


class CollectionReplacedError(CollectionError):
    """Under the name of a collection that is written to there is another one now, or an older copy of it.

    `name`, `differences`: (what, when it was opened, now), and whether it is of `another_model`.
    """

    def __init__(
        self, name: str, differences: Iterable[tuple[str, object, object]], *, another_model: bool = False
    ) -> None:
        self.name = name
        self.differences = tuple(differences)
        self.another_model = another_model
        listed = "; ".join(f"{what} was {_shown(then)}, is {_shown(now)}" for what, then, now in self.differences)
        super().__init__(
            f"the collection {name!r} was deleted, restored or exchanged while passages were stored in it ({listed}), "
            "so this run has ended; run the same command again, which looks at all that is stored"
        )


class LoadUnderWayError(CollectionError):
    """Another load into the collection is under way. `name`, and `who` loads: a host and a process."""

    def __init__(self, name: str, *, who: str, conflict: str) -> None:
        self.name = name
        self.who = who
        super().__init__(f"{conflict}: {who} is loading into collection {name!r}; wait for it to end, and run it again")


class StoreLockedError(CollectionError):
    """The embedded store is open in another process."""


class StoreCorruptError(CollectionError):
    """Files of the embedded store are damaged."""


class DiskFullError(CollectionError):
    """The embedded store's disk has no room for what was to be done. Nothing that was confirmed is lost by it.

    `folder`, `doing`, and how much was `needed` (None if that isn't known) and is `free`, both in bytes, or in
    files if that is the `unit`.
    """

    def __init__(
        self, folder: str, *, doing: str, needed: int | None, free: int, unit: Literal["bytes", "files"] = "bytes"
    ) -> None:
        self.folder = folder
        self.doing = doing
        self.needed = needed
        self.free = free
        self.unit = unit
        shown = _mebibytes if unit == "bytes" else "{:,} files".format
        wanted = "" if needed is None else f"{shown(needed)} may be needed, "
        remedy = "free some space" if unit == "bytes" else "delete some files"
        if unit == "bytes" and free > (needed or _ROOMY):
            remedy = "is there a quota, or a limit to the size of files (ulimit -f)? Free some space"
        super().__init__(
            f"{named(folder)}, {doing}: the disk is full ({wanted}{shown(free)} are free); {remedy} there, or "
            "move the store to a larger disk, and run the same again. What was confirmed stays stored, and can be "
            "searched"
        )


def _mebibytes(number: int) -> str:
    return f"{number / 2**20:,.1f} MiB"


class ServerUnreachableError(CollectionError):
    """Nothing answers at the address."""


class ServerTooOldError(CollectionError):
    """The server lacks something that this package relies on."""


class UnauthorizedError(CollectionError):
    """A key is needed, or the one given isn't accepted."""


class PassageNotFoundError(CollectionError):
    """Passages asked for by id are not in the collection. `name`, `ids`. A collection that splits texts has their
    documents' ids in the payload field `document_field`."""

    def __init__(self, name: str, ids: Iterable[str], *, document_field: str = "") -> None:
        self.name = name
        self.ids = tuple(ids)
        shown = ", ".join(repr(one[:100]) for one in self.ids[:_SHOWN_DIFFERENCES])
        more = f" and {len(self.ids) - _SHOWN_DIFFERENCES} more" if len(self.ids) > _SHOWN_DIFFERENCES else ""
        remedy = which_ids(self.ids, document_field)
        super().__init__(f"collection {name!r} has no passage {shown}{more}; {remedy}")


def which_ids(missing: Iterable[str], document_field: str) -> str:
    """What to do about passages that aren't there: a document's id is none of a passage where texts are split."""
    document = next((one for one in missing if not _PART.search(one)), None)
    if not document_field or document is None:
        return "give ids as the source wrote them"
    shown = document[:100]
    return (
        f"its texts are split: give the ids of a document's passages, such as {shown + '#0'!r}, or for all of them the "
        f"filter {document_field} = {json.dumps(shown, ensure_ascii=False)} (--filter)"
    )


class IndexMismatchError(CollectionError):
    """A payload index that would not hold what is stored, so that it isn't made. `name`, `field`, `index_type`, the
    `passage_id` of the first passage that doesn't fit, and the index that would be `fitting`, or None."""

    def __init__(
        self, name: str, *, field: str, index_type: str, passage_id: str, problem: str, fitting: str | None = None
    ) -> None:
        self.name = name
        self.field = field
        self.index_type = index_type
        self.passage_id = passage_id
        self.fitting = fitting
        other = f"ask for {field}:{fitting}" if fitting not in (None, index_type) else "ask for another type"
        super().__init__(
            f"field {field!r} of collection {name!r} can't be indexed as {index_type}: passage {passage_id[:100]!r} "
            f"has {problem}, which no filter on it would find; {other}, or correct what is stored, as by ingesting its "
            f"corrected source with --index {field}:{index_type}. No such index was made"
        )


class ServerBusyError(CollectionError):
    """The server kept refusing or failing until the retries ran out."""


class ServerOverloadedError(ServerBusyError):
    """The server is overloaded, or limits how much one client may ask of it."""


class SearchTimeoutError(CollectionError):
    """A search, or another read, was not answered in time. `timeout` is the number of seconds allowed."""

    def __init__(self, message: str, *, timeout: float) -> None:
        self.timeout = timeout
        super().__init__(message)


class RequestRefusedError(CollectionError):
    """The server understood the request and refused it."""


class LimitExceededError(RequestRefusedError):
    """More was asked for than a server's strict mode allows. `setting` is the one of strict mode that says so, `asked`
    what was asked for, and `most` what is allowed; both None where that is a way to search, not a number."""

    def __init__(
        self, place: str, *, setting: str, asked: float | None, most: float | None, what: str, remedy: str
    ) -> None:
        self.setting = setting
        self.asked = asked
        self.most = most
        allowed = "forbids it" if most is None else f"allows {most:,g}"
        super().__init__(
            f"{place}: {what}, and the server's strict mode {allowed} ({setting}); {remedy}, or have the limit raised"
        )


class UnreadableAnswerError(CollectionError):
    """A valid answer of the server's that this version can't read: a defect of tasb-qdrant, or a newer server."""

    def __init__(self, place: str, error: BaseException) -> None:
        super().__init__(
            f"{place}: the server's answer is valid, and this version of tasb-qdrant can't read it "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]}); upgrade tasb-qdrant, or report it"
        )


class ForkedError(TasbQdrantError):
    """Opened in process `pid`, from which this one was forked, and which alone can use it."""

    def __init__(self, what: str, *, pid: int, here: int, remedy: str) -> None:
        self.pid = pid
        super().__init__(f"{what} was opened in process {pid}, from which this one ({here}) was forked; {remedy}")


class StateError(TasbQdrantError):
    """The files that an interrupted run resumes from can't be read or written."""


class StateLockedError(StateError):
    """Another run is ingesting the same sources into the same collection. `pid` is its process, if known."""

    def __init__(self, folder: str, *, pid: int | None) -> None:
        self.folder = folder
        self.pid = pid
        who = "another run" if pid is None else f"another run (process {pid})"
        super().__init__(
            f"{named(folder)}: {who} is ingesting the same sources into this collection; wait for it to finish, "
            "or stop it"
        )


class StateCorruptError(StateError):
    """The saved state of an interrupted run is damaged."""


class ResumeRefusedError(StateError):
    """The source, model or collection has changed since an interrupted run. `differences`: (what, then, now)."""

    def __init__(self, collection: str, differences: Iterable[tuple[str, object, object]]) -> None:
        self.collection = collection
        self.differences = tuple(differences)
        shown = [f"{what} was {then}, is {now}" for what, then, now in self.differences[:_SHOWN_DIFFERENCES]]
        if more := len(self.differences) - len(shown):
            shown.append(f"and {more} more")
        super().__init__(
            f"an interrupted run into collection {collection!r} can't be resumed ({'; '.join(shown)}); undo the "
            "change, or start over with --restart, which skips what is already stored unchanged"
        )
