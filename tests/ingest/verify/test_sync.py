"""A synchronisation makes the collection equal to its source, and hardly ever deletes by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant import Passage, ingest, verify
from tasb_qdrant.errors import CollectionNotFoundError, DeletionRefusedError, RejectedError, SettingsError, SourceError
from tasb_qdrant.ingest import RejectedLines, plan_sync
from tasb_qdrant.ingest.progress import Progress
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder, fail_at
from tests.qdrant_servers import QdrantServer

COUNT = 700  # more than a window

Where = dict[str, Any]


@pytest.fixture
def where(tmp_path: Path) -> Where:
    return {"collection": "c", "path": tmp_path / "store"}


@pytest.fixture(params=["embedded", *(pytest.param(way, marks=pytest.mark.server) for way in ("grpc", "rest"))])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path, collection_name: str) -> Iterator[Where]:
    if request.param == "embedded":
        yield {"collection": "c", "path": tmp_path / "store"}
        return
    server: QdrantServer = request.getfixturevalue("qdrant_1_17")
    yield {"collection": collection_name, "url": server.url, "grpc_port": server.grpc_port, "transport": request.param}
    client = stored.client_of(server.url)
    client.delete_collection(collection_name)
    client.close()


def load(passages: list[Passage], where: Where) -> None:
    ingest(passages, encoder=StubEncoder(), optimize=False, **where)


def changed() -> list[Passage]:
    """Of 700: 40 gone, 30 with another text, 20 with another field, 10 new."""
    passages = stored.numbered(COUNT)
    for n in range(30):
        passages[n] = replace(passages[n], text=f"rewritten {n}")
    for n in range(30, 50):
        passages[n] = replace(passages[n], payload={"year": 0})
    return [*passages[:-40], *(Passage(f"new {n}", "new") for n in range(10))]


def test_only_what_changed_is_encoded_and_what_is_gone_is_deleted(anywhere: Where) -> None:
    load(stored.numbered(COUNT), anywhere)
    encoder = StubEncoder()
    report = ingest(changed(), encoder=encoder, sync=True, **anywhere)
    assert (report.stored, report.updated, report.skipped, report.deleted) == (40, 20, COUNT - 40 - 50, 40)
    assert report.read == report.stored + report.updated + report.skipped
    assert (report.points, report.points_expected, report.verified) == (COUNT - 30, COUNT - 30, True)
    assert encoder.encoded == 40
    assert verify(changed(), encoder=StubEncoder(), sample=1_000, **anywhere).equal
    again = ingest(changed(), encoder=encoder, sync=True, **anywhere)
    assert (again.stored, again.updated, again.deleted, encoder.encoded) == (0, 0, 0, 40)


def test_a_dry_run_gives_the_counts_and_changes_nothing(anywhere: Where) -> None:
    load(stored.numbered(COUNT), anywhere)
    plan = plan_sync(changed(), **anywhere)
    assert (plan.delete, plan.encode, plan.update, plan.unchanged) == (40, 40, 20, COUNT - 90)
    assert (plan.points, plan.read, plan.rejected, plan.refusal) == (COUNT, COUNT - 30, 0, "")
    assert plan.to_dict()["delete"] == 40
    assert verify(stored.numbered(COUNT), encoder=StubEncoder(), sample=1_000, **anywhere).equal


def test_a_dry_run_of_nothing_to_do_says_so(where: Where) -> None:
    load(stored.numbered(5), where)
    plan = plan_sync(stored.numbered(5), **where)
    assert (plan.delete, plan.encode, plan.update, plan.unchanged) == (0, 0, 0, 5)
    with pytest.raises(CollectionNotFoundError):
        plan_sync([], **{**where, "collection": "other"})


def test_a_dry_run_reads_with_as_many_processes_as_are_wanted(where: Where, tmp_path: Path) -> None:
    load(stored.numbered(3), where)
    file = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(2))
    told: list[Progress] = []
    plans = [plan_sync(file, workers=workers, on_progress=told.append, **where) for workers in (2, 1)]
    assert plans[0] == plans[1]
    assert plans[0].delete == 1
    assert {note for now in told for note in now.notes if "processes" in note} == {"The source is read by 2 processes."}
    with pytest.raises(SettingsError, match="workers"):
        plan_sync(file, workers=0, **where)


def test_a_new_collection_is_just_filled(where: Where) -> None:
    report = ingest(stored.numbered(5), encoder=StubEncoder(), sync=True, verify=True, **where)
    assert (report.stored, report.deleted, report.verified) == (5, 0, True)


def test_how_many_will_be_deleted_is_told_before_anything_is_encoded(where: Where) -> None:
    load(stored.numbered(20), where)
    told: list[Progress] = []
    ingest(stored.numbered(18), encoder=StubEncoder(), sync=True, on_progress=told.append, **where)
    sentence = (
        "2 of the collection's 20 points are not in the source, and will be deleted once everything else is stored"
    )
    first = next(now for now in told if sentence in now.notes)
    assert (first.read, first.deleted) == (0, 0)
    assert told[-1].deleted == 2


@pytest.mark.parametrize(
    ("source", "why"),
    [([], "the source is empty"), ([Passage("x", "another file")], "has none of the collection's passages")],
)
def test_deleting_everything_is_refused_unless_it_is_said(where: Where, source: list[Passage], why: str) -> None:
    load(stored.numbered(20), where)
    assert why in plan_sync(source, **where).refusal
    with pytest.raises(DeletionRefusedError, match=f"would delete 20 points .*{why}.*--delete-anyway") as caught:
        ingest(source, encoder=StubEncoder(), sync=True, **where)
    assert (caught.value.name, caught.value.deletions) == ("c", 20)
    assert verify(stored.numbered(20), encoder=StubEncoder(), **where).equal
    report = ingest(source, encoder=StubEncoder(), sync=True, delete_anyway=True, **where)
    assert (report.deleted, report.points, report.verified) == (20, len(source), True)


def test_a_source_with_rejects_deletes_nothing_unless_it_is_said(where: Where, tmp_path: Path) -> None:
    load(stored.numbered(20), where)
    source = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(19))
    with source.open("a") as file:
        file.write('{"id": "19", "text": ""}\n')
    rejects = tmp_path / "rejects.jsonl"
    with pytest.raises(RejectedError, match=r"p\.jsonl:20: "):
        ingest(source, encoder=StubEncoder(), sync=True, **where)
    with pytest.raises(DeletionRefusedError, match=r"would delete 1 points .*1 inputs of the source can't be stored"):
        ingest(source, encoder=StubEncoder(), sync=True, rejects=rejects, **where)
    assert verify(stored.numbered(20), encoder=StubEncoder(), **where).equal
    report = ingest(source, encoder=StubEncoder(), sync=True, rejects=rejects, delete_anyway=True, **where)
    assert (report.read, report.skipped, report.rejected, report.deleted, report.points) == (20, 19, 1, 1, 19)
    assert len(rejects.read_bytes().splitlines()) == 1


def test_rejects_without_anything_to_delete_are_only_rejects(where: Where, tmp_path: Path) -> None:
    source = stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(3))
    with source.open("a") as file:
        file.write("no json\n")
    report = ingest(source, encoder=StubEncoder(), sync=True, rejects=tmp_path / "r", **where)
    assert (report.stored, report.rejected, report.deleted) == (3, 1, 0)


def test_an_interrupted_synchronisation_is_made_up_for_by_another(where: Where) -> None:
    load(stored.numbered(COUNT), where)
    with pytest.raises(RuntimeError, match="broken"):
        ingest(changed(), encoder=StubEncoder(before_encode=fail_at(0, RuntimeError("broken"))), sync=True, **where)
    assert {str(n) for n in range(COUNT)} <= stored.embedded(where["path"]).keys()  # nothing was deleted yet
    report = ingest(changed(), encoder=StubEncoder(), sync=True, verify=True, **where)
    assert (report.deleted, report.verified) == (40, True)


def test_a_source_that_is_written_to_meanwhile_deletes_nothing(where: Where, tmp_path: Path) -> None:
    load(stored.numbered(20), where)
    source = stored.write_jsonl(tmp_path / "p.jsonl", [*stored.numbered(10), Passage("new", "makes it encode")])

    def append(_: int) -> None:
        with source.open("a") as file:
            file.write('{"id": "15", "text": "back again"}\n')

    with pytest.raises(SourceError, match="it was changed while it was read, so nothing was deleted; run"):
        ingest(source, encoder=StubEncoder(before_encode=append), sync=True, **where)
    assert {str(n) for n in range(20)} <= stored.embedded(where["path"]).keys()


def test_a_stream_can_not_be_synchronised(where: Where) -> None:
    for stream in (iter(stored.numbered(3)), "-"):
        with pytest.raises(SettingsError, match="sync reads the source more than once"):
            ingest(stream, encoder=StubEncoder(), sync=True, **where)


def test_points_of_other_programs_count_as_not_in_the_source(anywhere: Where) -> None:
    load([*stored.numbered(10), Passage("a name", "t"), Passage("other", "t")], anywhere)
    report = ingest([*stored.numbered(9), Passage("a name", "t")], encoder=StubEncoder(), sync=True, **anywhere)
    assert (report.deleted, report.points) == (2, 10)


def test_rejects_that_are_tried_again_delete_nothing(where: Where, tmp_path: Path) -> None:
    (tmp_path / "r").write_text("")
    with pytest.raises(SettingsError, match="sync would delete all but the rejects"):
        ingest(RejectedLines(tmp_path / "r"), encoder=StubEncoder(), sync=True, **where)
