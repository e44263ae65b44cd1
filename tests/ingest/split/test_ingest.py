"""Ingests that split: again, interrupted, synchronised, verified, rejected, and in every kind of source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import BaseModel, ConfigDict

from tasb_qdrant import Passage, Searcher, ingest, open_collection, verify
from tasb_qdrant.errors import ContractMismatchError, RejectedError, SettingsError
from tasb_qdrant.ingest import RejectedLines, plan_sync
from tasb_qdrant.ingest.split.surplus import Surplus
from tasb_qdrant.ingest.window import Window
from tasb_qdrant.records import IngestReport
from tasb_qdrant.settings import CollectionSettings, PayloadKeys, SplitSettings
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder, fail_at
from tests.qdrant_servers import QdrantServer

SPLIT = "tokens:16,overlap:4"


def text(words: int, *, of: str = "w") -> str:
    return " ".join(f"{of}{n}" for n in range(words))


DOCUMENTS = [
    Passage("long", text(40), "A title", {"year": 2000}),
    Passage("short", text(5), payload={"year": 2001}),
    Passage("7", text(20), payload={"year": 2002}),
]
PASSAGES = ["long#0", "long#1", "long#2", "long#3", "short#0", "7#0", "7#1"]


def load(source: Any, path: Path, **options: Any) -> IngestReport:
    return ingest(source, collection="c", path=path, encoder=StubEncoder(), **options)


def ids(path: Path) -> set[str]:
    return {payload["passage_id"] for payload, _ in stored.embedded(path).values()}


def write(path: Path, documents: list[Passage] = DOCUMENTS) -> Path:
    return stored.write_jsonl(path, documents)


def test_documents_are_stored_as_passages_and_counted_apart(tmp_path: Path) -> None:
    report = load(write(tmp_path / "a.jsonl"), tmp_path / "s", split=SPLIT)
    assert (report.documents, report.read, report.stored, report.points, report.truncated) == (3, 7, 7, 7, 0)
    assert report.verified
    assert report.proposed_indexes == {"year": "integer"}
    assert any("passages of up to 16 tokens, 4 of which may be shared" in note for note in report.notes)
    found = {payload["passage_id"]: payload for payload, _ in stored.embedded(tmp_path / "s").values()}
    assert sorted(found) == sorted(PASSAGES)
    assert found["long#1"] == {
        "passage_id": "long#1", "text": " ".join(f"w{n}" for n in range(10, 24)), "title": "A title",
        "year": 2000, "doc_id": "long",
    }  # fmt: skip
    with open_collection("c", path=tmp_path / "s") as collection:
        info = collection.info()
    assert info.indexes == {"doc_id": "keyword"}
    assert info.to_dict()["split"] == {"tokens": 16, "overlap": 4, "field": "doc_id"}


def test_a_collection_splits_what_comes_later_as_before(tmp_path: Path) -> None:
    load([], tmp_path / "s", split=SPLIT)
    report = load(DOCUMENTS, tmp_path / "s")
    assert (report.documents, report.stored) == (3, 7)
    assert any("as those that the collection has" in note for note in report.notes)
    again = load(DOCUMENTS, tmp_path / "s", split=SPLIT)
    assert (again.documents, again.stored, again.skipped) == (3, 0, 7)
    assert load(DOCUMENTS, tmp_path / "whole").documents is None


@pytest.mark.parametrize(
    ("first", "then"), [(SPLIT, "tokens:16"), (None, SPLIT), (SPLIT, "tokens:16,overlap:4,field:of")]
)
def test_another_split_is_refused_by_name(tmp_path: Path, first: str | None, then: str) -> None:
    load(DOCUMENTS, tmp_path / "s", split=first)
    before = ids(tmp_path / "s")
    then = then if "overlap" in then else f"{then},overlap:0"
    with pytest.raises(ContractMismatchError) as refused:
        load(DOCUMENTS, tmp_path / "s", split=then)
    assert f"split: the collection has {first or 'none'}, this run has {then}" in str(refused.value)
    assert f"({f'--split {first}' if first else 'no --split'})" in str(refused.value)
    assert ids(tmp_path / "s") == before


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    documents = [Passage(f"d{n}", text(n % 90 + 1, of=f"{n}-"), "t", {"n": n}) for n in range(900)]
    source = write(tmp_path / "a.jsonl", documents)
    whole = load(source, tmp_path / "whole", split=SPLIT)
    assert whole.read > 2048
    with pytest.raises(RuntimeError):
        ingest(
            source, collection="c", path=tmp_path / "s", split=SPLIT,
            encoder=StubEncoder(before_encode=fail_at(5, RuntimeError())),
        )  # fmt: skip
    with pytest.raises(ContractMismatchError):
        load(source, tmp_path / "s", split="tokens:16")
    report = load(source, tmp_path / "s")  # the split is the collection's
    assert report.resumed["windows"] > 0
    assert (report.documents, report.read) == (900, whole.read)
    assert stored.embedded(tmp_path / "s") == stored.embedded(tmp_path / "whole")


def test_a_document_that_grew_shorter_loses_its_surplus_passages(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl")
    load(source, tmp_path / "s", split=SPLIT)
    write(source, [Passage("long", text(20, of="new"), "A title", {"year": 2000}), *DOCUMENTS[1:]])
    plan = plan_sync(source, collection="c", path=tmp_path / "s", encoder=StubEncoder())
    assert (plan.documents, plan.read, plan.delete, plan.encode, plan.unchanged) == (3, 5, 2, 2, 3)
    assert len(ids(tmp_path / "s")) == 7
    report = load(source, tmp_path / "s", sync=True)
    assert (report.documents, report.read, report.deleted, report.stored, report.skipped) == (3, 5, 2, 2, 3)
    assert ids(tmp_path / "s") == {"long#0", "long#1", "short#0", "7#0", "7#1"}
    assert load(source, tmp_path / "s", sync=True, verify=True).verified


def test_without_sync_the_surplus_is_told_of(tmp_path: Path) -> None:
    load(DOCUMENTS, tmp_path / "s", split=SPLIT)
    report = load([Passage("long", text(20, of="new"), "A title", {"year": 2000})], tmp_path / "s")
    [warning] = [one for one in report.warnings if "--sync" in one]
    assert warning.startswith("1 document has become shorter since, and passages of its earlier text are still there;")
    assert not load([Passage("short", text(5, of="new"))], tmp_path / "s").warnings


def test_whole_documents_beside_a_split_that_another_process_made_have_no_surplus(tmp_path: Path) -> None:
    load(DOCUMENTS, tmp_path / "s", split=SPLIT)
    with open_collection("c", path=tmp_path / "s") as collection:
        surplus = Surplus(collection)
        for ids in (["long", "a#b", "c#"], ["long#0", "short"]):
            documents = [Passage(each, "text") for each in ids]
            surplus.look_at(Window(0, documents, ids, [b""] * len(ids)))
    assert surplus.documents == 1  # long#1 is there


def test_a_document_that_comes_again_is_skipped_or_rejected_as_a_whole(tmp_path: Path) -> None:
    other = Passage("long", f"{text(40)} {text(60, of='more')}", "A title", {"year": 2000})
    source = write(tmp_path / "a.jsonl", [*DOCUMENTS, DOCUMENTS[0], other])
    report = load(source, tmp_path / "s", split=SPLIT, rejects=tmp_path / "r.jsonl")
    assert (report.documents, report.read, report.stored, report.skipped, report.rejected) == (4, 12, 7, 4, 1)
    [reject] = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert reject == {
        "source": str(source), "line": 5,
        "reason": reject["reason"],
    }  # fmt: skip
    assert reject["reason"].startswith("id 'long' has already occurred in line ")
    assert reject["reason"].endswith("has already occurred in line 1 with other content; ids must be unique")
    assert ids(tmp_path / "s") == set(PASSAGES)
    write(source, [*DOCUMENTS, DOCUMENTS[0], Passage("other", text(20))])
    again = load(RejectedLines(tmp_path / "r.jsonl"), tmp_path / "s")
    assert (again.documents, again.stored, again.rejected) == (1, 2, 0)


def test_a_document_that_cannot_be_stored_is_one_reject(tmp_path: Path) -> None:
    documents = [
        Passage("bad", text(40), payload={"year": "MM"}),
        Passage("own", text(40), payload={"doc_id": "x"}),
        Passage("a" * 1024, text(5)),
        *DOCUMENTS,
    ]
    source = write(tmp_path / "a.jsonl", documents)
    settings = CollectionSettings(indexes={"year": "integer"}, split=SplitSettings.parse(SPLIT))
    report = load(source, tmp_path / "s", settings=settings, rejects=tmp_path / "r.jsonl")
    assert (report.read, report.stored, report.rejected) == (10, 7, 3)
    rejects = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert sorted(one["line"] for one in rejects) == [1, 2, 3]
    with pytest.raises(RejectedError, match=r"a\.jsonl:1: field 'year'"):
        load(source, tmp_path / "t", settings=settings)


def test_a_payload_model_sees_what_is_stored(tmp_path: Path) -> None:
    class Article(BaseModel):
        model_config = ConfigDict(extra="forbid")
        doc_id: str
        year: int

    documents = [Passage("bad", text(40), payload={"year": "x"}), *DOCUMENTS]
    report = load(documents, tmp_path / "s", split=SPLIT, payload=Article, rejects=tmp_path / "r.jsonl")
    assert (report.stored, report.rejected) == (7, 1)
    with Searcher("c", path=tmp_path / "s", encoder=StubEncoder(), payload=Article) as searcher:
        assert {hit.payload.doc_id for hit in searcher.search("w1 w2")} == {"long", "short", "7"}


def test_words_are_counted_and_searched_by_the_passage(tmp_path: Path) -> None:
    stream: Iterator[Passage] = iter(DOCUMENTS)
    for number, source in enumerate((write(tmp_path / "a.jsonl"), stream, DOCUMENTS)):
        folder = tmp_path / str(number)
        report = load(source, folder, split=SPLIT, bm25=True)
        assert (report.documents, report.stored) == (3, 7)
        assert any("average of 7 passages" in note for note in report.notes)
        with Searcher("c", path=folder, encoder=StubEncoder()) as searcher:
            assert [hit.id for hit in searcher.search("w39", mode="bm25")] == ["long#3"]
        assert verify(DOCUMENTS, collection="c", path=folder, encoder=StubEncoder()).equal


def test_verifying_splits_as_the_collection_does(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl")
    assert load(source, tmp_path / "s", split=SPLIT, verify=True).verified
    write(source, [Passage("long", text(60), "A title", {"year": 2000}), *DOCUMENTS[1:]])
    found = verify(source, collection="c", path=tmp_path / "s", encoder=StubEncoder(), sample=0)
    assert (found.documents, found.read, found.missing, found.text, found.extra) == (3, 9, 2, 1, 0)
    mended = verify(source, collection="c", path=tmp_path / "s", encoder=StubEncoder(), repair=True)
    assert mended.equal
    assert mended.points == {"": 9}


def test_tables_dicts_and_iterators_are_split_too(tmp_path: Path) -> None:
    rows = [{"id": one.id, "text": one.text, "title": one.title or "", **one.payload} for one in DOCUMENTS]
    frame = pa.Table.from_pylist(rows)
    for number, source in enumerate((rows, iter(rows), frame, iter(DOCUMENTS), (one for one in DOCUMENTS))):
        report = load(source, tmp_path / str(number), split=SPLIT)
        assert (report.documents, report.stored) == (3, 7)
        assert ids(tmp_path / str(number)) == set(PASSAGES)


def test_the_documents_id_does_not_hide_a_passages_own_parts(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="payload field 'doc_id', which is a passage's own id"):
        load([], tmp_path, settings=CollectionSettings(keys=PayloadKeys(id="doc_id")), split=SPLIT)


@pytest.mark.slow
def test_a_server_does_the_same(tmp_path: Path, qdrant_server: QdrantServer, collection_name: str) -> None:
    where: dict[str, Any] = {"url": qdrant_server.url, "grpc_port": qdrant_server.grpc_port}
    given: dict[str, Any] = {"collection": collection_name, "encoder": StubEncoder(), **where}
    source = write(tmp_path / "a.jsonl")
    assert ingest(source, split=SPLIT, state=tmp_path / "state", **given).stored == 7
    write(source, [Passage("long", text(20), "A title", {"year": 2000}), *DOCUMENTS[1:]])
    report = ingest(source, sync=True, verify=True, state=tmp_path / "state", **given)
    assert (report.deleted, report.verified, report.points) == (2, True, 5)
    with pytest.raises(ContractMismatchError, match="split: the collection has tokens:16,overlap:4"):
        ingest(source, split="tokens:32", state=tmp_path / "state", **given)
    with Searcher(collection_name, encoder=StubEncoder(), **where) as searcher:
        assert searcher.info().split is not None
        assert {hit.payload["doc_id"] for hit in searcher.search("w1", best_per="doc_id")} == {"long", "short", "7"}
