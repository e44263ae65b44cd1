"""What version 0.1 left behind opens, resumes, verifies and is searched as if nothing had changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant import Encoder, Searcher, ingest, load_encoder, open_collection, verify
from tasb_qdrant.errors import ResumeRefusedError, SettingsError
from tasb_qdrant.ingest import RejectedLines, plan_sync
from tasb_qdrant.settings import CollectionSettings
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder
from tests.models import minilm_folder
from tests.qdrant_servers import QdrantServer

LEFT = Path(__file__).parent / "fixtures" / "v0.1"
PASSAGES = LEFT / "passages.jsonl"
WHERE = 'year >= 1900 and lang = "en"'
Where = dict[str, Any]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(minilm_folder(), device="cpu", precision="fp32")


@pytest.fixture(scope="module", params=["embedded", "1.16.3", "1.17.0"])
def where(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each store with collection `notes`; tests that use it leave it as it is. A later server opens an earlier one's."""
    folder = tmp_path_factory.mktemp("left")
    if request.param == "embedded":
        yield {"path": unpacked("embedded", folder)}
        return
    unpacked("server-1.16.3", folder).rename(folder / "storage")
    with QdrantServer.start(request.param, folder) as server:
        yield {"url": server.url, "grpc_port": server.grpc_port}
    shutil.rmtree(folder / "storage")


def unpacked(name: str, folder: Path) -> Path:
    """The folder that the archive holds, below `folder`. Zeros become holes: most of a store's files are zeros."""
    with tarfile.open(LEFT / f"{name}.tar.xz") as archive:
        for member in archive:
            target = folder / member.name
            if member.isdir():
                target.mkdir(parents=True)
                continue
            content = archive.extractfile(member)
            assert content is not None
            with target.open("wb") as file:
                while block := content.read(2**16):
                    if block.count(0) == len(block):
                        file.seek(len(block), os.SEEK_CUR)
                    else:
                        file.write(block)
                file.truncate(member.size)
            os.utime(target, (member.mtime, member.mtime))
    return folder / name


def test_a_collection_opens_with_all_that_it_was_made_with(where: Where) -> None:
    with open_collection("notes", **where) as collection:
        info = collection.info()
    assert (info.points, info.indexes) == (20, {"year": "integer", "lang": "keyword"})
    assert info.integer_ids == "u64"
    assert (info.contract.model, info.contract.dim) == ("sentence-transformers/all-MiniLM-L6-v2", 384)
    assert (info.keys.id, info.keys.text, info.keys.title) == ("passage_id", "text", "title")
    assert info.bm25 is not None
    assert (info.bm25.language, info.bm25.avg_len) == ("english", 6.8)


@pytest.mark.parametrize("filtered", [None, WHERE])
@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
def test_searches_find_what_they_found(where: Where, encoder: Encoder, mode: Any, filtered: str | None) -> None:
    expected = json.loads((LEFT / "expected.json").read_text())["embedded" if "path" in where else "server"]
    wanted = expected[mode if filtered is None else f"{mode} {filtered}"]
    with Searcher("notes", encoder=encoder, **where) as searcher:
        for query, hits in wanted.items():
            found = searcher.search(query, mode=mode, where=filtered, limit=3)
            assert [hit.score for hit in found] == pytest.approx([score for _, score in hits], abs=1e-4)
            assert sorted(hit.id for hit in found) == sorted(name for name, _ in hits)


def test_a_verification_finds_it_equal_to_its_source(where: Where, encoder: Encoder) -> None:
    found = verify(PASSAGES, collection="notes", encoder=encoder, **where)
    assert found.equal
    assert (found.read, found.sampled) == (20, 20)


def test_the_same_ingest_again_stores_nothing(where: Where, encoder: Encoder, tmp_path: Path) -> None:
    settings = CollectionSettings(indexes={"year": "integer", "lang": "keyword"})
    report = ingest(
        PASSAGES, collection="notes", encoder=encoder, settings=settings, bm25=True, state=tmp_path, **where
    )
    assert (report.stored, report.updated, report.skipped, report.points) == (0, 0, 20, 20)
    plan = plan_sync(PASSAGES, collection="notes", **where)
    assert (plan.unchanged, plan.delete, plan.encode, plan.update) == (20, 0, 0, 0)


