"""Servers from 1.18 on: what they hide, queue, and refuse for a while is waited for, and settings are put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import grpc
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages

from tasb_qdrant.collection.open import open_for_writing
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.collection.protocol import Collection, OpenCollection
from tasb_qdrant.collection.schema import CollectionSchema, read_schema
from tasb_qdrant.collection.server.store import ServerStore
from tasb_qdrant.collection.watch import Watch
from tasb_qdrant.errors import CollectionReplacedError, ServerBusyError, StoreCorruptError
from tasb_qdrant.ingest import ingest
from tasb_qdrant.records import Passage, RoleFields
from tasb_qdrant.settings import CollectionSettings, store_settings
from tests.collection.faults import GrpcFault, GrpcProxy, HttpFault
from tests.collection.helpers import CONTRACT, fill, fresh_name, passages, payloads_of, random_vectors
from tests.collection.newer import NewerServer
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer


@dataclass
class Opened:
    """A collection on a newer server, its store, and the seconds that were waited."""

    server: NewerServer
    store: ServerStore
    collection: Collection
    waits: list[float]
    watch: Watch
    told: list[str]

    def again(self) -> OpenCollection:
        return self.store.open(self.collection.name)

    def recorded(self, plain: QdrantServer) -> CollectionSchema:
        client = QdrantClient(url=plain.url, check_compatibility=False)
        metadata = client.get_collection(self.collection.name).config.metadata
        client.close()
        return read_schema(metadata, name="", location="")


@pytest.fixture
def opened(qdrant_1_17: QdrantServer) -> Iterator[Opened]:
    waits: list[float] = []
    told: list[str] = []
    watch = Watch()
    watch.on_failure = lambda: told.append(watch.waiting_for())
    with NewerServer(qdrant_1_17) as server:
        settings = store_settings(url=server.url, transport="rest", retry_seconds=20)
        store = ServerStore(settings, sleep=waits.append, watch=watch)
        name = fresh_name()
        collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
        yield Opened(server, store, collection, waits, watch, told)
        server.always = None
        server.prevent = False
        store.delete(name)
        store.close()


def _batch(count: int = 3) -> PointBatch:
    return PointBatch(passages(range(count)), random_vectors(count))


def test_a_write_that_is_not_visible_in_time_is_waited_for_and_not_sent_again(opened: Opened) -> None:
    opened.server.prevent = True
    opened.collection.upsert(_batch(8))
    assert opened.server.writes == 1
    assert opened.server.hidden == 0
    assert len(opened.waits) >= 7
    assert opened.collection.reads.count() == 8


def test_a_write_that_was_said_to_be_on_its_way_and_is_not_there_is_sent_again(opened: Opened) -> None:
    timeout = b'{"result":{"operation_id":1,"status":"wait_timeout"},"status":"ok","time":0.0}'
    opened.server.watch(("PUT", "/points"))
    opened.server.script.append(HttpFault(200, body=timeout))
    opened.collection.upsert(_batch())
    assert len(opened.server.seen) == 2
    changed = [Passage("0", "another text"), *passages(range(1, 3))]
    opened.server.script.append(HttpFault(200, body=timeout))
    opened.collection.upsert(PointBatch(changed, random_vectors(3)))  # the old texts are there, not the new one
    assert payloads_of(opened.collection, [0])[0]["text"] == "another text"
    opened.server.script.append(HttpFault(200, body=timeout))
    opened.collection.upsert(PointBatch(changed, random_vectors(3, seed=1)))  # the same texts with other vectors
    assert len(opened.server.seen) == 6


def test_edits_that_are_not_visible_in_time_are_waited_for_too(opened: Opened) -> None:
    fill(opened.collection, 5)
    late = b'{"result":{"operation_id":1,"status":"wait_timeout"},"status":"ok","time":0.0}'
    many = b'{"result":[{"operation_id":1,"status":"wait_timeout"}],"status":"ok","time":0.0}'
    collection = opened.again()
    opened.server.watch(("POST", "/delete"), ("POST", "/batch"))
    edits: list[tuple[bytes, Callable[[], None]]] = [
        (late, lambda: collection.delete_points([0, 1])),
        (many, lambda: collection.replace_payloads({2: {"passage_id": "2", "text": "new", "n": 1}})),
        (many, lambda: collection.patch_payloads([3, 4], {"year": 2024}, [])),
        (many, lambda: collection.patch_payloads([3, 4], {}, ["n"])),
    ]
    for body, edit in edits:
        opened.server.hidden = 2
        opened.server.script.append(HttpFault(200, body=body, late=True))
        edit()
    assert len(opened.server.seen) == 4
    stored = payloads_of(collection, range(5))
    assert set(stored) == {2, 3, 4}
    assert stored[2]["text"] == "new"
    assert [(stored[each]["year"], "n" in stored[each]) for each in (3, 4)] == [(2024, False)] * 2
    opened.server.script.append(HttpFault(200, body=late))  # this one was lost
    collection.delete_points([4])
    assert len(opened.server.seen) == 6
    assert collection.reads.count() == 2


def test_over_grpc_a_write_that_is_not_visible_in_time_is_looked_at(qdrant_1_17: QdrantServer) -> None:
    answer = messages.PointsOperationResponse(
        result=messages.UpdateResult(operation_id=1, status=messages.UpdateStatus.WaitTimeout)
    ).SerializeToString()
    with GrpcProxy(qdrant_1_17) as proxy:
        settings = store_settings(url=qdrant_1_17.url, grpc_port=proxy.port, transport="grpc")
        store = ServerStore(settings, sleep=lambda _: None)
        name = fresh_name()
        collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings(vectors="float16"))
        proxy.script.append(GrpcFault(answer=answer, late=True))
        collection.upsert(_batch())
        assert proxy.seen == 1
        assert messages.UpsertPoints.FromString(proxy.requests[0]).timeout == 55  # before our own deadline
        store.delete(name)
        store.close()


def test_a_write_that_stays_invisible_is_an_error_that_says_what_is_hidden(opened: Opened) -> None:
    opened.server.prevent, opened.server.work = True, 0
    timeout = b'{"result":{"operation_id":1,"status":"wait_timeout"},"status":"ok","time":0.0}'
    opened.server.hidden = 7
    opened.server.watch(("PUT", "/points"))
    opened.server.always = HttpFault(200, body=timeout)
    with pytest.raises(ServerBusyError, match="it has 7 points that are hidden until they are indexed"):
        opened.collection.upsert(_batch())
    assert sum(opened.waits) < 60 * 20


def test_what_was_acknowledged_is_waited_for_before_it_is_counted(opened: Opened) -> None:
    fill(opened.collection, 5)
    opened.server.queued, opened.server.hidden = 6, 3
    assert opened.collection.reads.count() == 2
    assert opened.collection.wait_until_visible() == ""
    assert opened.collection.reads.count() == 5
    opened.server.hidden, opened.server.work = 3, 0
    assert "has 3 points that are hidden until they are indexed" in opened.collection.wait_until_visible()
    assert 19 <= sum(opened.waits) <= 25


def test_a_person_who_searches_is_told_of_hidden_points(opened: Opened) -> None:
    opened.server.hidden, opened.server.work = 1_234, 0
    assert any("1,234 points" in note and "hidden from searches and counts" in note for note in opened.again().notes)


@pytest.mark.parametrize("optimize", [True, False])
def test_a_persons_own_prevent_unoptimized_is_off_for_a_load_and_put_back(
    opened: Opened, qdrant_1_17: QdrantServer, optimize: bool
) -> None:
    fill(opened.collection, 20)
    opened.server.prevent = True
    collection = opened.again()
    collection.begin_load()
    assert opened.server.updates == [{"prevent_unoptimized": False}]
    assert opened.recorded(qdrant_1_17).prevent_suspended
    (note,) = opened.again().notes
    assert "prevent_unoptimized" in note
    assert "collection optimize" in note
    collection.upsert(_batch())
    assert opened.server.hidden == 0
    if optimize:
        collection.settle_index(changed=True)
    else:
        collection.end_load()
    assert opened.server.prevent is True
    assert not opened.recorded(qdrant_1_17).prevent_suspended
    assert opened.again().notes == ()


def test_it_is_put_back_after_a_load_that_was_killed_and_not_taken_for_a_wish(
    opened: Opened, qdrant_1_17: QdrantServer
) -> None:
    fill(opened.collection, 20)
    opened.server.prevent = True
    opened.again().begin_load()  # and the process is gone
    again = opened.again()
    again.begin_load()
    again.settle_index(changed=False)
    assert opened.server.prevent is True
    opened.again().begin_load()
    opened.again().optimize()
    assert opened.server.prevent is True
    assert opened.recorded(qdrant_1_17).prevent_suspended is False


def test_a_deferred_load_keeps_the_wish_as_well(opened: Opened) -> None:
    opened.server.prevent = True
    collection = opened.again()
    collection.defer_indexing()
    assert opened.server.prevent is False
    fill(collection, 20)
    again = opened.again()  # the process is gone
    again.begin_load()
    again.settle_index(changed=False)
    assert opened.server.prevent is True


@pytest.mark.parametrize("killed", [True, False])
def test_a_load_whose_index_is_built_along_with_it_keeps_the_wish_as_well(
    opened: Opened, qdrant_1_17: QdrantServer, killed: bool
) -> None:
    opened.server.prevent = True
    collection = opened.again()
    collection.defer_indexing()
    collection.begin_load()
    collection.resume_indexing()
    assert not collection.index_deferred()
    assert opened.server.prevent is False
    assert opened.recorded(qdrant_1_17).prevent_suspended
    collection.upsert(_batch())
    assert opened.server.hidden == 0
    if killed:
        collection = opened.again()
        collection.begin_load()
    collection.settle_index(changed=not killed)
    assert opened.server.prevent is True
    assert not opened.recorded(qdrant_1_17).prevent_suspended


@pytest.mark.parametrize("how", ["optimize", "settle", "defer", "end"])
def test_the_last_of_several_loads_puts_back_what_the_first_switched_off(
    opened: Opened, qdrant_1_17: QdrantServer, how: str
) -> None:
    fill(opened.collection, 20)
    opened.server.prevent = True
    first, last = opened.again(), opened.again()
    first.begin_load()
    last.begin_load()  # finds it off, and knows from the record alone that it is to be put back
    body = RoleFields(id=("id",), text=("body",))
    first.record_fields(body)
    if how == "optimize":
        last.optimize()
    elif how == "settle":
        last.settle_index(changed=True)
    elif how == "defer":
        last.defer_indexing()
        last.settle_index(changed=False)
    else:
        last.end_load()
    assert opened.server.prevent is True
    recorded = opened.recorded(qdrant_1_17)
    assert (recorded.prevent_suspended, recorded.prevent_unoptimized, recorded.fields) == (False, True, body)


def test_a_load_that_ends_later_overwrites_nothing_that_another_recorded(
    opened: Opened, qdrant_1_17: QdrantServer
) -> None:
    fill(opened.collection, 20)
    opened.server.prevent = True
    first, other = opened.again(), opened.again()
    first.begin_load()
    body = RoleFields(id=("id",), text=("body",))
    other.record_fields(body)
    first.end_load()
    assert opened.server.prevent is True
    assert opened.recorded(qdrant_1_17).fields == body


def test_a_load_leaves_the_settings_of_a_collection_alone_that_was_made_anew(
    opened: Opened, qdrant_1_17: QdrantServer
) -> None:
    opened.server.prevent = True
    first = opened.again()
    first.begin_load()
    name = first.name
    opened.store.delete(name)
    other = replace(CONTRACT, weights="9" * 64)
    open_for_writing(name, opened.store, contract=other, settings=CollectionSettings()).close()
    opened.server.updates.clear()
    for step in (
        first.begin_load,
        first.end_load,
        first.defer_indexing,
        first.resume_indexing,
        first.optimize,
        lambda: first.settle_index(changed=True),
        lambda: first.record_fields(RoleFields(text=("body",))),
    ):
        with pytest.raises(CollectionReplacedError, match="made since"):
            step()
    assert opened.server.updates == []
    assert opened.recorded(qdrant_1_17).contract == other


def test_a_collection_made_anew_while_its_index_is_built_keeps_its_settings(
    opened: Opened, qdrant_1_17: QdrantServer
) -> None:
    fill(opened.collection, 20)
    first = opened.again()

    def recreate(_: object) -> None:
        opened.store.delete(first.name)
        settings = CollectionSettings(indexing_threshold_kb=777)
        open_for_writing(first.name, opened.store, contract=CONTRACT, settings=settings).close()
        opened.server.updates.clear()

    with pytest.raises(CollectionReplacedError):
        first.optimize(recreate)
    assert opened.server.updates == []
    assert opened.recorded(qdrant_1_17).indexing_threshold_kb == 777


def test_somebody_who_switches_it_off_is_not_overruled(opened: Opened) -> None:
    fill(opened.collection, 20)
    opened.server.prevent = True
    collection = opened.again()
    collection.begin_load()
    collection.end_load()
    opened.server.prevent = False
    opened.again().optimize()
    assert opened.server.prevent is False


def test_without_it_a_load_asks_twice_and_changes_nothing(opened: Opened) -> None:
    fill(opened.collection, 20)
    opened.server.looks = 0
    opened.collection.begin_load()
    opened.collection.end_load()
    assert (opened.server.looks, opened.server.updates) == (2, [])


def test_points_that_stay_hidden_though_nothing_goes_on_are_reported(opened: Opened) -> None:
    fill(opened.collection, 5)
    opened.server.hidden, opened.server.work = 5, 0
    with pytest.raises(ServerBusyError, match="doesn't begin"):
        opened.collection.optimize()


def test_an_ingest_into_a_collection_that_hides_points_stores_and_counts_all(
    opened: Opened, qdrant_1_17: QdrantServer
) -> None:
    name = fresh_name()
    source = [Passage(str(number), f"passage {number}") for number in range(30)]
    common = {"collection": name, "encoder": StubEncoder(), "url": opened.server.url, "transport": "rest"}
    assert ingest(source, **common).stored == 30  # type: ignore[arg-type]
    opened.server.prevent = True
    opened.server.queued = 3
    report = ingest([*source, Passage("new", "a new one")], verify=True, **common)  # type: ignore[arg-type]
    assert (report.stored, report.points, report.points_expected) == (1, 31, 31)
    assert report.verification is not None
    assert report.verification.equal
    assert opened.server.prevent is True
    assert not any("wait_timeout" in warning for warning in report.warnings)
    opened.store.delete(name)


QUOTA = "Disk usage is at 91% of total capacity, exceeding the configured limit of 90%. Help: Reduce disk usage, or "
QUOTA += "raise `max_disk_usage_percent` in the global quota config."
QUOTA_BODY = b'{"status":{"error":"%s"},"time":0.0}' % QUOTA.encode()


@pytest.mark.parametrize("status", [507, 429, 400])
def test_a_quota_is_waited_for_and_told(opened: Opened, status: int) -> None:
    opened.server.watch(("PUT", "/points"))
    opened.server.script.extend([HttpFault(status, body=QUOTA_BODY)] * 3)
    opened.collection.upsert(_batch())
    assert len(opened.server.seen) == 4
    assert len(opened.waits) == 3
    assert all("max_disk_usage_percent" in sentence for sentence in opened.told)
    opened.server.always = HttpFault(status, body=QUOTA_BODY)
    with pytest.raises(ServerBusyError, match="reached its quota of memory or disk") as caught:
        opened.collection.upsert(_batch())
    assert "raised, and run the same again" in str(caught.value)


def test_a_full_update_queue_is_waited_for(opened: Opened) -> None:
    opened.server.watch(("PUT", "/points"))
    full = b'{"status":{"error":"Service unavailable: the update queue is full"},"time":0.0}'
    opened.server.script.extend([HttpFault(503, body=full)] * 4)
    opened.collection.upsert(_batch())
    assert (len(opened.server.seen), len(opened.waits), len(opened.told)) == (5, 4, 4)


def test_a_full_disk_is_not_called_a_quota(opened: Opened) -> None:
    opened.server.watch(("PUT", "/points"))
    opened.server.always = HttpFault(500, body=b'{"status":{"error":"No space left on device (os error 28)"}}')
    with pytest.raises(ServerBusyError, match="the server's disk is full"):
        opened.collection.upsert(_batch())


@pytest.mark.parametrize(
    "fault",
    [
        GrpcFault(grpc.StatusCode.RESOURCE_EXHAUSTED, QUOTA),
        GrpcFault(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", metadata=(("x-insufficient-storage", "1"),)),
    ],
)
def test_over_grpc_a_quota_is_told_from_a_rate_limit(qdrant_1_17: QdrantServer, fault: GrpcFault) -> None:
    with GrpcProxy(qdrant_1_17) as proxy:
        settings = store_settings(url=qdrant_1_17.url, grpc_port=proxy.port, transport="grpc", retry_seconds=5)
        store = ServerStore(settings, sleep=lambda _: None)
        name = fresh_name()
        collection = open_for_writing(name, store, contract=CONTRACT, settings=CollectionSettings())
        proxy.script.extend([fault] * 2)
        collection.upsert(_batch())
        assert proxy.seen == 3
        proxy.always = fault
        with pytest.raises(ServerBusyError, match="reached its quota"):
            collection.upsert(_batch())
        proxy.always = None
        store.delete(name)
        store.close()


def test_a_sparse_vector_that_the_collection_lost_is_noticed_before_it_is_sent(opened: Opened) -> None:
    """A server drops the vectors of a name that it doesn't know, without a word (qdrant#9521)."""
    name = fresh_name()
    settings = CollectionSettings(bm25={"avg_len": 5.0})  # type: ignore[arg-type]  # pydantic reads it
    collection = open_for_writing(name, opened.store, contract=CONTRACT, settings=settings)
    client = QdrantClient(url=opened.server.url, check_compatibility=False)
    metadata = client.get_collection(name).config.metadata
    client.delete_collection(name)
    dense = models.VectorParams(size=4, distance=models.Distance.DOT)
    client.create_collection(name, vectors_config=dense, metadata=metadata)
    for look in (collection.begin_load, lambda: opened.store.open(name)):
        with pytest.raises(StoreCorruptError, match="should hold a sparse vector 'bm25'"):
            look()
    client.delete_collection(name)
    client.close()


def test_a_collection_without_bm25_is_never_sent_a_named_vector(opened: Opened) -> None:
    opened.server.watch(("PUT", "/points"))
    opened.collection.upsert(_batch())
    (body,) = opened.server.bodies
    assert b"bm25" not in body
    assert b'"vectors":[[' in body.replace(b" ", b"")
