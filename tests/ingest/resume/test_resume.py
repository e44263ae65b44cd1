"""A run that ended early goes on from its checkpoint, or says why it can't."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasb_qdrant.collection import open as opening
from tasb_qdrant.collection.edge.store import EdgeStore
from tasb_qdrant.collection.points import PointBatch, PointId
from tasb_qdrant.collection.protocol import Collection, Store
from tasb_qdrant.collection.reads.questions import ScoredPoint
from tasb_qdrant.collection.reads.run import Reads, Send
from tasb_qdrant.collection.reads.steps import ReadSteps
from tasb_qdrant.errors import (
    CollectionError,
    EncodingError,
    ResumeRefusedError,
    StateCorruptError,
    StateError,
    StateLockedError,
)
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.resume import journal as journals
from tasb_qdrant.ingest.resume.checkpoint import Counts, Ledger
from tasb_qdrant.ingest.resume.identity import ReadIdentity
from tasb_qdrant.ingest.resume.journal import STATE_FOLDER, Journal
from tasb_qdrant.ingest.resume.state import CHECKPOINT, PREVIOUS
from tasb_qdrant.ingest.window import WINDOW_SIZE
from tasb_qdrant.records import IngestReport, ModelContract, Passage
from tasb_qdrant.settings import CollectionSettings
from tasb_qdrant.sources import SourceFields
from tests.ingest import stored
from tests.ingest.fakes import FaultyCollection, StubEncoder, fail_at
from tests.qdrant_servers import QdrantServer

WINDOWS = 6
COUNT = WINDOWS * WINDOW_SIZE - 100
STOPPED = EncodingError("the encoder broke")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return stored.write_jsonl(tmp_path / "p.jsonl", stored.numbered(COUNT))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


class Asked(FaultyCollection):
    """Remembers for which points it was asked."""

    def __init__(self, inner: Collection, asked: list[PointId], **hooks: Any) -> None:
        super().__init__(inner, **hooks)
        self._asked = asked

    @property
    def reads(self) -> Reads:
        reads = super().reads
        return Asking(reads.steps, reads.send, self._asked)


class Asking(Reads):
    """The reads that do."""

    def __init__(self, steps: ReadSteps, send: Send, asked: list[PointId]) -> None:
        super().__init__(steps, send)
        self._asked = asked

    def retrieve(self, ids: Sequence[PointId], **options: Any) -> list[ScoredPoint]:
        self._asked.extend(ids)
        return super().retrieve(ids, **options)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[PointId]:
    """The points that collections are asked for, by any run of `ingest`."""
    points: list[PointId] = []
    real = opening.open_for_writing

    def open_asked(name: str, store: Store, *, contract: ModelContract, **options: Any) -> Collection:
        return Asked(real(name, store, contract=contract, **options), points)

    monkeypatch.setattr(opening, "open_for_writing", open_asked)
    return points


def interrupted(source: Any, store: Path, *, after: int = 4, **options: Any) -> None:
    """A run of which `after` windows are encoded, and so many at most are stored."""
    with pytest.raises(EncodingError):
        run(source, store, encoder=StubEncoder(before_encode=fail_at(after, STOPPED)), **options)


def run(source: Any, store: Path, *, encoder: StubEncoder | None = None, **options: Any) -> IngestReport:
    return ingest(source, collection="c", path=store, encoder=encoder or StubEncoder(), optimize=False, **options)


def states(store: Path) -> list[Path]:
    return sorted((store / STATE_FOLDER).glob("*/*"))


def undisturbed(source: Any, folder: Path, **options: Any) -> stored.Stored:
    run(source, folder, **options)
    return stored.embedded(folder)


def test_a_resumed_run_neither_asks_for_nor_encodes_what_the_checkpoint_covers(
    tmp_path: Path, source: Path, store: Path, asked: list[PointId]
) -> None:
    interrupted(source, store)
    there = len(stored.embedded(store))
    assert asked == []
    encoder = StubEncoder()
    report = run(source, store, encoder=encoder)
    done = report.resumed["points"]
    assert done == report.resumed["windows"] * WINDOW_SIZE == there  # all that was stored: nothing was killed
    assert min(asked) == done
    assert encoder.encoded == report.stored == COUNT - there
    assert (report.read, report.skipped, report.points, report.points_expected) == (COUNT, there, COUNT, COUNT)
    assert f"Resuming at passage {done + 1:,}, window {done // WINDOW_SIZE + 1}" in " ".join(report.notes)
    assert stored.embedded(store) == undisturbed(source, tmp_path / "other")


def test_a_finished_run_leaves_no_state(source: Path, store: Path) -> None:
    interrupted(source, store)
    assert [path.name for path in states(store)] == [CHECKPOINT, "lock"]
    run(source, store)
    assert states(store) == []
    again = run(source, store)
    assert (again.skipped, again.resumed) == (COUNT, {})


def test_an_embedded_collections_state_is_no_collection_and_no_source(source: Path, store: Path) -> None:
    interrupted(source, store)
    assert EdgeStore(store).names() == ["c"]


def test_a_run_that_stored_nothing_leaves_nothing_to_go_on_from(source: Path, store: Path) -> None:
    interrupted(source, store, after=0)
    assert states(store) == []
    assert run(source, store).resumed == {}


def test_a_run_can_be_resumed_again_and_again(tmp_path: Path, source: Path, store: Path) -> None:
    encoded = 0
    for _ in range(WINDOWS - 1):
        encoder = StubEncoder(before_encode=fail_at(1, STOPPED))
        with pytest.raises(EncodingError):
            run(source, store, encoder=encoder)
        encoded += encoder.encoded
    report = run(source, store)
    assert encoded + report.stored == COUNT
    assert report.resumed["stored"] == encoded
    assert report.resumed["skipped"] == 0
    assert stored.embedded(store) == undisturbed(source, tmp_path / "other")


def test_windows_without_anything_to_store_count_as_done(tmp_path: Path, source: Path, store: Path) -> None:
    first = stored.write_jsonl(tmp_path / "first.jsonl", stored.numbered(3 * WINDOW_SIZE))
    run(first, store)
    interrupted(source, store, after=1)
    report = run(source, store)
    assert report.resumed["windows"] >= 4
    assert report.resumed["skipped"] == 3 * WINDOW_SIZE
    assert report.points == COUNT


def test_rejects_and_repeats_are_told_again_and_counts_add_up(tmp_path: Path, store: Path) -> None:
    passages = stored.numbered(COUNT)
    passages[700] = Passage("3", "another text for an id that was there")
    passages[800] = passages[5]
    source = stored.write_jsonl(tmp_path / "p.jsonl", passages)
    with source.open("ab") as file:
        file.write(b"no json\n")
    rejects = tmp_path / "rejects.jsonl"
    interrupted(source, store, rejects=rejects)
    report = run(source, store, rejects=rejects)
    assert (report.read, report.rejected, report.points) == (COUNT + 1, 2, COUNT - 2)
    assert report.read == report.stored + report.skipped + report.rejected
    assert len(rejects.read_bytes().splitlines()) == 2


def test_truncated_passages_of_the_interrupted_run_are_counted(tmp_path: Path, store: Path) -> None:
    long = [Passage(str(n), "word " * 20) for n in range(COUNT)]
    source = stored.write_jsonl(tmp_path / "p.jsonl", long)
    interrupted(source, store)
    assert run(source, store).truncated == COUNT


def _append(source: Path) -> None:
    with source.open("ab") as file:
        file.write(b'{"id": "new", "text": "new"}\n')


def _touch(source: Path) -> None:
    status = source.stat()
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def _rewrite(source: Path, start: int) -> None:
    """Other content of the same size and, on paper, of the same time."""
    status = source.stat()
    data = bytearray(source.read_bytes())
    data[start] ^= 1
    source.write_bytes(data)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_append, r"the size of .*p\.jsonl was \d+, is \d+"),
        (_touch, r"the last change of .*p\.jsonl was 20..-..-..T"),
        (lambda source: _rewrite(source, 30), r"the start of .*p\.jsonl was"),
        (lambda source: _rewrite(source, -30), r"the end of .*p\.jsonl was"),
    ],
)
def test_a_changed_source_is_refused(source: Path, store: Path, change: Callable[[Path], None], named: str) -> None:
    interrupted(source, store)
    before = stored.embedded(store)
    change(source)
    encoder = StubEncoder()
    with pytest.raises(ResumeRefusedError, match=f"{named}.*--restart"):
        run(source, store, encoder=encoder)
    assert encoder.tokenized == 0
    assert stored.embedded(store) == before
    assert run(source, store, restart=True).verified


def test_files_that_came_went_or_changed_places_are_refused(tmp_path: Path, store: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    stored.write_jsonl(folder / "b.jsonl", stored.numbered(COUNT))
    interrupted(folder, store)
    new = stored.write_jsonl(folder / "a.jsonl", stored.numbered(3, start=COUNT))
    with pytest.raises(ResumeRefusedError, match=r"the file .*a\.jsonl was not a source, is one"):
        run(folder, store)
    new.unlink()
    (folder / "b.jsonl").rename(folder / "c.jsonl")
    with pytest.raises(
        ResumeRefusedError, match=r"b\.jsonl was a source, is no longer one; the file .*c\.jsonl was not a source"
    ):
        run(folder, store)


def test_other_options_of_reading_are_refused(source: Path, store: Path) -> None:
    interrupted(source, store)
    indexed = CollectionSettings(indexes={"year": "integer"})
    for options, named in (
        ({"format": "jsonl"}, "--format was not given, is jsonl"),
        ({"fields": SourceFields(text="title")}, "--text-field was not given, is title"),
        ({"settings": indexed}, "--index was not given, is year:integer"),
        ({"overwrite": True}, "--overwrite was not given, is given"),
    ):
        with pytest.raises(ResumeRefusedError, match=named):
            run(source, store, **options)
    assert run(source, store).verified


def test_another_model_or_precision_is_refused(source: Path, store: Path) -> None:
    interrupted(source, store)
    for encoder, named in (
        (StubEncoder(weights="6" * 64), r"model was stub \(555555555555\), is stub \(666666666666\)"),
        (StubEncoder(precision="bf16"), "the precision was fp32, is bf16"),
        (StubEncoder(dim=16), "dim was 8, is 16"),
    ):
        with pytest.raises(ResumeRefusedError, match=named):
            run(source, store, encoder=encoder)


def test_another_version_of_the_program_may_cut_other_windows_and_is_refused(
    source: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(source, store)
    later = replace(StubEncoder().contract, version="1")
    monkeypatch.setattr(StubEncoder, "contract", property(lambda self: later))
    with pytest.raises(ResumeRefusedError, match="the version of tasb-qdrant was 0, is 1"):
        run(source, store)


def test_a_collection_that_is_gone_is_not_made_anew(source: Path, store: Path) -> None:
    interrupted(source, store)
    EdgeStore(store).delete("c")
    with pytest.raises(ResumeRefusedError, match="collection 'c' was there, is gone"):
        run(source, store)
    assert EdgeStore(store).names() == []


def test_a_collection_made_anew_under_the_same_name_is_refused(source: Path, store: Path) -> None:
    interrupted(source, store)
    EdgeStore(store).delete("c")
    run(stored.numbered(COUNT), store)
    with pytest.raises(ResumeRefusedError, match=r"collection 'c' was number .*, is number .*, made since"):
        run(source, store)
    assert run(source, store, restart=True).skipped == COUNT


def test_an_index_made_meanwhile_is_refused_since_it_changes_what_is_rejected(source: Path, store: Path) -> None:
    interrupted(source, store)
    with EdgeStore(store).open("c") as collection:
        collection.ensure_indexes({"year": "integer"})
    with pytest.raises(ResumeRefusedError, match=r"the payload index of 'year' was none, is integer"):
        run(source, store)


def test_a_checkpoint_that_covers_more_than_there_is_is_not_gone_on_with(source: Path, store: Path) -> None:
    interrupted(source, store)
    there = len(stored.embedded(store))
    with EdgeStore(store).open("c") as collection:
        collection.delete_points(list(range(700)))
    report = run(source, store)
    assert (report.resumed, report.stored, report.verified) == ({}, COUNT - there + 700, True)
    assert f"at least {there:,} points should be there, and {there - 700:,} are" in " ".join(report.notes)


def test_points_that_are_missing_behind_others_that_were_added_are_stored_again(
    tmp_path: Path, source: Path, store: Path
) -> None:
    interrupted(source, store)
    run(stored.numbered(300, start=COUNT - 300), store)  # as stored by a killed run after its last checkpoint
    with EdgeStore(store).open("c") as collection:
        collection.delete_points([600, 601, 602])
    report = run(source, store)
    assert (report.verified, report.points, report.missing) == (True, COUNT, 0)
    assert stored.embedded(store) == undisturbed(source, tmp_path / "other")


def test_a_collection_restored_from_a_backup_is_compared_though_every_id_is_there(
    tmp_path: Path, source: Path, store: Path
) -> None:
    old = [Passage(one.id, f"old {one.text}") for one in stored.numbered(COUNT)]
    run(old, store)
    shutil.copytree(store / "c", tmp_path / "backup")
    interrupted(source, store)
    shutil.rmtree(store / "c")
    shutil.copytree(tmp_path / "backup", store / "c")
    report = run(source, store)
    assert (report.resumed, report.stored, report.verified) == ({}, COUNT, True)
    assert "the collection knows checkpoint 0 of it" in " ".join(report.notes)
    assert stored.embedded(store) == undisturbed(source, tmp_path / "other")


def test_a_checkpoint_of_an_earlier_build_is_understood_and_nothing_is_encoded_twice(source: Path, store: Path) -> None:
    interrupted(source, store)
    there = len(stored.embedded(store))
    path = states(store)[0].parent / CHECKPOINT
    checkpoint = json.loads(path.read_bytes().partition(b"\n")[2])
    earlier = {name: checkpoint[name] for name in ("reading", "target", "done")}
    content = json.dumps({"format": 1, **earlier}).encode()
    path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    report = run(source, store)
    assert (report.stored, report.skipped, report.verified) == (COUNT - there, there, True)
    assert "its checkpoint is of an earlier build" in " ".join(report.notes)


def test_restart_compares_everything_and_encodes_nothing_twice(source: Path, store: Path, asked: list[PointId]) -> None:
    interrupted(source, store)
    there = len(stored.embedded(store))
    encoder = StubEncoder()
    report = run(source, store, encoder=encoder, restart=True)
    assert (report.stored, report.skipped, report.resumed) == (COUNT - there, there, {})
    assert asked == list(range(COUNT))


def test_an_overwriting_run_is_resumed_as_such(source: Path, store: Path) -> None:
    run(source, store)
    interrupted(source, store, overwrite=True)
    report = run(source, store, overwrite=True)
    assert report.stored + report.resumed["stored"] == COUNT
    assert report.resumed["skipped"] == 0
    assert report.resumed["windows"] > 0


def test_other_sources_are_another_run(tmp_path: Path, source: Path, store: Path) -> None:
    interrupted(source, store)
    other = stored.write_jsonl(tmp_path / "q.jsonl", stored.numbered(10, start=COUNT))
    assert run(other, store).resumed == {}
    assert run(source, store).resumed != {}


def test_the_same_file_by_another_spelling_is_the_same_run(
    tmp_path: Path, source: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(source, store)
    monkeypatch.chdir(tmp_path)
    assert run("./p.jsonl", store).resumed != {}


def test_a_store_that_was_moved_takes_its_state_along(tmp_path: Path, source: Path, store: Path) -> None:
    interrupted(source, store)
    store.rename(tmp_path / "moved")
    assert run(source, tmp_path / "moved").resumed != {}


def test_passages_in_memory_have_no_checkpoint_and_say_so_where_one_was_asked_for(tmp_path: Path, store: Path) -> None:
    interrupted(stored.numbered(COUNT), store, state=tmp_path / "state")
    assert not (tmp_path / "state").exists()
    assert states(store) == []
    report = run(stored.numbered(COUNT), store, state=tmp_path / "state")
    assert report.resumed == {}
    assert report.verified
    assert "can't be read a second time" in " ".join(report.notes)


def test_a_run_is_locked_against_a_second_one(source: Path, store: Path) -> None:
    refused: list[str] = []

    def second(call: int) -> None:
        if call == 2:
            with pytest.raises(StateLockedError, match=f"process {os.getpid()}") as caught:
                run(source, store)
            refused.append(str(caught.value))

    run(source, store, encoder=StubEncoder(before_encode=second))
    assert len(refused) == 1


def test_a_state_folder_can_be_named(tmp_path: Path, source: Path, store: Path) -> None:
    state = tmp_path / "here"
    interrupted(source, store, state=state)
    (run_folder,) = state.iterdir()
    assert run_folder.name.startswith("c-")
    assert stat.S_IMODE(run_folder.stat().st_mode) == 0o700
    assert not (store / STATE_FOLDER).exists()
    assert run(source, store, state=state).resumed != {}


def test_a_damaged_checkpoint_gives_way_to_the_one_before_or_is_refused(
    tmp_path: Path, source: Path, store: Path
) -> None:
    interrupted(source, store, after=2)
    interrupted(source, store, after=2)
    current, previous = (states(store)[0].parent / name for name in (CHECKPOINT, PREVIOUS))
    current.write_bytes(current.read_bytes()[:-1])
    with pytest.raises(EncodingError):
        run(source, store, encoder=StubEncoder(before_encode=fail_at(1, STOPPED)))  # from the one before
    current.write_bytes(b"")
    kept = previous.read_bytes()
    previous.write_bytes(kept[:-1])
    with pytest.raises(StateCorruptError, match="--restart"):
        run(source, store)
    previous.write_bytes(kept)
    report = run(source, store)
    assert "The last checkpoint is damaged; the one before it is used." in report.notes
    assert report.points == COUNT
    assert stored.embedded(store) == undisturbed(source, tmp_path / "other")


def full_for_checkpoints() -> Callable[[Any, Any], None]:
    """In place of os.replace: what the collection says of itself still fits."""
    replace = os.replace

    def full(new: Any, old: Any) -> None:
        if Path(old).name != "collection.json":
            raise OSError(28, "No space left on device")
        replace(new, old)

    return full


def test_a_checkpoint_that_cannot_be_written_ends_the_run_with_a_named_error_and_nothing_is_lost(
    tmp_path: Path, source: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full_for_checkpoints())
        with pytest.raises(StateError, match=r"No space left on device.*free some space"):
            run(source, store)
    report = run(source, store)
    assert (report.stored, report.skipped) == (0, COUNT)
    assert stored.embedded(store) == undisturbed(source, tmp_path / "other")


def test_a_failure_to_save_does_not_hide_what_failed_before(
    source: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", full_for_checkpoints())
    with pytest.raises(EncodingError) as caught:
        run(source, store, encoder=StubEncoder(before_encode=fail_at(4, STOPPED)))
    assert "No space left on device" in caught.value.__notes__[0]


def test_a_servers_state_is_the_users_and_holds_no_secret(
    tmp_path: Path,
    source: Path,
    keyed_server: QdrantServer,
    collection_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QDRANT_API_KEY", str(keyed_server.api_key))
    options: dict[str, Any] = {
        "collection": collection_name,
        "url": keyed_server.url,
        "grpc_port": keyed_server.grpc_port,
        "optimize": False,
    }
    with pytest.raises(EncodingError):
        ingest(source, encoder=StubEncoder(before_encode=fail_at(4, STOPPED)), **options)
    (folder,) = (tmp_path / "home" / "tasb-qdrant").iterdir()
    assert folder.name.startswith(f"{collection_name}-")
    for path in folder.iterdir():
        assert str(keyed_server.api_key).encode() not in path.read_bytes()
    report = ingest(source, encoder=StubEncoder(), **options)
    assert report.resumed["windows"] >= 1
    assert report.points == report.points_expected == COUNT
    assert list((tmp_path / "home" / "tasb-qdrant").iterdir()) == []


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 5), st.randoms(use_true_random=False))
def test_only_the_leading_windows_count_in_whichever_order_batches_are_acknowledged(
    batches_of_windows: list[int], first: int, rng: random.Random
) -> None:
    ledger = Ledger(Counts(windows=first))
    waiting: list[tuple[int, PointBatch]] = []
    for offset, count in enumerate(batches_of_windows):
        window = first + offset
        ledger.begin(window, Counts(windows=1, points=2, stored=min(count, 1), tokens=10 * count))
        if count:
            batches = [PointBatch([], np.empty((0, 1), dtype=np.float32)) for _ in range(count)]
            ledger.expect(window, batches)
            waiting += [(window, batch) for batch in batches]
    rng.shuffle(waiting)
    while True:
        pending = {window for window, _ in waiting}
        windows = [n for n in range(first, first + len(batches_of_windows)) if all(p > n for p in pending)]
        done = ledger.done
        assert done.windows == first + len(windows)
        assert done.points == 2 * len(windows)
        assert done.tokens == sum(10 * batches_of_windows[n - first] for n in windows)
        if not waiting:
            break
        ledger.acknowledged(waiting.pop()[1])


def test_a_checkpoint_takes_a_fiftieth_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    saved: list[float] = []

    class Slow(Journal):
        def save(self) -> None:
            saved.append(now[0])
            now[0] += 3.0  # a slow disk

    journal = Slow(None, ReadIdentity(files=(), options={}), collection="c", clock=lambda: now[0])

    def pass_time() -> None:
        now[0] += 0.1
        if now[0] > 1_000:
            journal.end()

    monkeypatch.setattr(journals, "_POLL_SECONDS", 0.0)
    journal.keep(pass_time)
    assert saved[0] < 1.5
    assert 5 < len(saved[1:]) <= 1_000 / (3.0 * 50)


class Acknowledging(FaultyCollection):
    """Notes which windows it has acknowledged. Several are under way at once, so they come in any order."""

    def __init__(self, inner: Collection, acknowledged: set[int], **hooks: Any) -> None:
        super().__init__(inner, **hooks)
        self._acknowledged = acknowledged

    def upsert(self, batch: PointBatch) -> None:
        super().upsert(batch)
        self._acknowledged.add(int(batch.passages[0].id) // WINDOW_SIZE)


def test_an_upload_that_fails_leaves_a_checkpoint_of_what_was_acknowledged(
    source: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = opening.open_for_writing
    acknowledged: set[int] = set()

    def open_faulty(name: str, store: Store, *, contract: ModelContract, **options: Any) -> Collection:
        inner = real(name, store, contract=contract, **options)
        return Acknowledging(inner, acknowledged, before_upsert=fail_at(3, CollectionError("refused")))

    with monkeypatch.context() as patch:
        patch.setattr(opening, "open_for_writing", open_faulty)
        with pytest.raises(CollectionError, match="refused"):
            run(source, store)
    report = run(source, store)
    assert report.resumed.get("windows", 0) == next(n for n in range(WINDOWS) if n not in acknowledged)
    assert report.points == COUNT
