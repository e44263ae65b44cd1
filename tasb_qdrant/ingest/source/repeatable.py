"""A source that is read more than once: to compare it, to repair, to compare again."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.read.windows import PassageSource
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.ingest.steps import Source, names_of, open_source
from tasb_qdrant.records import Reject
from tasb_qdrant.settings import CollectionSettings, IndexType
from tasb_qdrant.sources import SourceFields

if TYPE_CHECKING:
    from pydantic import BaseModel


class CountedRejects(RejectLog):
    """Counts the inputs that can't be stored, and keeps only the first. `files` are those that are read."""

    def __init__(self) -> None:
        super().__init__(None, on_reject=lambda: None)
        self.count = 0
        self.first: Reject | None = None
        self.files: tuple[Path | str, ...] = ()
        self.ignored: Path | None = None

    @property
    def earlier(self) -> Path | None:
        """A file of ours that a folder which holds it doesn't mean as a source."""
        return self.ignored

    def open(self, *, sources: Iterable[Path | str] = ()) -> None:
        """Remember which files are read."""
        self.files = tuple(sources)

    def add(self, reject: Reject) -> None:
        """Count it."""
        self.count += 1
        self.first = self.first or reject


@dataclass(frozen=True, slots=True)
class Reopenable:
    """What `ingest` takes as a source, and how to read it.

    `payload` is the model that payloads must be instances of. `indexes` give the columns of CSV files their types;
    `ignored` is a file of rejects or findings that may lie in a folder of sources.
    """

    source: Source
    format: str | None = None
    fields: SourceFields | None = None
    indexes: Mapping[str, IndexType] = field(default_factory=dict)
    ignored: Path | None = None
    payload: type[BaseModel] | None = None

    def open(self, log: CountedRejects, counters: Counters) -> AbstractContextManager[PassageSource]:
        """The passages from the first on."""
        log.ignored = self.ignored
        settings = CollectionSettings(indexes=dict(self.indexes))
        return open_source(
            self.source, self.format, self.fields, settings, log, counters, threading.Event(), self.payload
        )

    @property
    def is_repeatable(self) -> bool:
        """Whether the source can be read more than once."""
        names = names_of(self.source)
        once = iter(self.source) is self.source if names is None and isinstance(self.source, Iterable) else False
        return not once and not any(str(name) == "-" or Path(name).is_fifo() for name in names or ())

    def check_repeatable(self, option: str) -> None:
        """Raises SettingsError where the source can be read only once, which is too few for `option`."""
        if not self.is_repeatable:
            raise SettingsError(
                f"{option} reads the source more than once, which a stream doesn't allow; write it to a file, and "
                "name that"
            )
