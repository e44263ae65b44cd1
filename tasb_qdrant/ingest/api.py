"""`ingest`: the function that callers see. What it needs is imported when it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tasb_qdrant.keywords import chosen, hidden
from tasb_qdrant.records import IngestReport

if TYPE_CHECKING:
    from pydantic import BaseModel, SecretStr

    from tasb_qdrant.encoder import Encoder
    from tasb_qdrant.ingest.progress import Progress
    from tasb_qdrant.ingest.source.open import SourceLike
    from tasb_qdrant.settings import Bm25Settings, CollectionSettings, SplitSettings, Transport
    from tasb_qdrant.sources import SourceFields, TextOptions
else:  # who asks for the types at runtime gets an answer
    BaseModel = SecretStr = Encoder = Progress = SourceLike = Any
    Bm25Settings = CollectionSettings = SplitSettings = Transport = SourceFields = TextOptions = Any


# Every option is spelled out, as editors complete them only then; a test holds them to IngestOptions.
def ingest(
    source: SourceLike,
    *,
    collection: str,
    url: str | None = None,
    path: str | Path | None = None,
    api_key: str | SecretStr | None = None,
    transport: Transport = "auto",
    grpc_port: int | None = None,
    ca_file: str | Path | None = None,
    client_cert: str | Path | None = None,
    client_key: str | Path | None = None,
    timeout: float = 60.0,
    retry_seconds: float = 120.0,
    allow_plain_http_key: bool = False,
    model: str | Path | None = None,
    revision: str | None = None,
    allow_pickle: bool = False,
    device: str = "auto",
    precision: str = "auto",
    normalize: bool | None = None,
    dim: int | None = None,
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
    encoder: Encoder | None = None,
    format: str | None = None,  # noqa: A002  # the option's name everywhere
    fields: SourceFields | None = None,
    text_options: TextOptions | None = None,
    payload: type[BaseModel] | None = None,
    settings: CollectionSettings | None = None,
    bm25: bool | Bm25Settings = False,
    split: str | SplitSettings | None = None,
    rejects: str | Path | None = None,
    max_rejects: int | None = None,
    limit: int | None = None,
    workers: int | Literal["auto"] = "auto",
    overwrite: bool = False,
    replace: bool = False,
    state: str | Path | None = None,
    restart: bool = False,
    optimize: bool = True,
    index_along: bool | None = None,
    sync: bool = False,
    delete_anyway: bool = False,
    verify: bool = False,
    peers: Sequence[str] = (),
    progress: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> IngestReport:
    """Encode the passages of `source` and store them in `collection`, which is made if it isn't there.

    `source` is a file, folder, glob or "-", several of them, an iterable of `Passage` or of dicts, or a table: a
    DataFrame of pandas or Polars, an Arrow table, a Dataset. Passages already stored
    with the same content are skipped (not with `overwrite`), so the same call twice changes nothing. Those of an edited
    source are replaced, and counted as such; but if the texts come of another field than the collection's, the first
    that would be replaced raises ReplaceRefusedError (not with `replace`). For files,
    checkpoints of what is stored are kept in the folder `state` (by default in the embedded store's folder, or the
    user's state folder): a call that was killed resumes where it stopped, and `restart` starts over. An input that
    can't be stored goes to the file `rejects`, or raises RejectedError; one more than `max_rejects` raises
    TooManyRejectsError. `RejectedLines(file)` as the source stands for the lines that such a file names.

    `limit` reads only the first passages, for a trial; `preview` shows what would be read, and stores nothing.

    `workers` processes read, check and tokenize files of lines or Parquet side by side; what is stored and reported is
    the same whatever their number. "auto" is 1, this process, unless there are four cores for each and something to
    gain: a GPU, or a collection that may hold everything already. Other sources are read by this process.

    `payload` is a pydantic model: a passage whose payload isn't an instance of it is rejected, and the fields that
    it marks with `Indexed()` get their indexes. Payloads are stored as the source has them.

    `bm25` gives each passage of a new collection a sparse vector of its words, next to the dense one; an existing
    collection keeps having them, or not having them. The average length of the passages is measured before the first
    is stored: the source is read once more for that, a million passages at most. If it can be read only once, its
    first 10,000 passages are read ahead, in this thread.

    `split`, such as "tokens:200,overlap:32", makes a new collection of passages of at most 200 tokens, title included,
    with up to 32 of the passage before. The document `doc` becomes `doc#0`, `doc#1` …, each with the document's id in
    the payload field `doc_id`, which is indexed; the report counts `documents`, and everything else passages. An
    existing collection keeps its own split, and ContractMismatchError refuses another. `search(best_per="doc_id")`
    finds documents.

    `sync` deletes, once everything else is stored, what the collection holds and the source doesn't; if that is
    likely a mistake, DeletionRefusedError is raised before anything is changed (not with `delete_anyway`).
    `plan_sync` says beforehand what will be done. `verify` compares collection and source at the end. Both look at
    every replica of a cluster (`peers` as in `verify`) and read the source more than once, so they take no stream.
    Without `model`, a new collection gets TAS-B's vectors, and an existing one those of the model that made it, as its
    contract says. It is loaded when the first passage has to be encoded: not for a source that is stored already.
    With an `encoder` given, `model`, `device` and the like are not used. `progress` shows a bar in a terminal or a
    notebook, and a line on stderr now and then elsewhere; `on_progress` is called in this thread, several times a
    second. An iterable of passages is read in another one, once and lazily.

    The store is the server `url` or the folder `path`, else `$QDRANT_URL`, else ./tasb_qdrant_data. `api_key` goes over
    plain http to another host only with `allow_plain_http_key`. `transport` is "auto", "grpc" (on `grpc_port`) or
    "rest"; over https the PEM file `ca_file` has the authorities that prove the server, and `client_cert`, with
    `client_key` if that isn't in the same file, proves the client. `timeout` is the seconds of one request,
    `retry_seconds` those for which a failed one is repeated.
    `model` is "tas-b", "minilm", a hub id (at `revision`) or a folder, with safetensors unless `allow_pickle`;
    `device` and `precision` say where and how it runs. `normalize`, `dim`, `query_prompt` and `passage_prompt` replace
    what its files say. `format`, `fields` and `text_options` say how files are read, where that isn't recognised.
    `settings` say how a new collection is made; without `optimize`, its vector index is left to a later call.
    It is built after the load, or along with it once the load turns out to leave cores idle; `index_along` True or
    False decides that beforehand.

    Raises the kinds of TasbQdrantError; what was stored by then stays stored. A collection that this call made, and
    stored nothing in, is deleted again.
    """
    api_key = hidden(api_key)
    given = locals()
    # Here and not above: `import tasb_qdrant` binds this function, and must not wait for what it needs.
    from tasb_qdrant.ingest.options import IngestOptions
    from tasb_qdrant.ingest.run import IngestRun
    from tasb_qdrant.ingest.showing import showing

    options = chosen(IngestOptions, given)
    with showing(progress, on_progress) as tell:
        options["on_progress"] = tell
        return IngestRun(source, collection, **options).run()
