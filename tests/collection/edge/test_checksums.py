"""Files of the embedded engine that aren't as they were written last are found, and named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import qdrant_edge as edge

from tasb_qdrant import ingest, verify
from tasb_qdrant.collection.edge.checksums import Checksums
from tasb_qdrant.collection.edge.collection import EdgeCollection
from tasb_qdrant.collection.edge.store import EdgeStore
from tasb_qdrant.collection.open import open_existing
from tasb_qdrant.collection.points import PointBatch
from tasb_qdrant.errors import StoreCorruptError
from tasb_qdrant.settings import store_settings
from tests.collection.helpers import Place, delete_vectors, fill, passages, random_vectors
from tests.ingest.fakes import StubEncoder
from tests.ingest.stored import numbered

VECTORS = "vector_storage/vectors/chunk_0.mmap"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path / "store"
    return Place("embedded", store_settings(path=root), EdgeStore(root))


@pytest.fixture
def shard(place: Place) -> Path:
    """The engine's folder of the closed collection "c", in which 20 passages are stored."""
    with place.collection("c") as collection:
        fill(collection, 20)
    return Path(place.store.location) / "c" / "shard"


def _open(place: Place) -> EdgeCollection:
    opened = open_existing("c", place.settings)
    assert isinstance(opened, EdgeCollection)
    return opened


def _damaged(place: Place) -> list[str] | None:
    with _open(place) as collection:
        return collection.damaged()


def _file(shard: Path, name: str) -> Path:
    (found,) = shard.glob(f"segments/*/{name}")
    return found


def _change(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_what_was_closed_is_known_whole_however_often_it_is_read(place: Place, shard: Path) -> None:
    for _ in range(2):
        assert _damaged(place) == []
    with place.collection("c") as collection:
        collection.upsert(PointBatch(passages([77]), random_vectors(1)))
        delete_vectors(collection, [3])
        assert isinstance(collection, EdgeCollection)
        assert collection.damaged() is None  # it is being written to
    assert _damaged(place) == []


def test_a_changed_bit_of_a_vector_is_found_and_keeps_writers_away(place: Place, shard: Path) -> None:
    _change(_file(shard, VECTORS), 37)
    (found,) = _damaged(place) or []
    assert found.endswith(f"{VECTORS} has other content")
    with pytest.raises(StoreCorruptError, match=r"chunk_0.mmap has other content.*restore the folder from a backup"):
        place.collection("c").__enter__()
    assert _damaged(place)  # nobody is left who has it open, and nothing was written


@pytest.mark.parametrize(
    "damage",
    [Path.unlink, lambda path: os.truncate(path, 0), lambda path: os.truncate(path, path.stat().st_size - 1)],
    ids=["gone", "empty", "cut"],
)
@pytest.mark.parametrize("name", [VECTORS, "payload_storage/page_0.dat", "mutable_id_tracker.mappings"])
def test_a_file_that_is_gone_or_cut_short_is_named_on_opening(
    place: Place, shard: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(_file(shard, name))
    with pytest.raises(StoreCorruptError, match=rf"{name} (is gone|has [\d,]+ of [\d,]+ bytes)"):
        _open(place)


def test_a_copy_is_known_whole_though_its_files_have_other_times_and_no_holes(place: Place, shard: Path) -> None:
    copy = shard.parent.parent.parent / "copy"
    shutil.copytree(shard.parent, copy / "c", copy_function=lambda a, b: Path(b).write_bytes(Path(a).read_bytes()))
    settings = store_settings(path=copy)
    assert _damaged(Place("embedded", settings, EdgeStore(copy))) == []


def test_what_another_program_has_written_is_no_damage(place: Place, shard: Path) -> None:
    other = edge.EdgeShard.load(str(shard))
    other.update(edge.UpdateOperation.delete_points([1, 2]))
    other.close()
    assert _damaged(place) is None
    with place.collection("c") as collection:
        assert collection.reads.count() == 18
        collection.delete_points([3])
    assert _damaged(place) == []


def test_nothing_is_known_after_a_process_was_killed_that_had_written(place: Place, shard: Path) -> None:
    sums = Checksums(shard.parent, shard)
    sums.check_on_opening()
    sums.writing()  # and it was killed
    assert _damaged(place) is None


def test_checksums_that_can_not_be_written_are_done_without(place: Place, shard: Path) -> None:
    with place.collection("c") as collection:
        collection.delete_points([1])
        (shard.parent / "checksums.json.new").mkdir()
    assert _damaged(place) is None


def test_blocks_are_told_by_their_places(tmp_path: Path) -> None:
    from tasb_qdrant.collection.edge.checksums import _crc

    blocks = [bytes(2**16), b"x" * 2**16, b"y" * 100]
    sums = set()
    for number, order in enumerate([(0, 1, 2), (1, 0, 2), (1, 2), (0, 0, 1, 2)]):
        path = tmp_path / str(number)
        path.write_bytes(b"".join(blocks[each] for each in order))
        sums.add(_crc(path))
    assert len(sums) == 4
    holes = tmp_path / "holes"
    with holes.open("wb") as file:
        file.truncate(2**16)
        file.seek(2**16)
        file.write(blocks[1] + blocks[2])
    assert _crc(holes) == _crc(tmp_path / "0")


def test_a_verification_reads_the_files_and_names_those_that_are_damaged(tmp_path: Path) -> None:
    ingest(numbered(50), collection="c", path=tmp_path, encoder=StubEncoder(), optimize=False)
    _change(_file(tmp_path / "c" / "shard", VECTORS), 7)  # of an exponent
    found = verify(numbered(50), collection="c", path=tmp_path, sample=0)
    assert (found.differences, found.equal, len(found.damaged)) == (0, False, 1)
    found = verify(numbered(50), collection="c", path=tmp_path, encoder=StubEncoder(), sample=50, repair=True)
    assert (found.encoded, found.vectors, len(found.damaged)) == (1, 0, 1)
    found = verify(numbered(50), collection="c", path=tmp_path, encoder=StubEncoder(), sample=50)
    assert found.equal
    (tmp_path / "c" / "checksums.json").unlink()
    found = verify(numbered(50), collection="c", path=tmp_path, sample=0)
    assert found.equal
    assert "not compared with checksums" in found.notes[-1]
