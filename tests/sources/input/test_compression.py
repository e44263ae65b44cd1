import gzip
import tracemalloc
import zlib
from pathlib import Path

import pytest
import zstandard

from tasb_qdrant.errors import SourceError
from tasb_qdrant.records import Passage
from tasb_qdrant.sources import open_sources
from tasb_qdrant.sources.input.lines import MAX_LINE_BYTES
from tests.sources.corpus import COMPRESSIONS, read, read_with_rejects, write

MANY = b"".join(b"%d\tThe text of passage %d, which is %d.\n" % (n, n, n * 7919) for n in range(30_000))
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"


@pytest.mark.parametrize("name", ["c.tsv", "c.tsv.gz", "c.tsv.zst", "C.TSV.ZSTD"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compression_is_told_by_the_bytes_whatever_the_name_says(tmp_path: Path, name: str, compression: str) -> None:
    file = write(tmp_path / name, COMPRESSIONS[compression](MANY))
    with open_sources([file]) as reader:
        assert sum(1 for _ in reader) == 30_000
        assert reader.line == 30_000
        assert reader.bytes_read == reader.bytes_total == file.stat().st_size


def test_concatenated_members_and_frames_are_one_file(tmp_path: Path) -> None:
    expected = [Passage("0", "ab"), Passage("1", "c")]
    zstd = zstandard.ZstdCompressor().compress
    parts = [b"0\ta", b"b\n1", b"\tc\n"]
    assert read(write(tmp_path / "a.tsv.gz", b"".join(map(gzip.compress, parts)))) == expected
    assert read(write(tmp_path / "b.tsv.gz", b"".join(map(gzip.compress, parts)) + b"\x00" * 700)) == expected
    assert read(write(tmp_path / "c.tsv.zst", b"".join(map(zstd, parts)))) == expected
    assert read(write(tmp_path / "d.tsv.zst", SKIPPABLE + zstd(b"0\tab\n1\tc\n") + SKIPPABLE)) == expected


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("kept", [0.999, 0.5])
def test_a_cut_stream_gives_its_passages_and_then_an_error(tmp_path: Path, compression: str, kept: float) -> None:
    whole = COMPRESSIONS[compression](MANY)
    file = write(tmp_path / "c.tsv", whole[: int(len(whole) * kept)])
    read_before: list[Passage] = []
    with open_sources([file]) as reader, pytest.raises(SourceError) as cut:
        read_before.extend(iter(reader))
    assert len(read_before) > 1000 * kept
    lines = [line.decode().split("\t") for line in MANY.splitlines()[: len(read_before)]]
    assert read_before == [Passage(number, text) for number, text in lines]
    assert cut.value.line == len(read_before) + 1
    assert "ends in the middle of the compressed stream; fetch it again" in str(cut.value)
    assert f"the {len(read_before):,} lines before it were read" in str(cut.value)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_every_cut_of_a_short_stream_is_noticed(tmp_path: Path, compression: str) -> None:
    whole = COMPRESSIONS[compression](b"0\tsome passage\n1\tanother passage\n")
    for length in range(10, len(whole)):
        file = write(tmp_path / "c.tsv", whole[:length])
        with pytest.raises(SourceError, match="in the middle of the compressed stream"):
            read(file, file_format="msmarco")


def test_damaged_streams_are_errors(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(MANY))
    packed[-6] ^= 1
    with pytest.raises(SourceError, match=r"gzip stream is damaged .*incorrect data check"):
        read(write(tmp_path / "a.tsv.gz", bytes(packed)))
    with pytest.raises(SourceError, match="gzip stream is damaged"):
        read(write(tmp_path / "b.tsv.gz", gzip.compress(MANY) + b"not gzip"))
    with pytest.raises(SourceError, match="zstd stream is damaged"):
        read(write(tmp_path / "c.tsv.zst", zstandard.compress(MANY) + b"not zstd"))
    checked = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(MANY))
    checked[-1] ^= 1
    with pytest.raises(SourceError, match=r"zstd stream is damaged .*checksum"):
        read(write(tmp_path / "d.tsv.zst", bytes(checked)))


def test_a_window_that_would_take_too_much_memory_is_refused(tmp_path: Path) -> None:
    window = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=window).compressobj()
    file = write(tmp_path / "c.tsv.zst", packer.compress(MANY) + packer.flush())
    with pytest.raises(SourceError, match="requires too much memory"):
        read(file)


