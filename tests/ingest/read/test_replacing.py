"""Texts of another field than the collection's replace nothing unasked; an edited source does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant.collection.open import open_collection
from tasb_qdrant.errors import ReplaceRefusedError
from tasb_qdrant.ingest import ingest, plan_sync
from tasb_qdrant.ingest.read.replacing import ReplaceGuard
from tasb_qdrant.ingest.verify.run import verify
from tasb_qdrant.records import IngestReport, Passage, RoleFields
from tasb_qdrant.sources import SourceFields
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer

COUNT = 700  # more than a window

BODY, SUMMARY = SourceFields(text="body"), SourceFields(text="summary")


def written(path: Path, *, start: int = 0, count: int = COUNT, edit: str = "", **others: Any) -> Path:
    """Records with two fields that may be the text."""
    records = [
        {"id": n, "body": f"body {n}{edit}", "summary": f"summary {n}", **others} for n in range(start, start + count)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def load(path: Path, source: Any, fields: SourceFields | None = None, **options: Any) -> IngestReport:
    return ingest(source, collection="c", path=path / "store", fields=fields, encoder=StubEncoder(), **options)


def fields_in(path: Path) -> RoleFields | None:
    with open_collection("c", path=path / "store") as collection:
        return collection.fields


def test_texts_of_another_field_are_refused_with_the_difference_and_change_nothing(tmp_path: Path) -> None:
    source = written(tmp_path / "a.jsonl")
    load(tmp_path, source, BODY)
    before = stored.embedded(tmp_path / "store")
    with pytest.raises(ReplaceRefusedError) as caught:
        load(tmp_path, source, SUMMARY)
    assert caught.value.differences == (("the field of the text", "body", "summary"),)
    assert "--replace" in str(caught.value)
    assert "the collection has body, this run has summary" in str(caught.value)
    assert stored.embedded(tmp_path / "store") == before
    assert fields_in(tmp_path) == RoleFields(id=("id",), text=("body",))


def test_the_refusal_comes_before_a_model_is_loaded(tmp_path: Path) -> None:
    source = written(tmp_path / "a.jsonl")
    load(tmp_path, source, BODY)
    with pytest.raises(ReplaceRefusedError):
        ingest(source, collection="c", path=tmp_path / "store", fields=SUMMARY, model=tmp_path / "no-model")


def test_with_replace_they_are_stored_counted_and_recorded(tmp_path: Path) -> None:
    source = written(tmp_path / "a.jsonl")
    load(tmp_path, source, BODY)
    report = load(tmp_path, source, SUMMARY, replace=True)
    assert (report.stored, report.new, report.replaced, report.skipped) == (COUNT, 0, COUNT, 0)
    assert any("the field of the text was body, and is summary" in note for note in report.notes)
    assert fields_in(tmp_path) == RoleFields(id=("id",), text=("summary",))
    again = load(tmp_path, source, SUMMARY)
    assert (again.stored, again.skipped) == (0, COUNT)
    with pytest.raises(ReplaceRefusedError):
        load(tmp_path, source, BODY)


def test_an_edited_source_is_replaced_without_asking_and_counted(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "a.jsonl"), BODY)
    lines = written(tmp_path / "a.jsonl", count=COUNT + 3).read_text().splitlines(keepends=True)
    lines[5] = lines[5].replace("body 5", "another body")
    lines[600] = lines[600].replace("summary 600", "only this")
    (tmp_path / "a.jsonl").write_text("".join(lines))
    report = load(tmp_path, tmp_path / "a.jsonl", BODY)
    assert (report.new, report.replaced, report.updated, report.skipped) == (3, 1, 1, COUNT - 2)
    assert report.read == report.stored + report.updated + report.skipped + report.rejected
    assert {name: report.to_dict()[name] for name in ("new", "replaced", "stored")} == {
        "new": 3, "replaced": 1, "stored": 4,
    }  # fmt: skip


def test_new_passages_of_another_field_are_added_said_and_remembered(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "a.jsonl"), BODY)
    report = load(tmp_path, written(tmp_path / "b.jsonl", start=COUNT, count=10), SUMMARY)
    assert (report.new, report.replaced, report.points) == (10, 0, COUNT + 10)
    assert any("stored texts are not replaced without --replace" in note for note in report.notes)
    assert fields_in(tmp_path) == RoleFields(id=("id",), text=("body", "summary"))


def test_what_would_be_replaced_beyond_the_first_passages_is_refused_too(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "a.jsonl", start=1000, count=5), BODY)
    with pytest.raises(ReplaceRefusedError, match="passage '1000'"):
        load(tmp_path, written(tmp_path / "b.jsonl", start=0, count=1010), SUMMARY)
    assert {stored.embedded(tmp_path / "store")[str(n)][0]["text"] for n in range(1000, 1005)} == {
        f"body {n}" for n in range(1000, 1005)
    }


def test_overwriting_asks_too(tmp_path: Path) -> None:
    source = written(tmp_path / "a.jsonl")
    load(tmp_path, source, BODY)
    with pytest.raises(ReplaceRefusedError):
        load(tmp_path, source, SUMMARY, overwrite=True)
    report = load(tmp_path, source, BODY, overwrite=True)
    assert (report.new, report.replaced) == (0, COUNT)
    report = load(tmp_path, source, SUMMARY, overwrite=True, replace=True)
    assert (report.new, report.replaced) == (0, COUNT)


def test_a_sync_deletes_nothing_when_its_texts_are_refused(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "a.jsonl", count=20), BODY)
    with pytest.raises(ReplaceRefusedError):
        load(tmp_path, written(tmp_path / "a.jsonl", count=15), SUMMARY, sync=True)
    assert len(stored.embedded(tmp_path / "store")) == 20


def test_a_title_of_another_field_is_asked_about_and_a_first_one_is_not(tmp_path: Path) -> None:
    source = written(tmp_path / "a.jsonl", count=20, name="Name", heading="Heading")
    load(tmp_path, source, BODY)
    named = SourceFields(text="body", title="name")
    assert load(tmp_path, source, named).replaced == 20
    with pytest.raises(ReplaceRefusedError, match="the field of the title: the collection has name, this run has head"):
        load(tmp_path, source, SourceFields(text="body", title="heading"))


def test_a_field_that_was_only_renamed_replaces_nothing_and_is_not_asked_about(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "a.jsonl", count=20), BODY)
    renamed = (tmp_path / "a.jsonl").read_text().replace('"body"', '"contents"')
    (tmp_path / "a.jsonl").write_text(renamed)
    report = load(tmp_path, tmp_path / "a.jsonl")
    assert (report.new, report.replaced, report.skipped) == (0, 0, 20)
    assert fields_in(tmp_path) == RoleFields(id=("id",), text=("body", "contents"))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_it_is_the_same_for_tables(tmp_path: Path, suffix: str) -> None:
    rows = [{"id": str(n), "body": f"body {n}", "summary": f"summary {n}"} for n in range(20)]
    if suffix == "csv":
        lines = ["id,body,summary", *(",".join(row.values()) for row in rows)]
        (tmp_path / "t.csv").write_text("\n".join(lines))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    load(tmp_path, tmp_path / f"t.{suffix}", BODY)
    with pytest.raises(ReplaceRefusedError):
        load(tmp_path, tmp_path / f"t.{suffix}", SUMMARY)
    with pytest.raises(ReplaceRefusedError):  # the same records from Python
        load(tmp_path, rows, SUMMARY)


def test_dicts_that_come_one_by_one_are_asked_about(tmp_path: Path) -> None:
    rows = [{"id": str(n), "body": f"body {n}", "summary": f"summary {n}"} for n in range(20)]

    def some() -> Iterator[dict[str, str]]:
        yield from rows

    load(tmp_path, some(), BODY)
    assert fields_in(tmp_path) == RoleFields(id=("id",), text=("body",))
    with pytest.raises(ReplaceRefusedError):
        load(tmp_path, some(), SUMMARY)


def test_a_collection_that_does_not_say_its_fields_is_judged_by_what_it_holds(tmp_path: Path) -> None:
    passages = [Passage(str(n), f"body {n}", payload={"summary": f"summary {n}"}) for n in range(20)]
    load(tmp_path, passages)
    assert fields_in(tmp_path) is None
    source = written(tmp_path / "a.jsonl", count=20)
    with pytest.raises(ReplaceRefusedError, match="the collection has body, this run has summary"):
        load(tmp_path, source, SUMMARY)
    report = load(tmp_path, written(tmp_path / "a.jsonl", count=20, edit=", edited"), BODY)
    assert report.replaced == 20
    assert fields_in(tmp_path) == RoleFields(id=("id",), text=("body",))


def test_adding_to_a_collection_that_does_not_say_its_fields_says_nothing_of_the_others(tmp_path: Path) -> None:
    load(tmp_path, [Passage("1", "one")])
    load(tmp_path, written(tmp_path / "a.jsonl", start=10, count=5), BODY)
    assert fields_in(tmp_path) is None


def test_passages_of_a_program_have_no_fields_and_replace_as_ever(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "a.jsonl", count=3), BODY)
    report = load(tmp_path, [Passage("1", "another text")])
    assert (report.new, report.replaced) == (0, 1)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_server_keeps_the_record_beside_what_it_says_of_its_index(
    qdrant_server: QdrantServer, transport: str, tmp_path: Path
) -> None:
    name = f"replacing-{transport}"
    options: Any = {
        "collection": name, "url": qdrant_server.url, "grpc_port": qdrant_server.grpc_port, "transport": transport,
    }  # fmt: skip
    source = written(tmp_path / "a.jsonl", count=20)
    ingest(source, fields=BODY, encoder=StubEncoder(), **options)
    with pytest.raises(ReplaceRefusedError):
        ingest(source, fields=SUMMARY, encoder=StubEncoder(), **options)
    report = ingest(source, fields=SUMMARY, encoder=StubEncoder(), replace=True, **options)
    assert (report.new, report.replaced, report.verified) == (0, 20, True)
    with open_collection(name, url=qdrant_server.url) as collection:
        assert collection.fields == RoleFields(id=("id",), text=("summary",))
        contract = collection.contract
    assert contract == StubEncoder().contract
    client = stored.client_of(qdrant_server.url)
    client.delete_collection(name)
    client.close()


def test_a_repair_by_another_field_is_refused_and_a_dry_run_says_so(tmp_path: Path) -> None:
    source = written(tmp_path / "a.jsonl", count=20)
    load(tmp_path, source, BODY)
    options: Any = {"collection": "c", "path": tmp_path / "store"}
    plan = plan_sync(source, fields=SUMMARY, **options)
    assert (plan.encode, plan.replace) == (20, 20)
    assert "the field of the text was body, and is summary" in plan.field_refusal
    assert f"{source}: id from id, text from summary." in plan.notes
    found = verify(source, fields=SUMMARY, sample=0, **options)
    assert found.text == 20
    assert f"{source}: id from id, text from summary." in found.notes
    with pytest.raises(ReplaceRefusedError, match="passage '0'"):
        verify(source, fields=SUMMARY, sample=0, encoder=StubEncoder(), repair=True, **options)
    assert verify(source, fields=BODY, sample=0, **options).equal


def texts_in(path: Path) -> set[str]:
    return {payload["text"] for payload, _ in stored.embedded(path / "store").values()}


def test_a_repair_is_judged_by_what_a_collection_holds_that_does_not_say_its_fields(tmp_path: Path) -> None:
    load(tmp_path, [Passage(str(n), f"body {n}", payload={"summary": f"summary {n}"}) for n in range(20)])
    options: Any = {"collection": "c", "path": tmp_path / "store", "sample": 0, "repair": True}
    before = stored.embedded(tmp_path / "store")
    encoder = StubEncoder()
    with pytest.raises(ReplaceRefusedError, match="the collection has body, this run has summary"):
        verify(written(tmp_path / "a.jsonl", count=20), fields=SUMMARY, encoder=encoder, **options)
    assert stored.embedded(tmp_path / "store") == before
    assert encoder.encoded == 0
    edited = written(tmp_path / "a.jsonl", count=20, edit=", edited")
    assert verify(edited, fields=BODY, encoder=encoder, **options).encoded == 20


SPLIT = "tokens:16"


@pytest.mark.parametrize("split", [None, SPLIT])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_an_interrupted_first_run_has_said_its_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str | None, one_by_one: bool
) -> None:
    rows = [{"id": str(n), "body": f"body {n} " * 20, "summary": f"summary {n} " * 20} for n in range(20)]

    def source() -> Any:
        return iter(rows) if one_by_one else rows

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ReplaceGuard, "record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load(tmp_path, source(), BODY, split=split)
    assert fields_in(tmp_path) == RoleFields(id=("id",), text=("body",))
    before = stored.embedded(tmp_path / "store")
    with pytest.raises(ReplaceRefusedError):
        load(tmp_path, source(), SUMMARY, restart=True)
    assert stored.embedded(tmp_path / "store") == before
    assert load(tmp_path, source(), BODY).replaced == 0


def test_a_first_run_that_stores_nothing_leaves_no_record(tmp_path: Path) -> None:
    def failing(_: int) -> None:
        raise ZeroDivisionError

    source = written(tmp_path / "a.jsonl", count=20)
    with pytest.raises(ZeroDivisionError):
        ingest(source, collection="c", path=tmp_path / "store", fields=BODY, encoder=StubEncoder(before_encode=failing))
    load(tmp_path, source, SUMMARY)
    assert fields_in(tmp_path) == RoleFields(id=("id",), text=("summary",))


def test_parts_of_another_field_are_recognised_where_the_record_says_nothing(tmp_path: Path) -> None:
    documents = [Passage(str(n), f"body {n} " * 20, payload={"summary": f"summary {n} " * 20}) for n in range(20)]
    load(tmp_path, documents, split=SPLIT)
    rows = [{"id": str(n), "body": f"body {n} " * 20, "summary": f"summary {n} " * 20} for n in range(20)]
    before = stored.embedded(tmp_path / "store")
    with pytest.raises(ReplaceRefusedError, match="the collection has body, this run has summary"):
        load(tmp_path, rows, SUMMARY)
    assert stored.embedded(tmp_path / "store") == before
    edited = [{**row, "body": row["body"].replace("body", "other")} for row in rows]
    assert load(tmp_path, edited, BODY).replaced > 0


def test_overwriting_with_dicts_that_come_one_by_one_asks_too(tmp_path: Path) -> None:
    rows = [{"id": str(n), "body": f"body {n}", "summary": f"summary {n}"} for n in range(5)]
    load(tmp_path, iter(rows), BODY)
    with pytest.raises(ReplaceRefusedError):
        load(tmp_path, iter(rows), SUMMARY, overwrite=True)
    assert texts_in(tmp_path) == {row["body"] for row in rows}
    report = load(tmp_path, iter(rows), SUMMARY, overwrite=True, replace=True)
    assert (report.new, report.replaced) == (0, 5)
    report = load(tmp_path, [Passage("4", "four"), Passage("5", "five")], overwrite=True)
    assert (report.new, report.replaced) == (1, 1)


@pytest.mark.parametrize("overwrite", [False, True])
def test_texts_of_several_fields_are_judged_by_what_is_stored(tmp_path: Path, overwrite: bool) -> None:
    first = written(tmp_path / "a.jsonl", count=20, note="same")
    load(tmp_path, first, BODY)
    load(tmp_path, written(tmp_path / "b.jsonl", start=20, count=20), SUMMARY)
    before = stored.embedded(tmp_path / "store")
    for source, fields in ((first, SUMMARY), (tmp_path / "b.jsonl", BODY)):
        with pytest.raises(ReplaceRefusedError):
            load(tmp_path, source, fields, overwrite=overwrite)
        with pytest.raises(ReplaceRefusedError):
            verify(
                source, fields=fields, collection="c", path=tmp_path / "store", sample=0, encoder=StubEncoder(),
                repair=True,
            )  # fmt: skip
    assert stored.embedded(tmp_path / "store") == before
    edited = written(tmp_path / "a.jsonl", count=20, edit=", edited")
    assert load(tmp_path, edited, BODY, overwrite=overwrite).replaced == 20


def test_a_new_title_is_no_other_field_of_the_text(tmp_path: Path) -> None:
    load(tmp_path, [Passage("1", "one", payload={"copy": "one"})])
    report = load(tmp_path, [{"id": "1", "text": "one", "copy": "one", "title": "A title"}])
    assert report.replaced == 1


def test_loads_into_one_collection_of_a_server_record_the_fields_of_both(qdrant_server: QdrantServer) -> None:
    name, where = "replacing-both", qdrant_server.url
    ingest([], collection=name, url=where, encoder=StubEncoder())
    body, summary = RoleFields(id=("id",), text=("body",)), RoleFields(id=("id",), text=("summary",))
    try:
        with open_collection(name, url=where) as one, open_collection(name, url=where) as other:
            one.record_fields(body)
            other.record_fields(summary)
            assert other.fields == body.plus(summary)
            one.record_fields(body)
            assert one.fields == body.plus(summary)
            one.record_fields(summary)
        with open_collection(name, url=where) as collection:
            assert collection.fields == summary
    finally:
        client = stored.client_of(where)
        client.delete_collection(name)
        client.close()
