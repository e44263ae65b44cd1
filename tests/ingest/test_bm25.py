"""A run with BM25 stores the words of every passage beside its vector, however the run goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasb_qdrant import Passage, ingest, verify
from tasb_qdrant.collection.open import open_collection
from tasb_qdrant.collection.points import PointBatch, PointId
from tasb_qdrant.collection.protocol import OpenCollection
from tasb_qdrant.encoder.bm25 import Bm25Encoder
from tasb_qdrant.errors import ContractMismatchError, EncodingError, SourceError
from tasb_qdrant.ingest import RejectedLines
from tasb_qdrant.ingest.resume.identity import TargetIdentity
from tasb_qdrant.ingest.source import average_length as average
from tasb_qdrant.records import IngestReport
from tasb_qdrant.settings import Bm25Settings, CollectionSettings, PayloadKeys
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder, fail_at, stub_contract
from tests.qdrant_servers import QdrantServer

COUNT = 1_100  # more than two windows

Where = dict[str, Any]


def corpus(count: int = COUNT) -> list[Passage]:
    """Passages of 2 to 11 words that count; one of ten has none."""
    return [
        Passage(str(n), "the of and" if n % 10 == 3 else "bee " * (n % 10 + 1), title=f"t{n}", payload={"n": n})
        if n % 10 != 3
        else Passage(str(n), "the of and", payload={"n": n})
        for n in range(count)
    ]


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


@pytest.fixture
def here(tmp_path: Path) -> Where:
    """The same, embedded."""
    return {"collection": "c", "path": tmp_path / "store"}


def load(passages: Any, where: Where, **options: Any) -> IngestReport:
    options = {"encoder": StubEncoder(), "optimize": False, "bm25": True, **options}
    return ingest(passages, **options, **where)


def opened(where: Where) -> OpenCollection:
    return open_collection(
        where["collection"], **{name: value for name, value in where.items() if name != "collection"}
    )


Words = dict[PointId, tuple[list[int], list[float]]]


def words_in(where: Where, passages: Sequence[Passage]) -> Words:
    with opened(where) as collection:
        found = collection.sparse_vectors([passage.point_id for passage in passages])
    return {one: (words.indices.tolist(), words.values.tolist()) for one, words in found.items()}


def words_of(passages: Sequence[Passage], bm25: Bm25Settings) -> Words:
    found = Bm25Encoder(bm25).encode_passages([passage.encoder_text for passage in passages])
    return {
        passage.point_id: (words.indices.tolist(), words.values.tolist())
        for passage, words in zip(passages, found, strict=True)
    }


def average_of(where: Where) -> float | None:
    with opened(where) as collection:
        assert collection.bm25 is not None
        return collection.bm25.avg_len


def test_every_passage_has_its_words_and_goes_on_having_them(where: Where) -> None:
    passages = corpus()
    report = load(passages, where)
    assert (report.stored, report.verified) == (COUNT, True)
    mean = sum(Bm25Encoder(Bm25Settings()).words(passage.encoder_text) for passage in passages) / COUNT
    bm25 = Bm25Settings(avg_len=round(mean, 1))
    assert f"BM25: avg_len is {bm25.avg_len:g} words, the average of 1,100 passages." in report.notes
    assert report.stages["bm25"] > 0
    assert words_in(where, passages) == words_of(passages, bm25)

    again = load(passages, where, bm25=False)
    assert (again.stored, again.skipped, again.notes) == (0, COUNT, report.notes[:-1])
    passages[5] = replace(passages[5], text="another text")
    passages[6] = replace(passages[6], payload={"n": 0})
    passages[7] = replace(passages[7], text="the", title=None)
    passages.append(Passage("name", "a new one"))
    changed = load(passages, where, bm25=False)
    assert (changed.stored, changed.updated, changed.skipped) == (3, 1, COUNT - 3)
    assert words_in(where, passages) == words_of(passages, bm25)
    assert words_in(where, passages)[7] == ([], [])


def test_without_it_nothing_of_it_is_there(here: Where) -> None:
    report = load(corpus(20), here, bm25=False)
    assert not any("BM25" in note for note in report.notes)
    assert "bm25" not in report.stages
    assert words_in(here, corpus(20)) == {}
    with pytest.raises(ContractMismatchError, match=r"BM25: the collection has none.*another --collection"):
        load(corpus(20), here)


def test_other_settings_than_the_collections_are_refused_by_name(here: Where) -> None:
    german = Bm25Settings(language="german", avg_len=3)
    load(corpus(20), here, bm25=german)
    with pytest.raises(ContractMismatchError, match="BM25 language: the collection has german, this run has english"):
        load(corpus(20), here)
    report = load(corpus(30), here, settings=CollectionSettings(bm25=german))
    assert (report.stored, report.skipped) == (10, 20)
    assert words_in(here, corpus(30)) == words_of(corpus(30), german)


def test_files_lists_and_streams_are_measured_alike(tmp_path: Path) -> None:
    passages = corpus(300)
    file = stored.write_jsonl(tmp_path / "p.jsonl", passages)
    found = set()
    sources: list[Callable[[], Any]] = [lambda: file, lambda: passages, lambda: iter(passages)]
    for number, source in enumerate(sources):
        where = {"collection": "c", "path": tmp_path / f"store {number}"}
        assert load(source(), where).points == 300
        found.add((average_of(where), tuple(sorted(words_in(where, passages)))))
    assert len(found) == 1


def test_an_average_that_is_given_is_not_measured(here: Where) -> None:
    read = 0

    class Passages:
        def __iter__(self) -> Iterator[Passage]:
            nonlocal read
            read += 1
            yield from corpus(30)

    load(Passages(), here, bm25=Bm25Settings(avg_len=7.5))
    assert (read, average_of(here)) == (1, 7.5)
    load(Passages(), {**here, "collection": "measured"})
    assert read == 3


@pytest.mark.parametrize("texts", [[], ["the", "of and"]])
def test_where_there_is_no_word_the_average_is_qdrants(here: Where, texts: list[str]) -> None:
    load([Passage(str(n), text) for n, text in enumerate(texts)], here)
    assert average_of(here) == 256


def test_of_many_passages_some_are_counted_and_of_very_many_the_first(
    here: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(average, "EACH", 10)
    monkeypatch.setattr(average, "EVERY", 5)
    monkeypatch.setattr(average, "MOST", 30)
    lengths = [1] * 10 + [2, 9, 9, 9, 9] * 4 + [99] * 70  # every fifth of the 20 in the middle has two words
    passages = [Passage(str(n), "bee " * length) for n, length in enumerate(lengths)]
    report = load(passages, here)
    assert average_of(here) == round((10 * 1 + 20 * 2) / 30, 1)
    assert any("the average of 30 passages" in note for note in report.notes)


def test_of_a_stream_the_beginning_is_read_ahead_and_nothing_is_lost(
    here: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("AHEAD", 40), ("AHEAD_BYTES", 500)):
        monkeypatch.setattr(average, name, most)
        where = {**here, "collection": name}
        report = load(iter(corpus(700)), where)
        assert (report.read, report.stored, report.points) == (700, 700, 700)
        assert len(words_in(where, corpus(700))) == 700
    assert any("the average of 40 passages" in note for note in load(iter(corpus(50)), here).notes) is False


def test_a_slow_stream_is_not_waited_for_until_its_end(here: Where) -> None:
    clock = iter(range(0, 1_000, 2))

    class Slow:
        source, line, bytes_read, bytes_total, files = "<slow>", 0, 0, None, ()

        def __iter__(self) -> Iterator[Passage]:
            return iter(corpus(100))

    from tasb_qdrant.ingest.progress import Counters
    from tasb_qdrant.ingest.source.open import Source

    slow = Slow()
    found = average.average_length(slow, Source(iter([])), Bm25Settings(), Counters(), clock=lambda: float(next(clock)))
    assert found.passages == 5
    assert list(found.source) == corpus(100)


def test_what_is_wrong_with_a_stream_is_said_when_its_place_comes(here: Where, tmp_path: Path) -> None:
    def broken(count: int) -> Iterator[Any]:
        yield from corpus(count)
        yield "no passage"

    with pytest.raises(SourceError, match="<passages>:601: expected a Passage") as caught:
        load(broken(600), here)
    assert caught.value.line == 601


@pytest.mark.parametrize("bm25", [False, True])
def test_rejects_of_a_stream_are_the_same_with_and_without(
    here: Where, tmp_path: Path, bm25: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def passages() -> Iterator[Passage]:
        for n, passage in enumerate(corpus(60)):
            yield passage
            if n % 20 == 5:
                yield replace(passage, text="another text of the same id")

    rejects = tmp_path / "rejects.jsonl"
    report = load(passages(), here, bm25=bm25, rejects=rejects)
    assert (report.read, report.stored, report.rejected) == (63, 60, 3)
    assert [line.count(b"has already occurred") for line in rejects.read_bytes().splitlines()] == [1, 1, 1]
    assert [f'"line":{line}'.encode() in rejects.read_bytes() for line in (7, 28, 49)] == [True] * 3


def test_an_interrupted_run_goes_on_with_the_average_of_its_beginning(here: Where, tmp_path: Path) -> None:
    passages = corpus()
    file = stored.write_jsonl(tmp_path / "p.jsonl", passages)
    load(file, {**here, "collection": "undisturbed"})
    with pytest.raises(EncodingError):
        load(file, here, encoder=StubEncoder(before_encode=fail_at(1, EncodingError("broke"))))
    report = load(file, here, bm25=False)
    assert report.resumed["points"] == 512
    assert words_in(here, passages) == words_in({**here, "collection": "undisturbed"}, passages)


def test_a_checkpoint_of_a_collection_with_other_words_is_no_ones_to_go_on_from() -> None:
    def target(bm25: Bm25Settings | None) -> TargetIdentity:
        return TargetIdentity(
            collection="c", id="1", keys=PayloadKeys(), indexes={}, contract=stub_contract(), bm25=bm25
        )

    assert target(None).differences(target(Bm25Settings())) == [("BM25", "off", "on")]
    assert target(Bm25Settings(k=1)).differences(target(Bm25Settings(k=2))) == [("BM25", "on", "different, or off")]
    assert target(Bm25Settings()).differences(target(Bm25Settings())) == []


def test_verify_finds_words_that_are_not_the_texts_and_repairs_them(where: Where) -> None:
    passages = corpus(60)
    load(passages, where)
    assert verify(passages, encoder=StubEncoder(), sample=60, **where).equal
    with opened(where) as collection:
        assert collection.bm25 is not None
        wrong = Bm25Encoder(collection.bm25).encode_passages(["quite another text"])
        vectors = StubEncoder().encode_passages([passages[8].encoder_text])
        collection.upsert(PointBatch([passages[8]], vectors, sparse=wrong))
    found = verify(passages, encoder=StubEncoder(), sample=60, **where)
    assert (found.vectors, found.sampled, found.equal) == (1, 60, False)
    assert found.lowest_cosine == pytest.approx(1.0)
    assert found.examples == {"vector": ("8",)}
    repaired = verify(passages, encoder=StubEncoder(), sample=60, repair=True, **where)
    assert (repaired.encoded, repaired.equal) == (1, True)
    with opened(where) as collection:
        bm25 = collection.bm25
    assert bm25 is not None
    assert words_in(where, passages) == words_of(passages, bm25)


def test_synchronising_retrying_and_half_precision_go_with_it(here: Where, tmp_path: Path) -> None:
    passages = corpus(40)
    file = stored.write_jsonl(tmp_path / "p.jsonl", passages)
    with file.open("a") as lines:
        lines.write("no json\n")
    rejects = tmp_path / "rejects.jsonl"
    options = {"settings": CollectionSettings(vectors="float16"), "rejects": rejects}
    assert load(file, here, **options, verify=True).rejected == 1
    average = average_of(here)
    file.write_text(file.read_text().replace("no json", '{"id": "new", "text": "honey bees"}'))
    assert load(RejectedLines(rejects), here, bm25=False).stored == 1
    kept = [*passages[:30], Passage("new", "honey bees")]
    report = load(stored.write_jsonl(file, kept), here, sync=True, verify=True)
    assert (report.deleted, report.points, report.verified) == (10, 31, True)
    assert words_in(here, [*passages, kept[-1]]) == words_of(kept, Bm25Settings(avg_len=average))


def test_texts_of_many_words_keep_all_of_them(where: Where) -> None:
    rng = np.random.default_rng(0)
    passages = [Passage(str(n), " ".join(f"w{word}" for word in rng.integers(0, 10**9, 20_000))) for n in range(3)]
    bm25 = Bm25Settings(avg_len=20_000)
    load(passages, where, bm25=bm25)
    assert words_in(where, passages) == words_of(passages, bm25)
