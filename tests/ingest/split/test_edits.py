"""Passages of split documents, edited one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasb_qdrant import Passage, Searcher, ingest
from tasb_qdrant.errors import InvalidPassageError, PassageNotFoundError
from tests.ingest.fakes import StubEncoder


@pytest.fixture
def searcher(tmp_path: Path) -> Iterator[Searcher]:
    documents = [Passage("d", " ".join(f"w{n}" for n in range(30)), payload={"year": 1})]
    ingest(documents, collection="c", path=tmp_path, encoder=StubEncoder(), split="tokens:16")
    with Searcher("c", path=tmp_path, encoder=StubEncoder()) as opened:
        yield opened


def test_a_replaced_passage_stays_its_documents(searcher: Searcher) -> None:
    for passage in (Passage("d#0", "new text"), Passage("d#0", "new text", payload={"doc_id": "d"})):
        assert searcher.replace(passage).changed == 1
        assert searcher.get(["d#0"])["d#0"].payload == {"doc_id": "d"}
    with pytest.raises(InvalidPassageError, match=r"'doc_id' of passage 'd#0' is the id of the document.*'d', which"):
        searcher.replace(Passage("d#0", "new text", payload={"doc_id": "other"}))
    assert searcher.replace(Passage("e#0", "new text")).missing == ("e#0",)


def test_a_passage_is_not_replaced_by_one_that_is_longer_than_the_split_allows(searcher: Searcher) -> None:
    before = searcher.get(["d#0", "d#1"])
    longer = Passage("d#1", " ".join(f"x{n}" for n in range(40)))
    with pytest.raises(InvalidPassageError, match=r"'d#1' would have more than 16 tokens.*ingest its document again"):
        searcher.replace([Passage("d#0", "short"), longer])
    assert searcher.get(["d#0", "d#1"]) == before


def test_the_id_of_its_document_is_not_patched(searcher: Searcher) -> None:
    for fields, remove in (({"doc_id": "e"}, []), ({}, ["doc_id"])):
        with pytest.raises(InvalidPassageError, match="'doc_id' is the id of the document"):
            searcher.patch(["d#0"], fields, remove=remove)
    assert searcher.patch(["d#0"], {"year": 2}).changed == 1
    assert searcher.count('doc_id = "d" and year = 2') == 1


def test_a_documents_id_is_told_from_a_passages(searcher: Searcher) -> None:
    with pytest.raises(PassageNotFoundError, match=r"""such as 'd#0', or .* the filter doc_id = "d" """):
        searcher.recommend(["d"])
    with pytest.raises(PassageNotFoundError, match="give ids as the source wrote them"):
        searcher.recommend(["d#99"])
