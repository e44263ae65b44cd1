import gzip
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasb_qdrant.errors import RejectedError, SettingsError, SourceError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import open_sources
from tests.sources.corpus import json_lines, read, write

TWO = b"0\tfirst\n1\tsecond\n"
EXPECTED = [Passage("0", "first"), Passage("1", "second")]


@contextmanager
def writing(fifo: Path, data: bytes) -> Iterator[None]:
    """A writer that opens the pipe once someone reads it."""
    writer = threading.Thread(target=fifo.write_bytes, args=(data,))
    writer.start()
    yield
    writer.join()


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "c.tsv")
    return tmp_path / "c.tsv"


def test_a_dash_is_standard_input() -> None:
    stdin = io.BytesIO(TWO)
    with open_sources(["-"], format="msmarco", stdin=stdin) as reader:
        assert list(reader) == EXPECTED
        assert (reader.source, reader.files) == ("<stdin>", ("-",))
        assert (reader.bytes_read, reader.bytes_total) == (len(TWO), None)
    assert not stdin.closed


def test_standard_input_may_be_compressed() -> None:
    assert read("-", file_format="msmarco", stdin=gzip.compress(TWO)) == EXPECTED


def test_standard_input_is_known_by_itself_only_where_it_is_jsonl() -> None:
    assert read("-", stdin=b"\n " + json_lines({"id": 1, "text": "t"})) == [Passage("1", "t")]
    with pytest.raises(SettingsError, match=r"<stdin>: .*give --format \(msmarco, jsonl, csv, tsv, parquet, text\)"):
        read("-", stdin=TWO)


def test_the_process_standard_input_is_read_where_none_is_given() -> None:
    program = (
        "from tasb_qdrant.sources import open_sources\n"
        "with open_sources(['-'], format='msmarco') as reader: print([p.text for p in reader])"
    )
    ran = subprocess.run([sys.executable, "-c", program], input=TWO, capture_output=True, check=True)
    assert ran.stdout == b"['first', 'second']\n"


def test_standard_input_and_files_can_be_mixed(tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", json_lines({"id": 5, "text": "t"}))
    with open_sources(["-", file], stdin=io.BytesIO(json_lines({"id": 1, "text": "t"}))) as reader:
        assert [passage.id for passage in reader] == ["1", "5"]
        assert reader.bytes_total is None


class _Dribble(io.RawIOBase):
    """A pipe that gives one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        one = bytes(byte for _, byte in zip(range(1), self._data, strict=False))
        memoryview(buffer)[: len(one)] = one  # type: ignore[arg-type]  # any buffer will do
        return len(one)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_how_the_bytes_arrive_makes_no_difference(pack: object) -> None:
    data = pack(b"\xef\xbb\xbf" + TWO)  # type: ignore[operator]  # either is called with bytes
    with open_sources(["-"], format="msmarco", stdin=io.BufferedReader(_Dribble(data))) as reader:
        assert list(reader) == EXPECTED


def test_a_named_pipe_is_read_once_and_has_no_size(fifo: Path) -> None:
    with writing(fifo, TWO), open_sources([fifo], format="msmarco") as reader:
        assert list(reader) == EXPECTED
        assert (reader.source, reader.line, reader.bytes_total) == (str(fifo), 2, None)
        assert reader.bytes_read == len(TWO)


def test_more_than_a_pipe_holds_comes_through_it(fifo: Path) -> None:
    many = b"".join(b"%d\tpassage\n" % n for n in range(50_000))
    with writing(fifo, many), open_sources([fifo], format="msmarco") as reader:
        assert sum(1 for _ in reader) == 50_000


def test_process_substitution_is_read(tmp_path: Path) -> None:
    packed = write(tmp_path / "c.tsv.gz", gzip.compress(TWO))
    program = (
        "import sys\nfrom tasb_qdrant.sources import open_sources\n"
        "with open_sources(sys.argv[1:], format='msmarco') as reader: print([p.text for p in reader])"
    )
    command = f'"{sys.executable}" -c "$PROGRAM" <(gzip -dc "{packed}")'
    ran = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "PROGRAM": program}, capture_output=True, check=True
    )
    assert ran.stdout == b"['first', 'second']\n"


def test_a_pipe_that_nobody_writes_to_is_an_error_and_not_a_wait_for_ever(fifo: Path) -> None:
    with pytest.raises(SourceError, match=r"no writer opened within 0\.05 s"):
        open_sources([fifo], format="msmarco", fifo_wait=0.05)


def test_a_writer_that_has_opened_the_pipe_may_take_its_time(fifo: Path) -> None:
    reading_end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writing_end = os.open(fifo, os.O_WRONLY)
    os.close(reading_end)

    def write_at_last() -> None:
        os.write(writing_end, TWO)
        os.close(writing_end)

    late = threading.Timer(0.2, write_at_last)
    late.start()
    with open_sources([fifo], format="msmarco", fifo_wait=0.01) as reader:
        assert list(reader) == EXPECTED
    late.join()


def test_a_pipe_closed_without_a_byte_holds_no_passages(fifo: Path) -> None:
    with writing(fifo, b""), open_sources([fifo], format="msmarco") as reader:
        assert list(reader) == []


def test_a_stream_is_given_back_when_a_later_source_is_refused(fifo: Path, tmp_path: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    with writing(fifo, TWO), pytest.raises(SourceError):
        open_sources([fifo, write(tmp_path / "x.csv", "a,b\n")], format="csv")
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_closing_gives_every_file_back_even_in_the_middle(tmp_path: Path) -> None:
    file = write(tmp_path / "c.tsv", TWO * 100_000)
    descriptors = len(os.listdir("/proc/self/fd"))
    with open_sources([file]) as reader:
        next(reader)
        assert len(os.listdir("/proc/self/fd")) == descriptors + 1
    assert len(os.listdir("/proc/self/fd")) == descriptors
    with pytest.raises(ValueError, match="closed"):
        next(reader)


def test_bytes_read_advances_with_the_passages(tmp_path: Path) -> None:
    file = write(tmp_path / "c.tsv", b"".join(b"%d\t%s\n" % (n, b"word " * 20) for n in range(50_000)))
    with open_sources([file]) as reader:
        assert (reader.bytes_read, reader.bytes_total) == (0, file.stat().st_size)
        marks = [reader.bytes_read for passage in reader if int(passage.id) % 10_000 == 0]
    assert marks == sorted(set(marks))


def test_an_error_of_the_callback_comes_through(tmp_path: Path) -> None:
    def refuse(reject: object) -> None:
        raise KeyError(reject)

    with open_sources([write(tmp_path / "c.tsv", "1\ta\nx\n2\tb\n")], on_reject=refuse) as reader:
        next(reader)
        with pytest.raises(KeyError):
            next(reader)
        with pytest.raises(KeyError):
            next(reader)


def test_the_reject_names_standard_input() -> None:
    with pytest.raises(RejectedError, match=r"<stdin>:1: 1 column"):
        read("-", file_format="msmarco", stdin=b"x\n")


def test_importing_the_readers_loads_nothing_heavy() -> None:
    program = (
        "import sys, tasb_qdrant.sources\n"
        "print([m for m in ('torch', 'transformers', 'qdrant_client', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ran.stdout == b"[]\n"
