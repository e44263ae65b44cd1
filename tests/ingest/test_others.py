"""Others write to the collection while a load runs, or make it another one: nothing is mixed, lost or hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from tasb_qdrant.collection.loads import LATEST_KEY, PREFIX, LoadMark, load_metadata
from tasb_qdrant.collection.open import open_collection
from tasb_qdrant.collection.reads import state as collection_state
from tasb_qdrant.errors import CollectionReplacedError, EncodingError, LoadUnderWayError
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest import lease as leases
from tasb_qdrant.ingest.progress import Progress
from tasb_qdrant.ingest.window import WINDOW_SIZE
from tasb_qdrant.records import IngestReport, Passage
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer
from tests.waiting import until

COUNT = 4 * WINDOW_SIZE

Load = Callable[..., IngestReport]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Heartbeats that come soon, and checkpoints."""
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(leases, "_LOOK_SECONDS", 0.02)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def load(qdrant_1_17: QdrantServer, collection_name: str) -> Load:
    """`ingest` into one collection of a server; `at` is called in the second window."""

    def run(source: Any, *, at: Callable[[], object] | None = None, **options: Any) -> IngestReport:
        def hook(number: int) -> None:
            if number == 1 and at is not None:
                at()

        encoder = options.pop("encoder", None) or StubEncoder(before_encode=hook)
        where = {"collection": collection_name, "url": qdrant_1_17.url, "grpc_port": qdrant_1_17.grpc_port}
        return ingest(source, encoder=encoder, **{"optimize": False, **where, **options})

    return run


@pytest.fixture
def client(qdrant_1_17: QdrantServer) -> Iterator[QdrantClient]:
    client = stored.client_of(qdrant_1_17.url)
    yield client
    client.close()


def marks(client: QdrantClient, name: str) -> list[str]:
    return [key for key in client.get_collection(name).config.metadata or {} if key.startswith(PREFIX)]


def later(count: int) -> list[Passage]:
    return stored.numbered(count, start=10 * COUNT)


def test_a_collection_made_anew_with_another_model_gets_none_of_the_vectors(
    load: Load, client: QdrantClient, collection_name: str
) -> None:
    def recreate() -> None:
        client.delete_collection(collection_name)
        load(later(50), encoder=StubEncoder(weights="9" * 64))

    with pytest.raises(
        CollectionReplacedError, match=r"the collection was number .*, made since; model was stub"
    ) as caught:
        load(stored.numbered(COUNT), at=recreate)
    assert caught.value.another_model
    assert {int(point) for point in stored.on_server(client, collection_name)} == {int(p.id) for p in later(50)}


@pytest.mark.parametrize("first", ["a read", "the heartbeat"])
def test_they_are_taken_out_whoever_notices_it_first(
    load: Load, client: QdrantClient, collection_name: str, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setattr(collection_state, "STATE_AGE", 0.0)
    if first == "a read":
        monkeypatch.setattr(leases, "BEAT_SECONDS", 3600)
    metadata: list[Any] = []

    def recreate() -> None:
        client.delete_collection(collection_name)
        load(later(50), encoder=StubEncoder(weights="9" * 64))
        metadata.append(client.get_collection(collection_name).config.metadata)

    with pytest.raises(CollectionReplacedError, match=r"made since; model was stub") as caught:
        load(stored.numbered(COUNT), at=recreate, overwrite=first == "the heartbeat")
    assert caught.value.another_model
    assert {int(point) for point in stored.on_server(client, collection_name)} == {int(p.id) for p in later(50)}
    assert client.get_collection(collection_name).config.metadata == metadata[0]


def test_a_collection_made_anew_without_bm25_ends_the_load(
    load: Load, client: QdrantClient, collection_name: str
) -> None:
    def recreate() -> None:
        client.delete_collection(collection_name)
        load(later(50))

    with pytest.raises(CollectionReplacedError, match=r"the collection was number .*, made since; bm25 was"):
        load(stored.numbered(COUNT), at=recreate, bm25=True)


def test_a_load_by_an_alias_stays_in_the_collection_that_it_began_with(
    load: Load, client: QdrantClient, collection_name: str
) -> None:
    green, alias = f"{collection_name}-green", f"{collection_name}-alias"

    def point_to(name: str) -> None:
        created = models.CreateAlias(collection_name=name, alias_name=alias)
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=created)])

    load(later(5))
    load(later(5), collection=green, encoder=StubEncoder(weights="9" * 64))
    point_to(collection_name)
    with pytest.raises(
        CollectionReplacedError, match=f"the alias '{alias}' stands for was {collection_name}, is {green}"
    ):
        load(stored.numbered(COUNT), collection=alias, at=lambda: point_to(green))
    assert client.count(green).count == 5
    client.delete_collection(green)


def test_what_others_delete_is_missing_at_the_end_however_much_they_add(
    load: Load, client: QdrantClient, collection_name: str
) -> None:
    def others() -> None:
        until(lambda: client.count(collection_name).count >= WINDOW_SIZE, "the first window is stored")
        client.delete(collection_name, models.PointIdsList(points=list(range(300))))
        points = [models.PointStruct(id=10**6 + n, vector=[1.0] * 8, payload={}) for n in range(300)]
        client.upsert(collection_name, points)

    report = load(stored.numbered(COUNT), at=others)
    assert (report.points, report.missing, report.verified) == (COUNT, 300, False)
    assert "300 passages of the source are not there any more" in report.warnings[0]
    again = load(stored.numbered(COUNT))
    assert (again.stored, again.missing, again.verified) == (300, 0, True)