class Interrupted:
    """The killed run's source and store, and its checkpoint with the source's new path in place of the old one."""

    def __init__(self, folder: Path) -> None:
        left = unpacked("interrupted", folder)
        self.source, self.store = left / "source.jsonl", left / "store"
        (state,) = (self.store / ".ingest").iterdir()
        for name in ("checkpoint", "checkpoint.previous"):
            if (state / name).exists():
                self._rewrite(state / name)
        digest = hashlib.sha256(os.path.abspath(self.source).encode()).hexdigest()
        state.rename(state.with_name(f"c-{digest[:16]}"))

    def _rewrite(self, checkpoint: Path) -> None:
        checksum, _, content = checkpoint.read_bytes().partition(b"\n")
        assert checksum == hashlib.sha256(content).hexdigest().encode()
        (file,) = json.loads(content)["reading"]["files"]
        os.utime(self.source, ns=(file["mtime_ns"], file["mtime_ns"]))
        content = content.replace(json.dumps(file["path"]).encode(), json.dumps(str(self.source)).encode())
        checkpoint.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)

    def resume(self, **options: Any) -> Any:
        settings = CollectionSettings(indexes={"year": "integer"})
        return ingest(self.source, collection="c", path=self.store, encoder=StubEncoder(), settings=settings, **options)


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    left = Interrupted(tmp_path)
    report = left.resume()
    assert any("of an earlier build" in note and "All is compared" in note for note in report.notes)
    assert (report.read, report.stored, report.skipped, report.points) == (1_100, 76, 1_024, 1_100)
    ingest(left.source, collection="c", path=tmp_path / "fresh", encoder=StubEncoder())
    assert stored.embedded(left.store) == stored.embedded(tmp_path / "fresh")
    assert verify(left.source, collection="c", path=left.store, encoder=StubEncoder()).equal


def test_an_interrupted_run_of_something_else_is_refused(tmp_path: Path) -> None:
    left = Interrupted(tmp_path)
    with pytest.raises(ResumeRefusedError, match="--overwrite"):
        left.resume(overwrite=True)
    assert left.resume(restart=True).points == 1_100


def test_a_rejects_file_is_retried_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("some.jsonl", "rejects.jsonl"):
        shutil.copy(LEFT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("some.jsonl").write_text('{"id": "a", "text": "A good line."}\n{"id": "b", "text": "Good now."}\nno json\n')
    report = ingest(RejectedLines("rejects.jsonl"), collection="c", path="s", encoder=StubEncoder())
    assert (report.read, report.stored, report.rejected) == (2, 1, 1)
    assert [json.loads(line)["line"] for line in Path("rejects.jsonl").read_text().splitlines()] == [3]


def test_files_of_rejects_and_findings_are_known_as_such(tmp_path: Path) -> None:
    for name in ("rejects.jsonl", "findings.jsonl"):
        shutil.copy(LEFT / name, tmp_path)
    run: dict[str, Any] = {"collection": "c", "path": tmp_path / "s", "encoder": StubEncoder()}
    assert ingest(PASSAGES, rejects=tmp_path / "rejects.jsonl", **run).stored == 20
    assert verify(PASSAGES, report=tmp_path / "findings.jsonl", **run).equal
    assert (tmp_path / "rejects.jsonl").read_bytes() == (tmp_path / "findings.jsonl").read_bytes() == b""
    shutil.copy(LEFT / "findings.jsonl", tmp_path)
    with pytest.raises(SettingsError, match="holds something else than rejects"):
        ingest(PASSAGES, rejects=tmp_path / "findings.jsonl", **run)


def test_lines_are_still_written_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(LEFT / "some.jsonl", tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("more.jsonl").write_text('{"id": "a", "text": "Another line."}\n{"id": "c", "text": "A third one."}\n')
    run: dict[str, Any] = {"collection": "some", "path": "some", "encoder": StubEncoder()}
    ingest("some.jsonl", rejects="rejects.jsonl", **run)
    verify("more.jsonl", sample=0, report="findings.jsonl", **run)
    for name in ("rejects.jsonl", "findings.jsonl"):
        assert Path(name).read_bytes() == (LEFT / name).read_bytes()
