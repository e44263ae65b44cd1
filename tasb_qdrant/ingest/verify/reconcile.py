"""A source compared with a collection: each passage with what is stored under its id, and all ids with all ids."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final

from tasb_qdrant.collection.points import PointId
from tasb_qdrant.collection.protocol import Collection
from tasb_qdrant.collection.reads.questions import DEFAULT_READ, ReadOptions, ScrollPage
from tasb_qdrant.collection.views import Views
from tasb_qdrant.errors import RequestRefusedError, StoreCorruptError
from tasb_qdrant.ingest.flow import Channel, Flow
from tasb_qdrant.ingest.read.content import Stored
from tasb_qdrant.ingest.read.idset import id_of, key_of
from tasb_qdrant.ingest.read.seen import Seen, SeenIds
from tasb_qdrant.ingest.verify.findings import Findings
from tasb_qdrant.ingest.window import Window
from tasb_qdrant.records.verification import Difference
from tasb_qdrant.settings import PayloadKeys

PAGE_IDS: Final = 5_000
"""Ids in a page. A server in strict mode may allow fewer; smaller pages are asked for then."""

_FEWEST_IDS: Final = 10

AGREED: Final = ReadOptions(consistency="all")

_AHEAD: Final = 3
"""Windows whose stored payloads are fetched while another is compared."""


@dataclass(frozen=True, slots=True)
class View:
    """A way to look at a collection: the whole of it (`name` is ""), or what one peer of a cluster holds."""

    name: str
    collection: Collection

    @property
    def read(self) -> ReadOptions:
        """How its ids are listed: those of the whole that all replicas agree on, or a peer's own."""
        return DEFAULT_READ if self.name else AGREED


def views_in(views: Views) -> list[View]:
    """The same as a list."""
    return [View(name, collection) for name, collection in views.collections.items()]


def waited_for(views: Sequence[View]) -> list[str]:
    """Wait until each shows all that was acknowledged; a sentence for each that doesn't."""
    return [left for view in views if (left := view.collection.wait_until_visible())]


class SourceIds(SeenIds):
    """The ids of a source; those that recur with other content are findings."""

    def __init__(self, findings: Findings | None = None) -> None:
        super().__init__()
        self._findings = findings
        self.count = 0

    def add_keys(
        self, keys: Sequence[bytes], digests: Sequence[bytes], places: Sequence[tuple[str, int]]
    ) -> list[Seen | None]:
        """As SeenIds does."""
        earlier = super().add_keys(keys, digests, places)
        self.count += earlier.count(None)
        return earlier

    def repeats(self, point_id: int | str, passage_id: str, before: Seen) -> None:
        """A finding."""
        if self._findings is not None:
            where = f"line {before.line} of {before.source}"
            self._findings.add(Difference.DUPLICATE, {point_id: passage_id}, where=where)


def compare_payloads(
    windows: Iterable[Window],
    views: Sequence[View],
    findings: Findings,
    *,
    keys: PayloadKeys,
    on_window: Callable[[Window], None],
) -> None:
    """Find the passages that are missing, or stored with another payload or without a vector, in any of the views.

    While one window is compared, the payloads of the next are read; `on_window` is called with each. Windows that were
    compared where they were read are taken at their word: that was with the one view that there is.
    """
    with Flow() as flow:
        for window, differences in _compared(windows, views, flow, keys):
            for view, differing in zip(views, differences, strict=True):
                found: dict[Difference, dict[PointId, str]] = {}
                for row, differs in enumerate(differing):
                    if differs is not None:
                        found.setdefault(differs, {})[window.ids[row]] = window.passages[row].id
                for differs, ids in found.items():
                    findings.add(differs, ids, where=view.name)
            on_window(window)


def _compared(
    windows: Iterable[Window], views: Sequence[View], flow: Flow, keys: PayloadKeys
) -> Iterator[tuple[Window, list[Sequence[Difference | None]]]]:
    """Each window with its differences from each view."""
    ahead = iter(windows)
    for first in ahead:
        if first.made.differences is None:
            for window, answers in _with_payloads(chain([first], ahead), views, flow):
                rows = window.passages, window.ids, window.contents
                yield window, [stored.differences(*rows, keys) for stored in answers]
        else:
            yield first, [first.made.differences]


