"""About how many passages a source has, before they are read."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from tasb_qdrant import Passage, ingest
from tasb_qdrant.collection import open as opening
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.rejects.counted import CountedRejects
from tasb_qdrant.ingest.source.ahead import Ahead
from tasb_qdrant.ingest.source.expected import PASSAGE_BYTES, expected_passages
from tasb_qdrant.ingest.source.open import Source, SourceLike
from tests.ingest.fakes import StubEncoder

PASSAGES = [Passage(str(number), f"passage {number} of some length") for number in range(5_000)]
_DRAW = random.Random(3)
LINES = "".join(f'{{"id": "{each.id}", "text": "{_DRAW.randbytes(150).hex()}"}}\n' for each in PASSAGES).encode()


def expected(given: SourceLike, *, limit: int | None = None, ahead: int = 0) -> int | None:
    source = Source(given, limit=limit)
    with source.open(CountedRejects(), Counters()) as reader:
        if not ahead:
            return expected_passages(source, reader)
        look = Ahead(reader)
        list(islice(look.read(), ahead))
        return expected_passages(source, look)


def test_what_a_program_has_is_counted() -> None:
    assert expected(PASSAGES) == len(PASSAGES)
    assert expected([{"id": "a", "text": "b"}]) == 1
    assert expected(iter(PASSAGES)) is None


def test_a_limit_is_the_most() -> None:
    assert expected(PASSAGES, limit=7) == 7
    assert expected(PASSAGES, limit=10**6) == len(PASSAGES)
    assert expected(iter(PASSAGES), limit=7) == 7


def test_an_unread_file_is_judged_by_its_size(tmp_path: Path) -> None:
    (file := tmp_path / "some.jsonl").write_bytes(LINES)
    assert expected(file) == len(LINES) // PASSAGE_BYTES


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_a_file_that_was_begun_is_judged_by_its_first_passages(
    tmp_path: Path, packed: Callable[[bytes], bytes]
) -> None:
    (file := tmp_path / "some.jsonl").write_bytes(packed(LINES))
    estimate = expected(file, ahead=512)
    assert estimate is not None
    assert 0.5 * len(PASSAGES) < estimate < 2 * len(PASSAGES)
    assert expected(file, ahead=512, limit=9) == 9


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_what_is_expected_does_not_depend_on_who_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: Callable[[bytes], bytes]
) -> None:
    found: list[int] = []

    def made(*_: object, passages: int, **__: object) -> None:
        found.append(passages)
        raise SettingsError("that is all")

    monkeypatch.setattr(opening, "open_for_writing", made)
    (file := tmp_path / "some.jsonl").write_bytes(packed(LINES))
    for workers in (1, 2):
        with pytest.raises(SettingsError, match="that is all"):
            ingest(file, collection="c", path=tmp_path / "store", encoder=StubEncoder(), workers=workers)
    assert found[0] == found[1]
    assert 0.5 * len(PASSAGES) < found[0] < 2 * len(PASSAGES)


def test_a_limit_is_a_reason_to_read_by_one_process(tmp_path: Path) -> None:
    (file := tmp_path / "some.jsonl").write_bytes(LINES)
    report = ingest(file, collection="c", path=tmp_path / "store", encoder=StubEncoder(), workers=2, limit=3)
    assert report.stored == 3
    assert any("read by one process" in note and "--limit" in note for note in report.notes)
