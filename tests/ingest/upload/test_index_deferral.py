"""The bulk settings around a load: put off, put back, and within what the store allows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from tasb_qdrant.errors import RequestRefusedError, SettingsError
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.progress import Progress
from tasb_qdrant.ingest.upload import index_deferral
from tasb_qdrant.ingest.upload.idle import IdleShare
from tasb_qdrant.ingest.upload.index_deferral import LOOK_SECONDS, IndexDeferral
from tasb_qdrant.records import IngestReport, Passage
from tasb_qdrant.settings import CollectionSettings
from tests.ingest import stored
from tests.ingest.fakes import CountingCollection, StubEncoder
from tests.ingest.resume.test_killed import kill_at
from tests.qdrant_servers import QdrantServer


class Deferring(CountingCollection):
    def __init__(self, *, deferred: bool = False) -> None:
        super().__init__()
        self.is_deferred = deferred
        self.defers = 0

    def index_deferred(self) -> bool:
        return self.is_deferred

    def defer_indexing(self) -> None:
        self.defers += 1


@pytest.mark.parametrize(("before", "deferred"), [(0, False), (1000, True), (0, True)])
def test_the_index_of_an_empty_or_unfinished_collection_is_deferred_at_once(before: int, deferred: bool) -> None:
    collection = Deferring(deferred=deferred)
    deferral = IndexDeferral(collection, points_before=before)
    assert collection.defers == 1
    deferral.stored(10**6)
    assert collection.defers == 1


def test_the_index_of_a_collection_in_use_is_deferred_once_a_load_outgrows_it() -> None:
    collection = Deferring()
    deferral = IndexDeferral(collection, points_before=1000)
    for count in (0, 512, 1000):
        deferral.stored(count)
        assert collection.defers == 0
    deferral.stored(1001)
    deferral.stored(1500)
    assert collection.defers == 1


Load = Callable[..., IngestReport]


@pytest.fixture
def load(qdrant_server: QdrantServer) -> Iterator[Load]:
    """Runs `ingest` into collection "c" of a server."""

    def load(passages: Any, **options: Any) -> IngestReport:
        return ingest(
            passages,
            collection="c",
            url=qdrant_server.url,
            grpc_port=qdrant_server.grpc_port,
            **{"encoder": StubEncoder(dim=64)} | options,
        )

    yield load
    client = stored.client_of(qdrant_server.url)
    client.delete_collection("c")
    client.close()


@pytest.fixture
def client(qdrant_server: QdrantServer) -> Iterator[QdrantClient]:
    client = stored.client_of(qdrant_server.url)
    yield client
    client.close()


def threshold(client: QdrantClient) -> int | None:
    return client.get_collection("c").config.optimizer_config.indexing_threshold


def test_a_load_defers_the_index_and_ends_with_the_wanted_settings(load: Load, client: QdrantClient) -> None:
    seen: list[int | None] = []
    encoder = StubEncoder(dim=64, before_encode=lambda _: seen.append(threshold(client)))
    settings = CollectionSettings(indexes={"year": "integer"}, indexing_threshold_kb=4321)
    report = load(stored.numbered(2000), encoder=encoder, settings=settings)
    assert report.verified
    assert set(seen) == {0}
    described = client.get_collection("c")
    assert threshold(client) == 4321
    assert described.indexed_vectors_count == 2000
    assert set(described.payload_schema) == {"year"}


def test_the_same_load_again_touches_no_setting(
    load: Load, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(stored.numbered(2000))
    updates: list[Any] = []
    monkeypatch.setattr(QdrantClient, "update_collection", lambda *_, **options: updates.append({*options}))
    report = load(stored.numbered(2000))
    assert (report.stored, report.skipped) == (0, 2000)
    assert all(each == {"metadata"} for each in updates)  # which other loads read; no setting


def test_a_small_addition_neither_defers_nor_rebuilds(
    load: Load, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(stored.numbered(2000))
    updates: list[Any] = []
    monkeypatch.setattr(QdrantClient, "update_collection", lambda *_, **options: updates.append({*options}))
    report = load(stored.numbered(2100))
    assert (report.stored, report.points) == (100, 2100)
    assert all(each == {"metadata"} for each in updates)  # which other loads read; no setting
    assert (client.get_collection("c").indexed_vectors_count or 0) >= 2000


def test_a_load_that_outgrows_the_collection_defers_and_indexes_all(load: Load, client: QdrantClient) -> None:
    load(stored.numbered(600))
    seen: list[int | None] = []
    encoder = StubEncoder(dim=64, before_encode=lambda _: seen.append(threshold(client)))
    load(stored.numbered(8000), encoder=encoder)
    assert seen[0] == 10_000
    assert seen[-1] == 0
    assert threshold(client) == 10_000
    assert client.get_collection("c").indexed_vectors_count == 8000


def test_a_load_that_failed_is_finished_by_the_next_though_it_stores_nothing(load: Load, client: QdrantClient) -> None:
    load(stored.numbered(1000), optimize=False)
    assert threshold(client) == 0
    report = load(stored.numbered(1000))
    assert report.stored == 0
    assert threshold(client) == 10_000
    assert client.get_collection("c").indexed_vectors_count == 1000


def test_ctrl_c_while_the_index_is_built_leaves_the_wanted_settings(load: Load, client: QdrantClient) -> None:
    def interrupt(now: Progress) -> None:
        if now.index is not None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(stored.numbered(3000), on_progress=interrupt)
    assert threshold(client) == 10_000
    assert client.count("c").count == 3000


def test_a_run_killed_while_the_index_is_built_ends_with_the_wanted_settings_the_next_time(
    tmp_path: Path, qdrant_server: QdrantServer, client: QdrantClient
) -> None:
    source = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(6000))
    where = (str(source), "url", qdrant_server.url, str(qdrant_server.grpc_port))
    assert kill_at("building the vector index", *where)
    report = ingest(
        source,
        collection="c",
        url=qdrant_server.url,
        grpc_port=qdrant_server.grpc_port,
        encoder=StubEncoder(),
        settings=CollectionSettings(indexes={"year": "integer"}),
    )
    assert (report.stored, report.points) == (0, 6000)
    assert threshold(client) == 10_000
    assert (client.get_collection("c").indexed_vectors_count or 0) >= 5900
    client.delete_collection("c")


@pytest.mark.parametrize("version", ["1.16.3", "1.17.0"])
def test_a_server_that_crashes_during_the_load_ends_with_the_wanted_settings(version: str, tmp_path: Path) -> None:
    with QdrantServer.start(version, tmp_path / "server") as server:
        crashed = threading.Event()

        def crash(call: int) -> None:
            if call == 3 and not crashed.is_set():
                crashed.set()
                server.kill()
                server.restart()

        report = ingest(
            stored.numbered(6000),
            collection="c",
            url=server.url,
            grpc_port=server.grpc_port,
            encoder=StubEncoder(dim=64, before_encode=crash),
            settings=CollectionSettings(indexing_threshold_kb=4321),
        )
        assert crashed.is_set()
        assert report.verified
        client = stored.client_of(server.url)
        assert threshold(client) == 4321
        assert client.get_collection("c").indexed_vectors_count == 6000
        client.close()


def under_strict_mode(client: QdrantClient, load: Load, **limits: Any) -> None:
    """Collection "c" with one passage, and these limits."""
    load([Passage("first", "text")])
    client.update_collection("c", strict_mode_config=models.StrictModeConfig(enabled=True, **limits))


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_load_keeps_to_every_limit_of_strict_mode(load: Load, client: QdrantClient, transport: str) -> None:
    under_strict_mode(
        client,
        load,
        upsert_max_batchsize=100,
        max_query_limit=50,
        max_timeout=60,
        read_rate_limit=20_000,
        write_rate_limit=6_000,
        unindexed_filtering_retrieve=False,
        unindexed_filtering_update=False,
        search_allow_exact=False,
        max_payload_index_count=1,
        max_points_count=100_000,
    )
    report = load(stored.numbered(1500), transport=transport)
    assert (report.points, report.verified) == (1501, True)
    words = " ".join(report.notes)
    for said in ("99,999 more passages", "6,000 passages a minute", "without a payload index"):
        assert said in words
    assert load(stored.numbered(1500), transport=transport).skipped == 1500


def test_a_slow_write_rate_is_kept_to_without_failing(load: Load, client: QdrantClient) -> None:
    under_strict_mode(client, load, write_rate_limit=1200)
    assert load(stored.numbered(1280)).verified  # the last 80 take four seconds of waiting


def test_a_list_that_cannot_fit_is_refused_before_anything_is_encoded(load: Load, client: QdrantClient) -> None:
    under_strict_mode(client, load, max_points_count=50)
    client.delete("c", models.PointIdsList(points=[client.scroll("c")[0][0].id]))
    encoder = StubEncoder(dim=64)
    with pytest.raises(RequestRefusedError, match=r"allows 50 passages .* and 51 are to be stored"):
        load(stored.numbered(51), encoder=encoder)
    assert encoder.tokenized == 0
    repeated = stored.numbered(50) * 2
    assert load(repeated).points == 50


def test_payload_indexes_beyond_the_limit_are_refused_before_anything_is_encoded(
    load: Load, client: QdrantClient
) -> None:
    under_strict_mode(client, load, max_payload_index_count=1)
    encoder = StubEncoder(dim=64)
    with pytest.raises(RequestRefusedError, match="allows 1 payload indexes"):
        load(
            stored.numbered(5),
            encoder=encoder,
            settings=CollectionSettings(indexes={"year": "integer", "tags": "keyword"}),
        )
    assert encoder.tokenized == 0


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Resuming(Deferring):
    """On this machine, or `elsewhere`; `does_defer` is what a store says that builds no index before the end."""

    def __init__(self, *, elsewhere: bool = False, does_defer: bool = True) -> None:
        super().__init__()
        self.elsewhere, self.does_defer = elsewhere, does_defer
        self.resumed = 0

    @property
    def shares_machine(self) -> bool:
        return not self.elsewhere

    def defer_indexing(self) -> None:
        super().defer_indexing()
        self.is_deferred = self.does_defer

    def resume_indexing(self) -> None:
        self.resumed += 1
        self.is_deferred = False


def _deferral(collection: Resuming, *, idle: float, clock: Clock, **options: Any) -> IndexDeferral:
    deferral = IndexDeferral(collection, points_before=0, clock=clock, idle=lambda: idle, **options)
    deferral.begin()
    return deferral


@pytest.mark.parametrize(
    ("idle", "elsewhere", "why"),
    [(0.75, False, "75% of this machine is idle"), (0.1, True, "the server is elsewhere"), (0.1, False, "")],
)
def test_the_index_is_built_along_with_a_load_that_leaves_cores_idle(idle: float, elsewhere: bool, why: str) -> None:
    collection, clock = Resuming(elsewhere=elsewhere), Clock()
    said: list[str] = []
    deferral = _deferral(collection, idle=idle, clock=clock, note=said.extend)
    clock.now = LOOK_SECONDS - 1
    deferral.stored(100_000)
    assert collection.resumed == 0  # a load that is over by then isn't worth it
    for seconds in (1, 2, 3):
        clock.now = LOOK_SECONDS * seconds
        deferral.stored(200_000)
    assert (collection.defers, collection.resumed) == (1, 1 if why else 0)
    assert tuple(said) == deferral.notes
    assert len(said) == (1 if why else 0)
    assert why in " ".join(said)


def test_whoever_wants_the_index_at_the_end_gets_it_there() -> None:
    collection, clock = Resuming(elsewhere=True), Clock()
    deferral = _deferral(collection, idle=1.0, clock=clock, along=False)
    clock.now = 10 * LOOK_SECONDS
    deferral.stored(10**6)
    assert (collection.defers, collection.resumed) == (1, 0)


def test_whoever_wants_it_along_with_the_load_gets_it_from_the_first_passage_on() -> None:
    collection, clock = Resuming(), Clock()
    deferral = IndexDeferral(collection, points_before=0, along=True, clock=clock, idle=lambda: 0.0)
    assert collection.resumed == 0  # a load that stores nothing changes nothing
    deferral.begin()
    deferral.stored(10**6)
    assert (collection.defers, collection.resumed) == (0, 1)


def test_a_store_that_builds_no_index_before_the_end_is_left_alone() -> None:
    collection, clock = Resuming(does_defer=False), Clock()
    deferral = _deferral(collection, idle=1.0, clock=clock)
    clock.now = LOOK_SECONDS
    deferral.stored(10)
    assert (collection.resumed, deferral.notes) == (0, ())


@pytest.mark.parametrize("along", [True, None])
def test_a_load_with_its_index_along_ends_with_all_in_it_and_the_wanted_settings(
    load: Load, client: QdrantClient, monkeypatch: pytest.MonkeyPatch, along: bool | None
) -> None:
    monkeypatch.setattr(index_deferral, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(index_deferral, "IDLE_ENOUGH", 0.0)
    seen: list[int | None] = []
    encoder = StubEncoder(dim=64, before_encode=lambda _: seen.append(threshold(client)))
    settings = CollectionSettings(indexing_threshold_kb=100)
    report = load(stored.numbered(3000), encoder=encoder, settings=settings, index_along=along)
    assert report.verified
    assert seen[-1] == threshold(client) == 100
    assert client.get_collection("c").indexed_vectors_count == 3000
    assert any("built along with the load" in note for note in report.notes) is (along is None)
    assert load(stored.numbered(3000), settings=settings, index_along=along).stored == 0
    assert threshold(client) == 100


def test_an_index_along_with_a_load_that_leaves_it_to_others_is_refused(load: Load) -> None:
    with pytest.raises(SettingsError, match="leave out one of them"):
        load(stored.numbered(1), optimize=False, index_along=True)


def test_the_idle_share_is_of_the_time_between_two_looks(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n")
    idle, limited = IdleShare(stat, limited=False), IdleShare(stat, limited=True)
    stat.write_text("cpu  120 0 110 750 110 5 5 0 70 0\ncpu0 1 2 3\n")
    assert idle.look() == pytest.approx(0.6)
    assert idle.look() == 0.0  # no time has passed
    assert limited.look() == 0.0  # the others' cores aren't for it
    assert IdleShare(tmp_path / "nowhere", limited=False).look() == 0.0