def _with_payloads(
    windows: Iterable[Window], views: Sequence[View], flow: Flow
) -> Iterator[tuple[Window, list[Stored]]]:
    """Each window with what each view has stored under its ids; every view is read in a thread of its own."""
    asked: list[Channel[Window]] = [flow.channel(_AHEAD + 1) for _ in views]
    answered: list[Channel[Stored]] = [flow.channel(_AHEAD + 1) for _ in views]
    for number, view in enumerate(views):
        flow.spawn(f"compare {number}", partial(_answer, view, asked[number], answered[number]))
    answers = [channel.items() for channel in answered]
    waiting: deque[Window] = deque()
    for window in windows:
        for channel in asked:
            channel.put(window)
        waiting.append(window)
        if len(waiting) > _AHEAD:
            yield waiting.popleft(), [next(answer) for answer in answers]
    for window in waiting:
        yield window, [next(answer) for answer in answers]


def _answer(view: View, windows: Channel[Window], answers: Channel[Stored]) -> None:
    for window in windows:
        answers.put(Stored.under(window.ids, view.collection))


@dataclass(slots=True)
class IdGap:
    """Of a page of ids: those that the source lacks, those that the collection lacks, those that came twice."""

    extra: list[PointId] = field(default_factory=list)
    missing: list[PointId] = field(default_factory=list)
    repeated: list[PointId] = field(default_factory=list)


def compare_ids(
    source: SeenIds,
    collection: Collection,
    *,
    page_ids: int = PAGE_IDS,
    on_page: Callable[[int], None] | None = None,
    read: ReadOptions = AGREED,
) -> Iterator[IdGap]:
    """The ids of both sides merged in their common order, a page of the collection at a time.

    `on_page` gets the number of ids in each page. Raises StoreCorruptError when they aren't in order.
    """
    wanted = _Ascending(source.keys())
    last = b""
    for page in _pages(collection, page_ids, read):
        keys = [key_of(point.id) for point in page.points]
        gap = IdGap(repeated=[id_of(key) for key, before in zip(keys, [last, *keys], strict=False) if key == before])
        if keys:
            if any(key < before for key, before in zip(keys, [last, *keys], strict=False)):
                raise StoreCorruptError(
                    f"{collection.location}: the ids of collection {collection.name!r} are not in order, so it can't "
                    "be compared; check the server's log"
                )
            here = set(keys) - {last}  # the first may be the last of the page before once more
            last = keys[-1]
            there = set(wanted.up_to(last))
            gap.extra = [id_of(key) for key in sorted(here - there)]
            gap.missing = [id_of(key) for key in sorted(there - here)]
        yield gap
        if on_page is not None:
            on_page(len(keys))
    for keys in wanted.rest():
        yield IdGap(missing=[id_of(key) for key in keys])


def _pages(collection: Collection, limit: int, read: ReadOptions) -> Iterator[ScrollPage]:
    while True:
        try:
            page = collection.reads.scroll(limit=limit, payload=False, read=read)
            break
        except RequestRefusedError:
            if limit <= _FEWEST_IDS:
                raise
            limit = max(_FEWEST_IDS, limit // 10)
    yield page
    while page.following is not None:
        page = collection.reads.scroll(start=page.following, limit=limit, payload=False, read=read)
        yield page


class _Ascending:
    """Ascending keys, taken up to a bound at a time."""

    def __init__(self, batches: Iterator[list[bytes]]) -> None:
        self._batches = batches
        self._next: list[bytes] = []

    def up_to(self, last: bytes) -> list[bytes]:
        """Those not taken yet that don't come after `last`."""
        taken: list[bytes] = []
        while True:
            if not self._next:
                self._next = next(self._batches, [])
            cut = bisect_right(self._next, last)
            taken += self._next[:cut]
            self._next = self._next[cut:]
            if self._next or not cut:
                return taken

    def rest(self) -> Iterator[list[bytes]]:
        """All that are left."""
        if self._next:
            yield self._next
        yield from self._batches