def test_what_others_add_is_no_failure_and_what_they_replace_is_one(
    load: Load, client: QdrantClient, collection_name: str
) -> None:
    def add() -> None:
        client.upsert(collection_name, [models.PointStruct(id=10**6, vector=[1.0] * 8, payload={})])

    report = load(stored.numbered(COUNT), at=add)
    assert (report.points, report.points_expected, report.verified) == (COUNT + 1, None, True)
    assert "Other programs have stored or deleted passages" in report.notes[-1]

    def replace(progress: Progress) -> None:
        if progress.phase == "looking at what is stored":
            client.set_payload(collection_name, {"text": "old"}, points=list(range(10 * COUNT, 10 * COUNT + 10)))

    report = load(later(10), on_progress=replace)
    assert (report.missing, report.altered, report.verified) == (0, 10, False)


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_what_others_did_to_an_interrupted_load_is_mended_by_the_same_command(
    load: Load, client: QdrantClient, collection_name: str, tmp_path: Path, how: str
) -> None:
    source = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(COUNT))
    load(later(COUNT))

    def stop() -> None:
        until(lambda: client.count(collection_name).count >= COUNT + WINDOW_SIZE, "the first window is stored")
        raise EncodingError("stopped")

    with pytest.raises(EncodingError):
        load(source, at=stop)
    assert len(marks(client, collection_name)) == 1
    ids: list[Any] = list(range(300))
    if how == "deleted":
        client.delete(collection_name, models.PointIdsList(points=ids))
    else:  # as a snapshot brings back what was there before
        client.set_payload(collection_name, {"text": "old"}, points=ids)
    report = load(source)
    assert (report.verified, report.points) == (True, 2 * COUNT)
    assert report.stored == COUNT - WINDOW_SIZE + 300
    assert marks(client, collection_name) == []


def test_two_loads_at_once_explain_each_other_and_the_last_to_end_builds_the_index(
    load: Load, client: QdrantClient, collection_name: str
) -> None:
    inner: list[IngestReport] = []
    threshold: list[int | None] = []

    def other() -> None:
        inner.append(load(later(COUNT), optimize=True))
        threshold.append(client.get_collection(collection_name).config.optimizer_config.indexing_threshold)

    outer = load(stored.numbered(COUNT), at=other, optimize=True)
    for report in (*inner, outer):
        assert (report.stored, report.missing, report.verified) == (COUNT, 0, True)
    assert "is under way: the vector index is built when it ends." in " ".join(inner[0].notes)
    assert threshold == [0]
    assert client.get_collection(collection_name).config.optimizer_config.indexing_threshold == 10_000
    assert marks(client, collection_name) == []


def test_a_synchronisation_does_not_begin_beside_another_load(load: Load, tmp_path: Path) -> None:
    few = stored.write_jsonl(tmp_path / "few.jsonl", stored.numbered(10))
    refused: list[str] = []

    def sync() -> None:
        with pytest.raises(LoadUnderWayError, match="--sync would delete what it stores") as caught:
            load(few, sync=True)
        refused.append(str(caught.value))

    assert load(stored.numbered(COUNT), at=sync).verified
    assert len(refused) == 1
    assert load(few, sync=True).points == 10


def test_a_synchronisation_deletes_nothing_once_another_load_has_begun(load: Load, tmp_path: Path) -> None:
    load(later(COUNT))
    source = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(COUNT))
    inner: list[IngestReport] = []
    with pytest.raises(LoadUnderWayError, match="everything is stored and nothing was deleted"):
        load(source, sync=True, delete_anyway=True, at=lambda: inner.append(load(later(COUNT))))
    assert (inner[0].skipped, inner[0].verified) == (COUNT, True)
    assert load(later(COUNT)).skipped == COUNT


def test_a_load_that_died_elsewhere_is_waited_for_once(
    load: Load, client: QdrantClient, collection_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "STALE_SECONDS", 0.1)
    few = stored.write_jsonl(tmp_path / "few.jsonl", stored.numbered(10))
    load(few)
    for name, mark in {"a": LoadMark(host="gone"), "b": LoadMark(host="gone", checkpoint=7)}.items():
        client.update_collection(collection_name, metadata=load_metadata(name, mark))
    assert load(few, sync=True).verified
    metadata = client.get_collection(collection_name).config.metadata or {}
    assert [key for key in metadata if key.startswith(PREFIX)] == [f"{PREFIX}b"]
    assert metadata[f"{PREFIX}b"]["phase"] == "stopped"  # its own command may still go on with it
    assert metadata[LATEST_KEY]


def test_a_collection_says_which_loads_it_knows_on_every_store(
    qdrant_1_16: QdrantServer, collection_name: str, tmp_path: Path
) -> None:
    places: list[dict[str, Any]] = [
        {"url": qdrant_1_16.url, "grpc_port": qdrant_1_16.grpc_port, "transport": "grpc"},
        {"url": qdrant_1_16.url, "transport": "rest"},
        {"path": tmp_path},
    ]
    for place in places:
        ingest(stored.numbered(3), collection=collection_name, encoder=StubEncoder(), **place)
        with open_collection(collection_name, **place) as collection:
            mark = LoadMark.of_this_process(checkpoint=3)
            collection.note_load("x", mark)
            assert collection.loads().marks == {"x": mark}
            assert not mark.is_dead
            collection.note_load("x", None)
            assert collection.loads().marks == {}
            assert collection.reads.missing([0, 7, 1, 2, "f" * 32]) == [7, "f" * 32]
