"""About how many passages a source has, before they are read."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from tasb_qdrant import Passage
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.rejects.counted import CountedRejects
from tasb_qdrant.ingest.source.ahead import Ahead
from tasb_qdrant.ingest.source.expected import PASSAGE_BYTES, expected_passages
from tasb_qdrant.ingest.source.open import Source, SourceLike

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
