"""A verification finds what differs, names it, and repairs it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from tasb_qdrant import Passage, Searcher, VerifyReport, ingest, verify
from tasb_qdrant.collection.open import open_collection
from tasb_qdrant.collection.points import PointBatch, PointId
from tasb_qdrant.collection.protocol import OpenCollection
from tasb_qdrant.encoder.lazy import LazyEncoder
from tasb_qdrant.encoder.options import EncoderChoice
from tasb_qdrant.errors import CollectionError, ContractMismatchError, RequestRefusedError, SettingsError
from tasb_qdrant.ingest.verify.check import Check
from tests.collection.helpers import delete_vectors, payloads_of, vectors_of
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer

COUNT = 1_100  # more than two windows

Where = dict[str, Any]


def corpus() -> list[Passage]:
    """Numbers, and ids that become UUIDs."""
    return [*stored.numbered(COUNT), *(Passage(f"name {n}", f"text of {n}", payload={"n": n / 7}) for n in range(100))]


@pytest.fixture(params=["embedded", *(pytest.param(way, marks=pytest.mark.server) for way in ("grpc", "rest"))])
def where(request: pytest.FixtureRequest, tmp_path: Path, collection_name: str) -> Iterator[Where]:
    """Where a collection is: the arguments that say so, in a store of each kind."""
    if request.param == "embedded":
        yield {"collection": "c", "path": tmp_path / "store"}
        return
    server: QdrantServer = request.getfixturevalue("qdrant_1_17")
    yield {
        "collection": collection_name,
        "url": server.url,
        "grpc_port": server.grpc_port,
        "transport": request.param,
    }
    client = stored.client_of(server.url)
    client.delete_collection(collection_name)
    client.close()


def load(passages: list[Passage], where: Where) -> None:
    ingest(passages, encoder=StubEncoder(), optimize=False, **where)


def opened(where: Where) -> OpenCollection:
    return open_collection(
        where["collection"], **{name: value for name, value in where.items() if name != "collection"}
    )


def counts(found: VerifyReport) -> dict[str, int]:
    names = ("missing", "extra", "duplicates", "text", "payload", "no_vector", "vectors")
    return {name: getattr(found, name) for name in names if getattr(found, name)}


def test_what_was_just_ingested_is_equal(where: Where) -> None:
    load(corpus(), where)
    found = verify(corpus(), encoder=StubEncoder(), **where)
    assert found.equal
    assert (found.read, found.points, found.sampled, counts(found)) == (COUNT + 100, {"": COUNT + 100}, 100, {})
    assert found.lowest_cosine == pytest.approx(1.0, abs=1e-6)
    assert not found.unchecked


def damage(where: Where) -> None:
    with opened(where) as collection:
        collection.delete_points([7, Passage("name 3", "x").point_id])
        stranger = Passage("stranger", "not in the source")
        collection.upsert(PointBatch([stranger], np.ones((1, 8), np.float32)))
        there = dict(payloads_of(collection, [20, 21]))
        collection.replace_payloads({20: {**there[20], "year": 1}, 21: {**there[21], "text": "other"}})
        collection.upsert(PointBatch([stored.numbered(1, start=30)[0]], np.full((1, 8), 0.5, np.float32)))


def test_everything_that_differs_is_counted_and_named(where: Where, tmp_path: Path) -> None:
    load(corpus(), where)
    damage(where)
    source = [*corpus(), Passage("5", "a second one with this id")]
    found = verify(source, encoder=StubEncoder(), sample=10_000, report=tmp_path / "report.jsonl", **where)
    assert counts(found) == {"missing": 2, "extra": 1, "duplicates": 1, "text": 1, "payload": 1, "vectors": 1}
    assert (found.differences, found.equal, found.rejected) == (7, False, 1)
    assert found.examples == {
        "missing": ("7", "name 3"),
        "extra": ("stranger",),
        "duplicate": ("5 (line 6 of <passages>)",),
        "text": ("21",),
        "payload": ("20",),
        "vector": ("30",),
    }
    lines = [orjson.loads(line) for line in (tmp_path / "report.jsonl").read_bytes().splitlines()]
    assert sorted((line["kind"], line["id"]) for line in lines) == [
        ("duplicate", "5"),
        ("extra", "stranger"),
        ("missing", "7"),
        ("missing", "name 3"),
        ("payload", "20"),
        ("text", "21"),
        ("vector", "30"),
    ]
    assert {line["point"] for line in lines if line["id"] == "name 3"} == {Passage("name 3", "x").point_id}


def test_a_repair_puts_right_what_differs_and_leaves_what_is_extra(where: Where) -> None:
    load(corpus(), where)
    with opened(where) as collection:
        before = everything(collection)
    damage(where)
    encoder = StubEncoder()
    found = verify(corpus(), encoder=encoder, sample=10_000, repair=True, **where)
    assert (found.encoded, found.updated, counts(found)) == (4, 1, {"extra": 1})
    assert found.examples == {"extra": ("stranger",)}
    with opened(where) as collection:
        collection.delete_points([Passage("stranger", "x").point_id])
        assert everything(collection) == before


def test_a_passage_without_its_vector_is_not_stored(where: Where) -> None:
    load(corpus(), where)
    with opened(where) as collection:
        before = everything(collection)
        delete_vectors(collection, [3, 700])
        delete_vectors(collection, [Passage("name 9", "x").point_id])
    found = verify(corpus(), encoder=StubEncoder(), sample=10_000, **where)
    assert (counts(found), found.examples) == ({"no_vector": 3}, {"no_vector": ("3", "700", "name 9")})
    assert not found.equal
    with Searcher(**where, encoder=StubEncoder()) as searcher:
        assert len(searcher.rerank("passage", ["4", "5"])) == 2
        with pytest.raises(CollectionError, match="point id 3 is stored without its vector"):
            searcher.rerank("passage", ["3", "4"])
        with pytest.raises(RequestRefusedError):
            searcher.more_like_this("3")
    found = verify(corpus(), encoder=StubEncoder(), sample=0, repair=True, **where)
    assert (found.encoded, found.updated, found.equal) == (3, 0, True)
    with opened(where) as collection:
        assert everything(collection) == before
        delete_vectors(collection, [0, 512])
    report = ingest(corpus(), encoder=StubEncoder(), optimize=False, **where)
    assert (report.stored, report.skipped, report.verified) == (2, COUNT + 98, True)
    with opened(where) as collection:
        assert everything(collection) == before


def everything(collection: OpenCollection) -> dict[PointId, tuple[Any, list[float]]]:
    page = collection.reads.scroll(limit=100_000, vectors=True)
    return {point.id: (point.payload, [] if point.vector is None else point.vector.tolist()) for point in page.points}


def test_only_what_differs_is_encoded_in_a_repair(tmp_path: Path) -> None:
    where: Where = {"collection": "c", "path": tmp_path}
    load(corpus(), where)
    with opened(where) as collection:
        collection.delete_points([3])
    encoder = StubEncoder()
    assert verify(corpus(), encoder=encoder, sample=0, repair=True, **where).equal
    assert encoder.encoded == 1


def test_an_empty_collection_is_repaired_to_a_full_one_with_its_index(where: Where) -> None:
    load(corpus()[:1], where)
    with opened(where) as collection:
        collection.delete_points([0])
    found = verify(corpus(), encoder=StubEncoder(), repair=True, **where)
    assert (found.equal, found.encoded) == (True, COUNT + 100)


def test_no_model_is_loaded_for_no_sample_nor_for_payloads_alone(tmp_path: Path) -> None:
    where: Where = {"collection": "c", "path": tmp_path}
    load(corpus(), where)
    with opened(where) as collection:
        collection.replace_payloads({4: {}, 5: dict(payloads_of(collection, [6])[6])})
        collection.replace_payloads({4: {**payloads_of(collection, [3])[3], "passage_id": "4"}})
    found = verify(corpus(), sample=0, **where)  # the contract's model "stub" is nowhere
    assert counts(found) == {"text": 2}
    load(corpus(), where)
    with opened(where) as collection:
        collection.replace_payloads({4: {**payloads_of(collection, [4])[4], "more": True}})
    found = verify(corpus(), sample=0, repair=True, **where)
    assert (found.updated, found.encoded, found.equal) == (1, 0, True)


def test_vectors_of_another_length_or_of_zeros_are_found(tmp_path: Path) -> None:
    where: Where = {"collection": "c", "path": tmp_path}
    load(corpus(), where)
    passages = stored.numbered(3)
    with opened(where) as collection:
        vectors = np.array([vectors_of(collection, [n])[n] for n in range(3)])
        collection.upsert(PointBatch(passages, vectors * np.array([[1.1], [0.0], [1.001]], np.float32)))
    found = verify(corpus(), encoder=StubEncoder(), sample=10_000, **where)
    assert found.examples == {"vector": ("0", "1")}
    assert found.lowest_cosine == 0.0


def test_precisions_that_differ_are_given_room(tmp_path: Path) -> None:
    where: Where = {"collection": "c", "path": tmp_path}
    load(corpus(), where)

    def noisy(vectors: Any) -> Any:
        return vectors * np.array([1.04, 0.96] * 4, np.float32)

    for precision, expected in (("fp32", False), ("int8", True)):
        encoder = StubEncoder(precision=precision, spoil=noisy)
        assert verify(corpus(), encoder=encoder, sample=50, **where).equal == expected


def test_a_sample_is_another_one_each_time_and_any_passage_may_be_in_it(tmp_path: Path) -> None:
    where: Where = {"collection": "c", "path": tmp_path}
    load(corpus()[:20], where)
    seen: set[str] = set()

    class Watching(StubEncoder):
        def encode_passages(self, texts: Any) -> Any:
            seen.update(texts)
            return super().encode_passages(texts)

    runs = 0
    while len(seen) < 20:
        runs += 1
        assert runs <= 200, f"never in a sample: {20 - len(seen)} of 20"  # by chance once in 10^18
        verify(corpus()[:20], encoder=Watching(), sample=4, **where)
    assert runs > 4


def test_inputs_that_cannot_be_stored_are_counted_and_are_not_missing(tmp_path: Path) -> None:
    source = tmp_path / "p.jsonl"
    source.write_text('{"id": "1", "text": "one"}\n{"id": "2"}\nno json\n{"id": "1", "text": "one"}\n')
    where: Where = {"collection": "c", "path": tmp_path / "s"}
    ingest(source, encoder=StubEncoder(), rejects=tmp_path / "r", **where)
    found = verify(source, encoder=StubEncoder(), **where)
    assert (found.read, found.rejected, found.differences, found.equal) == (1, 2, 0, True)


def test_a_stream_is_verified_and_not_repaired(tmp_path: Path) -> None:
    where: Where = {"collection": "c", "path": tmp_path}
    load(corpus(), where)
    assert verify(iter(corpus()), encoder=StubEncoder(), **where).equal
    for stream in (iter(corpus()), "-", ["-"]):
        with pytest.raises(SettingsError, match="--repair reads the source more than once"):
            verify(stream, encoder=StubEncoder(), repair=True, **where)


def test_another_model_is_refused(tmp_path: Path) -> None:
    where: Where = {"collection": "c", "path": tmp_path}
    load(corpus(), where)
    with pytest.raises(ContractMismatchError):
        verify(corpus(), encoder=StubEncoder(weights="6" * 64), **where)


@pytest.mark.parametrize("sample", [-1, True, 1.0, "5"])
def test_a_sample_that_makes_no_sense_is_refused(tmp_path: Path, sample: Any) -> None:
    with pytest.raises(SettingsError, match="sample must be a whole number"):
        verify([], collection="c", path=tmp_path, sample=sample)


def test_peers_make_no_sense_without_a_cluster(where: Where) -> None:
    load(corpus(), where)
    with pytest.raises(SettingsError, match=r"--peer names http://a:1, but .*leave"):
        verify(corpus(), encoder=StubEncoder(), peers=["http://a:1"], **where)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("p.jsonl", None, "is a source, and would be overwritten"),
        ("precious.txt", "mine\n", "holds something else than such a report"),
        ("rejects", '{"source":"a","line":1,"reason":"b"}\n', "holds something else than such a report"),
    ],
)
def test_a_report_never_overwrites_something_else(tmp_path: Path, name: str, content: str | None, problem: str) -> None:
    source = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(5))
    where: Where = {"collection": "c", "path": tmp_path / "s"}
    ingest(source, encoder=StubEncoder(), **where)
    if content is not None:
        (tmp_path / name).write_text(content)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(SettingsError, match=problem):
        verify(source, encoder=StubEncoder(), report=tmp_path / name, **where)
    assert (tmp_path / name).read_bytes() == before


def test_a_report_of_before_is_replaced(tmp_path: Path) -> None:
    source = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(5))
    where: Where = {"collection": "c", "path": tmp_path / "s"}
    ingest(source, encoder=StubEncoder(), **where)
    with opened(where) as collection:
        collection.delete_points([1])
    for _ in range(2):
        verify(source, encoder=StubEncoder(), report=tmp_path / "r", **where)
        assert len((tmp_path / "r").read_bytes().splitlines()) == 1


def test_a_run_can_verify_at_its_end(where: Where) -> None:
    report = ingest(corpus(), encoder=StubEncoder(), verify=True, **where)
    assert report.verification is not None
    assert (report.verified, report.verification.equal, report.verification.sampled) == (True, True, 100)
    assert report.to_dict()["verification"]["equal"] is True
    more = [Passage("another source", "text")]
    report = ingest(more, encoder=StubEncoder(), verify=True, **where)
    assert report.verification is not None
    assert (report.verified, report.verification.extra) == (True, COUNT + 100)  # they are of another source


def test_a_run_whose_verification_fails_is_not_verified(tmp_path: Path) -> None:
    where: Where = {"collection": "c", "path": tmp_path}
    calls = 0

    def spoil_later(vectors: Any) -> Any:
        nonlocal calls
        calls += 1
        return vectors if calls == 1 else -vectors

    report = ingest(corpus()[:50], encoder=StubEncoder(spoil=spoil_later), verify=True, **where)
    assert report.verification is not None
    assert (report.points, report.points_expected, report.verification.vectors) == (50, 50, 50)
    assert not report.verified


Change = Callable[[random.Random, list[Passage]], None]


@pytest.mark.parametrize("seed", range(6))
def test_any_damage_is_found_exactly_and_repaired(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    where: Where = {"collection": "c", "path": tmp_path}
    there = corpus()
    load(there, where)
    rng.shuffle(there)
    wanted: dict[str, Passage] = {passage.id: passage for passage in there}
    expected = {"missing": 0, "extra": 0, "text": 0, "payload": 0}
    for passage in rng.sample(there, 300):
        kind = rng.choice(list(expected))
        expected[kind] += 1
        if kind == "missing":
            wanted[f"new {passage.id}"] = Passage(f"new {passage.id}", "new")
        elif kind == "extra":
            del wanted[passage.id]
        elif kind == "text":
            wanted[passage.id] = replace(passage, text=passage.text + " more")
        else:
            wanted[passage.id] = replace(passage, payload={**passage.payload, "more": rng.random()})
    source = list(wanted.values())
    found = verify(source, encoder=StubEncoder(), **where)
    assert counts(found) == {name: count for name, count in expected.items() if count}
    found = verify(source, encoder=StubEncoder(), repair=True, **where)
    assert counts(found) == {"extra": expected["extra"]}
    assert (found.encoded, found.updated) == (expected["missing"] + expected["text"], expected["payload"])


def test_files_of_our_own_in_a_folder_are_no_sources(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    source = stored.write_jsonl(data / "p.jsonl", stored.numbered(5))
    with source.open("a") as file:
        file.write("no json\n")
    where: Where = {"collection": "c", "path": tmp_path / "s"}
    report = ingest(data, encoder=StubEncoder(), rejects=data / "bad.jsonl", verify=True, **where)
    assert (report.stored, report.rejected, report.verified) == (5, 1, True)
    (data / "bad.jsonl").unlink()
    for _ in range(2):
        found = verify([data], encoder=StubEncoder(), report=data / "r.jsonl", **where)
        assert (found.read, found.rejected, found.differences) == (5, 1, 0)
        with opened(where) as collection:
            collection.delete_points([1])
        assert verify([data], encoder=StubEncoder(), report=data / "r.jsonl", **where).missing == 1
        ingest(source, encoder=StubEncoder(), rejects=tmp_path / "bad.jsonl", **where)


def test_the_model_of_a_run_that_encoded_nothing_is_loaded_before_all_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: Where = {"collection": "c", "path": tmp_path / "store"}
    source = stored.write_jsonl(tmp_path / "a.jsonl", stored.numbered(5))
    ingest(source, encoder=StubEncoder(), **where)
    done: list[str] = []

    def load() -> StubEncoder:
        done.append("loaded")
        return StubEncoder()

    def look(*_: Any) -> None:
        done.append("compared")
        raise ZeroDivisionError

    monkeypatch.setattr(EncoderChoice, "lazily", lambda *_, **__: LazyEncoder(StubEncoder().contract, load))
    monkeypatch.setattr(Check, "_look", look)
    with pytest.raises(ZeroDivisionError):
        ingest(source, verify=True, **where)
    assert done == ["loaded", "compared"]