@pytest.mark.parametrize(
    ("magic", "name"),
    [(b"BZh91AY&SY", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"\x04\x22\x4d\x18", "lz4"), (b"PK\x03\x04", "zip")],
)
def test_other_compressions_are_named_with_the_way_out(tmp_path: Path, magic: bytes, name: str) -> None:
    with pytest.raises(SourceError, match=rf"compressed with {name}.*tasb-qdrant ingest -"):
        open_sources([write(tmp_path / "c.tsv", magic + b"\x00" * 100)])


def test_text_that_begins_like_a_compression_is_text(tmp_path: Path) -> None:
    assert read(write(tmp_path / "c.tsv", "BZh9\ttext\n"), file_format="msmarco") == [Passage("BZh9", "text")]


def test_a_tar_archive_is_refused_with_the_way_out(tmp_path: Path) -> None:
    header = b"collection.tsv".ljust(257, b"\x00") + b"ustar\x0000"
    with pytest.raises(SourceError, match=r"a tar archive.*tar -xOf"):
        open_sources(
            [write(tmp_path / "collection.tar.gz", gzip.compress(header.ljust(1024, b"\x00")))], format="msmarco"
        )


def test_a_line_of_64_mebibytes_is_a_reject_and_is_never_held(tmp_path: Path) -> None:
    file = tmp_path / "c.tsv"
    with file.open("wb") as out:
        out.write(b"0\tfirst\n1\t")
        for _ in range(64):
            out.write(b"x" * 1024 * 1024)
        out.write(b"\n2\tlast\n")
    tracemalloc.start()
    passages, [reject] = read_with_rejects(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [passage.id for passage in passages] == ["0", "2"]
    assert (reject.line, reject.reason) == (2, "the line is longer than 16,777,216 bytes, the most that is read")
    assert peak < 4 * MAX_LINE_BYTES


@pytest.mark.parametrize("name", ["c.tsv", "c.jsonl", "c.csv"])
def test_a_long_last_line_is_a_reject_too(tmp_path: Path, name: str) -> None:
    start = {"c.tsv": b"0\tfirst\n", "c.jsonl": b'{"id": 0, "text": "first"}\n', "c.csv": b"id,text\n0,first\n"}[name]
    file = write(tmp_path / name, start + b"x" * (MAX_LINE_BYTES + 1))
    passages, [reject] = read_with_rejects(file)
    assert passages == [Passage("0", "first")]
    assert "the line is longer than" in reject.reason


def test_a_line_of_just_the_limit_is_read(tmp_path: Path) -> None:
    text = "x" * (MAX_LINE_BYTES - 2)
    assert read(write(tmp_path / "c.tsv", f"0\t{text}\n1\tb\n")) == [Passage("0", text), Passage("1", "b")]


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize(("filler", "blocks"), [(b"x", 96), (b"\n", 4)])
def test_a_decompression_bomb_takes_bounded_memory(
    tmp_path: Path, compression: str, filler: bytes, blocks: int
) -> None:
    block = filler * (1024 * 1024)
    packer = zlib.compressobj(9, wbits=31) if compression == "gzip" else zstandard.ZstdCompressor().compressobj()
    bomb = b"".join([packer.compress(b"0\tfirst\n"), *(packer.compress(block) for _ in range(blocks)), packer.flush()])
    file = write(tmp_path / "c.tsv", bomb)
    assert len(bomb) < 200_000
    tracemalloc.start()
    passages, rejects = read_with_rejects(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(passages), len(rejects)) == (1, 1 if filler == b"x" else 0)
    assert peak < 4 * MAX_LINE_BYTES
