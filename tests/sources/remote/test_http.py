"""Files of web servers: the same passages as from a file here, whatever happens on the way."""

from __future__ import annotations

import gzip
import io
import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasb_qdrant.errors import SourceError
from tasb_qdrant.ingest import ingest, plan_sync
from tasb_qdrant.ingest.resume.identity import identify
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import open_sources
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder, fail_at
from tests.sources.remote.web import Web

COUNT = 30_000
SECRET = "X-Amz-Signature=5ecre7"

LINES = "".join(json.dumps({"id": n, "text": f"text {n}", "year": n % 50}) + "\n" for n in range(COUNT)).encode()


def parquet(count: int = COUNT) -> bytes:
    table = pa.table({"id": range(count), "text": [f"text {n}" for n in range(count)]})
    into = io.BytesIO()
    pq.write_table(table, into, row_group_size=5_000)
    return into.getvalue()


def read(url: Any, **options: Any) -> list[Passage]:
    with open_sources([url], **options) as reader:
        return [*reader]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("c.jsonl", LINES),
        ("c.jsonl.gz", gzip.compress(LINES)),
        ("c.csv", b"id,text\n" + b"".join(b"%d,text %d\n" % (n, n) for n in range(COUNT))),
        ("c.parquet", parquet()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_format_is_read_with_ranges_and_without(web: Web, name: str, data: bytes, ranges: bool) -> None:
    web.files[f"/d/{name}"] = data
    web.ranges = ranges
    passages = read(f"{web.url}/d/{name}?{SECRET}")
    assert [passage.text for passage in passages] == [f"text {n}" for n in range(COUNT)]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_transfer_that_is_cut_is_taken_up_where_it_was(web: Web, ranges: bool) -> None:
    web.files["/c.jsonl"], web.ranges = LINES, ranges
    web.cut["/c.jsonl"] = [100_000, 7, 50_000] if ranges else [100_000, 200_000, 300_000]
    assert len(read(f"{web.url}/c.jsonl")) == COUNT
    assert not web.cut["/c.jsonl"]


def test_a_cut_range_of_parquet_is_asked_for_again(web: Web) -> None:
    web.files["/c.parquet"] = parquet()
    web.cut["/c.parquet"] = [3, 1, 2000]
    assert len(read(f"{web.url}/c.parquet")) == COUNT


def test_parquet_is_read_in_parts_and_not_fetched_whole(web: Web) -> None:
    web.files["/c.parquet"] = parquet()
    with open_sources([f"{web.url}/c.parquet"]) as reader:
        next(reader)
    wanted = [headers["range"] for _, headers in web.requests]
    assert all(part.rpartition("-")[2] for part in wanted)  # each has an end


def test_a_server_that_fails_for_a_while_is_asked_again(web: Web) -> None:
    web.files["/c.jsonl"] = LINES
    web.statuses = [500, 503, 200, 429, 502, 200]
    assert len(read(f"{web.url}/c.jsonl")) == COUNT


def test_a_server_that_keeps_failing_is_given_up_with_what_it_says(web: Web) -> None:
    web.files["/c.jsonl"] = LINES
    web.statuses = [503] * 20
    with pytest.raises(SourceError, match=r"can't be fetched \(the server answers 503 .*tried 4 times") as refused:
        read(f"{web.url}/c.jsonl?{SECRET}")
    assert refused.value.source == f"{web.url}/c.jsonl?…"


@pytest.mark.parametrize(
    ("status", "advice"),
    [(404, "correct the URL"), (403, "signature may have expired"), (401, "a user and a password")],
)
def test_a_refusal_is_not_tried_again_and_says_what_to_do(web: Web, status: int, advice: str) -> None:
    web.statuses = [status]
    with pytest.raises(SourceError, match=f"the server answers {status} .*{advice}"):
        read(f"{web.url}/c.jsonl")
    assert len(web.requests) == 1


def test_nobody_there_is_a_named_error(web: Web) -> None:
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9/c\.jsonl: can't be fetched \(.*refused"):
        read("http://127.0.0.1:9/c.jsonl")


def test_redirects_are_followed_and_the_name_stays(web: Web) -> None:
    web.files["/real/1234"] = LINES
    web.redirects["/c.jsonl"] = f"{web.url}/real/1234?{SECRET}"
    with open_sources([f"{web.url}/c.jsonl"]) as reader:
        assert len([*reader]) == COUNT
        assert reader.source == f"{web.url}/c.jsonl"


def test_a_file_that_changes_while_it_is_read_is_an_error(web: Web) -> None:
    web.files["/c.jsonl"] = LINES
    with open_sources([f"{web.url}/c.jsonl"]) as reader:
        web.cut["/c.jsonl"] = [100_000]
        next(reader)
        web.files["/c.jsonl"] = LINES.replace(b"text", b"TEXT")
        with pytest.raises(SourceError, match="it was changed while it was read"):
            list(reader)


@pytest.mark.parametrize("data", [b"", b'{"id": 1, "text": "t"}'])
def test_tiny_files_and_unknown_lengths(web: Web, data: bytes) -> None:
    web.files["/c.jsonl"] = data
    assert len(read(f"{web.url}/c.jsonl")) == bool(data)
    web.ranges = web.lengths = web.etags = False
    with open_sources([f"{web.url}/c.jsonl"]) as reader:
        assert reader.bytes_total is None
        assert len([*reader]) == bool(data)
        assert identify(reader.files) is None  # nothing tells it from a changed one


def test_secrets_are_in_no_name_log_repr_or_state(web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    web.files["/c.jsonl"] = b'{"id": 1, "text": "t"}\n{"id": 2}\n'
    url = f"{web.url.replace('://', '://user:pa55word@')}/c.jsonl?{SECRET}"
    rejects = tmp_path / "rejects.jsonl"
    web.statuses = [500]
    with caplog.at_level(logging.DEBUG):
        report = ingest(
            url, collection="c", path=tmp_path / "s", state=tmp_path / "state", encoder=StubEncoder(), rejects=rejects
        )
        with pytest.raises(SourceError) as refused:
            read(url.replace("c.jsonl", "d.jsonl"))
        with open_sources([url]) as reader:
            shown = [repr(reader.files), str(reader.fields_taken)]
    assert (report.stored, report.rejected) == (1, 1)
    told = [str(refused.value), caplog.text, str(report), rejects.read_text(), *shown]
    told += [path.read_text(errors="replace") for path in (tmp_path / "state").rglob("*") if path.is_file()]
    for text in told:
        assert "5ecre7" not in text
        assert "pa55word" not in text
    assert any(headers.get("authorization") for _, headers in web.requests)
    assert "500" in caplog.text


def test_an_interrupted_run_resumes_also_with_another_signature(web: Web, tmp_path: Path) -> None:
    web.files["/c.jsonl"] = LINES[: LINES.index(b'{"id": 5000')]
    where: Any = {"collection": "c", "path": tmp_path / "s"}
    failing = StubEncoder(before_encode=fail_at(5, RuntimeError("cut")))
    with pytest.raises(RuntimeError, match="cut"):
        ingest(f"{web.url}/c.jsonl?{SECRET}", encoder=failing, **where)
    encoder = StubEncoder()
    report = ingest(f"{web.url}/c.jsonl?another", encoder=encoder, **where)
    assert (report.read, report.points, report.verified) == (5000, 5000, True)
    assert report.resumed["windows"]
    assert encoder.encoded < 5000
    assert len(stored.embedded(tmp_path / "s")) == 5000


def test_a_run_of_a_changed_file_is_not_resumed(web: Web, tmp_path: Path) -> None:
    from tasb_qdrant.errors import ResumeRefusedError

    web.files["/c.jsonl"] = LINES[: LINES.index(b'{"id": 5000')]
    where: Any = {"collection": "c", "path": tmp_path / "s"}
    with pytest.raises(RuntimeError):
        ingest(f"{web.url}/c.jsonl", encoder=StubEncoder(before_encode=fail_at(5, RuntimeError("cut"))), **where)
    web.files["/c.jsonl"] = web.files["/c.jsonl"].replace(b"text 1", b"next 1")
    with pytest.raises(ResumeRefusedError, match="the version of http"):
        ingest(f"{web.url}/c.jsonl", encoder=StubEncoder(), **where)


def test_a_synchronisation_reads_it_twice_and_deletes(web: Web, tmp_path: Path) -> None:
    where: Any = {"collection": "c", "path": tmp_path / "s"}
    ingest(stored.numbered(20), encoder=StubEncoder(), **where)
    lines = [json.dumps({"id": passage.id, "text": passage.text}) for passage in stored.numbered(18)]
    web.files["/c.jsonl"] = "\n".join(lines).encode()
    assert plan_sync(f"{web.url}/c.jsonl", **where).delete == 2
    assert ingest(f"{web.url}/c.jsonl", encoder=StubEncoder(), sync=True, **where).points == 18


def test_one_url_twice_is_refused_and_two_signed_ones_may_differ(web: Web) -> None:
    web.files["/c.jsonl"] = b'{"id": 1, "text": "t"}'
    with pytest.raises(SourceError, match="is named twice"):
        open_sources([f"{web.url}/c.jsonl", f"{web.url}/c.jsonl"])
    with open_sources([f"{web.url}/c.jsonl?part=1", f"{web.url}/c.jsonl?part=2"]) as reader:
        assert len([*reader]) == 2


def test_a_url_without_an_ending_needs_its_format(web: Web) -> None:
    web.files["/download"] = b"id,text\n1,one\n"
    with pytest.raises(SourceError, match="can't tell the format from the name; give --format"):
        read(f"{web.url}/download?file=c.csv")
    assert [one.text for one in read(f"{web.url}/download", format="csv")] == ["one"]
