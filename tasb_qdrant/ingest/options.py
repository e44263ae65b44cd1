"""The options of an ingest, said once: as a dictionary for callers, as values for the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from tasb_qdrant.encoder.options import EncoderOptions
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.ingest.progress import Progress
from tasb_qdrant.ingest.source.open import SourceOptions
from tasb_qdrant.settings import Bm25Settings, CollectionSettings, SplitSettings, StoreOptions


class RunOptions(TypedDict, total=False):
    """What an ingest does, apart from where it reads, encodes and stores."""

    settings: CollectionSettings | None
    """How a new collection is made; payload indexes are added to an existing one, too."""

    bm25: bool | Bm25Settings
    """Give each passage a sparse vector of its words as well, for lexical and hybrid search."""

    split: str | SplitSettings | None
    """Split texts into passages of so many tokens: "tokens:200,overlap:32"; None is as the collection has them."""

    rejects: str | Path | None
    """A JSONL file for inputs that can't be stored; None stops at the first."""

    max_rejects: int | None
    """Stop once more inputs than this were rejected."""

    limit: int | None
    """Read only so many passages, the first of the source: for a trial."""

    workers: int | Literal["auto"]
    """How many processes read, check and tokenize; auto goes by the cores and the device, and 1 is this one alone, with
    the encoder of a single GPU."""

    overwrite: bool
    """Encode and store again what is stored with the same content already."""

    replace: bool
    """Let texts of another field replace those that are stored, which is refused otherwise."""

    state: str | Path | None
    """The folder for checkpoints; None is the embedded store's own, or the user's state folder."""

    restart: bool
    """Forget the checkpoint of an interrupted run, and start over."""

    optimize: bool
    """Build the vector index at the end."""

    index_along: bool | None
    """Build it along with the load, or (False) at its end; None: at the end, unless the load leaves cores idle."""

    sync: bool
    """Delete at the end what the collection holds and the source doesn't."""

    delete_anyway: bool
    """With `sync`: delete even if that looks like a mistake."""

    verify: bool
    """Compare the collection with the source at the end."""

    peers: Sequence[str]
    """Addresses of a cluster's other nodes, for `sync` and `verify`, if they can't be derived."""

    progress: bool
    """Show how far it is: a bar in a terminal or a notebook, a line on stderr now and then elsewhere."""

    on_progress: Callable[[Progress], None] | None
    """Called in the calling thread, several times a second."""


@dataclass(frozen=True, slots=True)
class RunChoice:
    """The same as a value, with the defaults."""

    settings: CollectionSettings | None = None
    bm25: bool | Bm25Settings = False
    split: str | SplitSettings | None = None
    rejects: str | Path | None = None
    max_rejects: int | None = None
    limit: int | None = None
    workers: int | Literal["auto"] = "auto"
    overwrite: bool = False
    replace: bool = False
    state: str | Path | None = None
    restart: bool = False
    optimize: bool = True
    index_along: bool | None = None
    sync: bool = False
    delete_anyway: bool = False
    verify: bool = False
    peers: Sequence[str] = ()
    progress: bool = False
    on_progress: Callable[[Progress], None] | None = None

    def __post_init__(self) -> None:
        if self.index_along and not self.optimize:
            raise SettingsError(
                "index_along builds the vector index during the load, and without optimize it is left to a later call; "
                "leave out one of them"
            )

    @property
    def along(self) -> bool | None:
        """When the index is built: along with the load, at its end or later, or as it turns out to be better."""
        return self.index_along if self.optimize else False


class IngestOptions(StoreOptions, EncoderOptions, SourceOptions, RunOptions, total=False):
    """Everything that `ingest` takes, apart from the source and the collection's name."""
