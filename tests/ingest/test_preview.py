"""What would be read, without a store and a model; and trials with the first passages alone."""

from __future__ import annotations

import gzip
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tasb_qdrant.errors import MissingFieldError, SettingsError
from tasb_qdrant.ingest import ingest, preview
from tasb_qdrant.records import Passage
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder

COUNT = 30_000


def jsonl(path: Path, count: int = COUNT) -> Path:
    text = "".join(
        json.dumps({"_id": f"d{n}", "title": "T", "text": sha256(b"%d" % n).hexdigest(), "year": n}) + "\n"
        for n in range(count)
    )
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_files_formats_fields_types_and_the_first_passages_are_shown(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", 5)
    (tmp_path / "b.csv").write_text("key,body,year,price\nx,the text,2000,1.5\n")
    (tmp_path / "c.tsv").write_text("1\tA passage of MS MARCO, which has no names for its fields.\n")
    found = preview([tmp_path / "a.jsonl", tmp_path / "c.tsv"], limit=2)
    first, second = found.files
    assert (first.name, first.format, first.size) == (
        str(tmp_path / "a.jsonl"), "jsonl", (tmp_path / "a.jsonl").stat().st_size
    )  # fmt: skip
    assert (first.id, first.text, first.title, first.payload) == ("_id", "text", "title", ("year",))
    assert (second.format, second.text) == ("msmarco", None)
    assert [passage.id for passage in found.first] == ["d0", "d1"]
    assert (found.read, found.complete, found.estimate, found.rejected) == (6, True, 6, 0)
    assert found.proposed_indexes == {"year": "integer"}
    with pytest.raises(MissingFieldError, match="no column 'id'; the columns are: key, body, year, price"):
        preview(tmp_path / "b.csv")
    from tasb_qdrant.sources import SourceFields

    table = preview(tmp_path / "b.csv", fields=SourceFields(id="key"), indexes={"year": "keyword"})
    assert table.files[0].types == {"year": "keyword", "price": "float"}
    assert table.first[0].payload == {"year": "2000", "price": 1.5}
    assert json.loads(json.dumps(table.to_dict()))["files"][0]["format"] == "csv"


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_the_number_of_a_long_source_is_estimated(tmp_path: Path, name: str) -> None:
    found = preview(jsonl(tmp_path / name))
    assert not found.complete
    assert found.estimate is not None
    assert 0.7 * COUNT < found.estimate < 1.4 * COUNT


def test_rejects_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", 3)
    source.write_text(source.read_text() + "no json\n{}\n")
    found = preview(source)
    assert (found.read, found.rejected) == (3, 2)
    assert found.first_reject is not None
    assert found.first_reject.startswith(f"{source}:4: malformed JSON")


@pytest.mark.parametrize("given", [[Passage("1", "one")], [{"id": 1, "text": "one"}], iter([{"id": 1, "text": "one"}])])
def test_what_a_program_holds_is_shown_too(given: Any) -> None:
    found = preview(given)
    assert [(one.id, one.text) for one in found.first] == [("1", "one")]
    assert (found.complete, found.estimate) == (True, 1)


def test_values_that_became_null_are_null_in_its_dictionary(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "text": "one", "price": NaN}\n')
    for given in (tmp_path / "a.jsonl", [Passage("1", "one", payload={"price": float("nan")})]):
        (first,) = json.loads(json.dumps(preview(given).to_dict()))["first"]
        assert first["payload"] == {"price": None}


def test_a_limit_stores_the_first_passages_and_says_so(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", 1000)
    where: Any = {"collection": "c", "path": tmp_path / "s", "encoder": StubEncoder()}
    report = ingest(source, limit=600, verify=True, **where)
    assert (report.read, report.stored, report.points, report.verified) == (600, 600, 600, True)
    assert "Only the first 600 passages of the source are read." in report.notes
    assert set(stored.embedded(tmp_path / "s")) == {str(Passage(f"d{n}", "t").point_id) for n in range(600)}
    assert ingest(source, **where).new == 400
    with pytest.raises(SettingsError, match="leave out one of sync and limit"):
        ingest(source, limit=6, sync=True, **where)
    with pytest.raises(SettingsError, match="limit"):
        ingest(source, limit=-1, **where)
