"""Every passage read is stored, updated, skipped or rejected, and the report says which."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasb_qdrant.errors import EncodingError, RejectedError, SourceError
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.window import WINDOW_SIZE
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import CollectionSettings, PayloadKeys
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder, stub_vector
from tests.waiting import PATIENCE


@pytest.mark.parametrize("count", [0, 1, 511, 512, 513, 1025])
def test_every_passage_is_stored_whatever_the_count(tmp_path: Path, count: int) -> None:
    encoder = StubEncoder()
    report = ingest(iter(stored.numbered(count)), collection="c", path=tmp_path, encoder=encoder)
    assert (report.read, report.stored, report.skipped, report.rejected) == (count, count, 0, 0)
    assert report.points == report.points_expected == count
    assert report.verified
    assert report.tokens == sum(len(p.encoder_text.split()) for p in stored.numbered(count))
    there = stored.embedded(tmp_path)
    for passage in stored.numbered(count):
        payload, vector = there[passage.id]
        assert payload == {
            **passage.payload,
            "passage_id": passage.id,
            "text": passage.text,
            "title": passage.title,
        }
        assert vector == tuple(stub_vector(passage.encoder_text, 8).tolist())


entries = st.one_of(
    st.tuples(st.integers(0, 12), st.sampled_from(["one", "two"])),  # repeats, and conflicts
    st.sampled_from(["not json", '{"id": "x", "text": " "}', '{"id": "y", "text": "t", "year": "1999"}']),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(entries, max_size=40), st.sampled_from([0, 500, 511, 512]))
def test_counts_add_up_for_any_mix_of_passages_repeats_and_rejects(
    mix: list[tuple[int, str] | str], before: int
) -> None:
    lines = [f'{{"id": "p{n}", "text": "padding {n}"}}' for n in range(before)]
    expected: dict[str, str] = {f"p{n}": f"padding {n}" for n in range(before)}
    skipped, rejected = 0, []
    for number, entry in enumerate(mix, start=before + 1):
        if isinstance(entry, str):
            lines.append(entry)
            rejected.append(number)
            continue
        passage_id, text = f"m{entry[0]}", entry[1]
        lines.append(f'{{"id": "{passage_id}", "text": "{text}"}}')
        if passage_id not in expected:
            expected[passage_id] = text
        elif expected[passage_id] == text:
            skipped += 1
        else:
            rejected.append(number)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "mix.jsonl"
        source.write_text("\n".join([*lines, ""]) if lines else "\n")
        report = ingest(
            source,
            collection="c",
            path=folder / "store",
            encoder=StubEncoder(),
            settings=CollectionSettings(indexes={"year": "integer"}),
            rejects=folder / "rejects.jsonl",
            optimize=False,
        )
        there = {str(p["passage_id"]): p["text"] for p, _ in stored.embedded(folder / "store").values()}
        rejects = [orjson.loads(line) for line in (folder / "rejects.jsonl").read_bytes().splitlines()]
    assert there == expected
    assert report.read == len(lines) == report.stored + report.updated + report.skipped + report.rejected
    assert (report.stored, report.skipped, report.rejected) == (len(expected), skipped, len(rejected))
    assert sorted(reject["line"] for reject in rejects) == rejected
    assert report.points == report.points_expected == len(expected)


def test_a_repeat_is_rejected_with_both_places_named(tmp_path: Path) -> None:
    first = stored.write_jsonl(tmp_path / "a.jsonl", [Passage("1", "x"), Passage("2", "one")])
    second = stored.write_jsonl(tmp_path / "b.jsonl", [Passage("3", "y"), Passage("2", "other"), Passage("3", "z")])
    report = ingest(
        [first, second], collection="c", path=tmp_path / "s", encoder=StubEncoder(), rejects=tmp_path / "r.jsonl"
    )
    found = [orjson.loads(line) for line in (tmp_path / "r.jsonl").read_bytes().splitlines()]
    assert [(r["source"], r["line"]) for r in found] == [(str(second), 2), (str(second), 3)]
    assert f"in line 2 of {first} with other content" in found[0]["reason"]
    assert "in line 1 with other content" in found[1]["reason"]
    assert report.rejects_file == str(tmp_path / "r.jsonl")


def test_a_repeat_in_a_later_window_is_found(tmp_path: Path) -> None:
    passages = [*stored.numbered(WINDOW_SIZE + 3), *stored.numbered(2), Passage("5", "other")]
    report = ingest(passages, collection="c", path=tmp_path, encoder=StubEncoder(), rejects=tmp_path / "r")
    assert (report.stored, report.skipped, report.rejected) == (WINDOW_SIZE + 3, 2, 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("123e4567-e89b-12d3-a456-426614174000", "123E4567E89B12D3A456426614174000"),
        ("urn:uuid:123e4567-e89b-12d3-a456-426614174000", "{123e4567-e89b-12d3-a456-426614174000}"),
    ],
)
def test_two_spellings_of_one_uuid_are_the_same_point_and_so_a_conflict(tmp_path: Path, one: str, other: str) -> None:
    passages = [Passage(one, "same"), Passage(other, "same")]
    with pytest.raises(RejectedError, match=r"<passages>:2: .*\(point 123e4567-e89b-12d3-a456-426614174000\)"):
        ingest(passages, collection="c", path=tmp_path, encoder=StubEncoder())


def test_ids_that_only_look_alike_are_different_points(tmp_path: Path) -> None:
    ids = ["7", "07", "+7", " 7", "7.0", str(2**53), str(2**53 + 1), str(2**64 - 1), str(2**64), "٧"]
    report = ingest([Passage(i, "t") for i in ids], collection="c", path=tmp_path, encoder=StubEncoder())
    assert report.points == report.stored == len(ids)
    assert {p["passage_id"] for p, _ in stored.embedded(tmp_path).values()} == set(ids)


def test_windows_of_long_passages_end_early(tmp_path: Path) -> None:
    sizes: list[int] = []

    class Watching(StubEncoder):
        def tokenize_passages(self, texts):  # type: ignore[no-untyped-def]
            sizes.append(sum(map(len, texts)))
            return super().tokenize_passages(texts)

    passages = [Passage(str(n), f"{n} " + "word " * 400_000) for n in range(12)]  # 2 MB each
    report = ingest(passages, collection="c", path=tmp_path, encoder=Watching(), optimize=False)
    assert report.stored == report.truncated == 12
    assert max(sizes) <= 10 * 2**20


@pytest.mark.parametrize(("device", "windows"), [("cpu", 8), ("cuda:0", 8 + 2 * 8 + 7), ("cpu,cpu", 8 + 2 + 1)])
def test_passages_are_taken_from_a_generator_once_and_only_as_far_ahead_as_needed(
    tmp_path: Path, device: str, windows: int
) -> None:
    taken = 0
    seen_ahead: list[int] = []

    def passages() -> Iterator[Passage]:
        nonlocal taken
        for one in stored.numbered(20_000):
            taken += 1
            yield one

    encoder = StubEncoder(device=device)
    encoder.before_encode = lambda _: seen_ahead.append(taken - encoder.encoded)
    report = ingest(passages(), collection="c", path=tmp_path, encoder=encoder, optimize=False)
    assert report.read == report.stored == taken == 20_000
    # The window itself, two tokenized, one in the tokenizer, two read, one in the making; on GPUs more.
    assert max(seen_ahead) <= windows * WINDOW_SIZE


def test_windows_that_a_gpu_encodes_together_are_stored_each_with_its_own_vectors(tmp_path: Path) -> None:
    sizes: list[int] = []
    others_wait = threading.Event()

    def tokenizing(number: int) -> None:
        if number == 4:  # the three after the first are waiting to be encoded
            others_wait.set()

    class Watching(StubEncoder):
        def encode_tokens(self, tokens, *, on_progress=None):  # type: ignore[no-untyped-def]
            assert others_wait.wait(PATIENCE)
            sizes.append(len(tokens))
            return super().encode_tokens(tokens, on_progress=on_progress)

    passages = list(stored.numbered(20 * WINDOW_SIZE + 3))
    encoder = Watching(device="cuda:0", before_tokenize=tokenizing)
    report = ingest(passages, collection="c", path=tmp_path, encoder=encoder, optimize=False)
    assert report.stored == sum(sizes) == len(passages)
    assert WINDOW_SIZE < max(sizes) <= 8 * WINDOW_SIZE
    there = stored.embedded(tmp_path)
    assert len(there) == len(passages)
    assert all(there[one.id][1] == tuple(stub_vector(one.encoder_text, 8).tolist()) for one in passages)


def test_a_payload_that_its_maker_reuses_is_stored_as_it_was(tmp_path: Path) -> None:
    def passages() -> Iterator[Passage]:
        payload: dict[str, object] = {"list": [0]}
        for n in range(600):
            payload["n"] = n
            payload["list"] = [n]
            yield Passage(str(n), f"text {n}", payload=payload)

    ingest(passages(), collection="c", path=tmp_path, encoder=StubEncoder(), optimize=False)
    for point, (payload, _) in stored.embedded(tmp_path).items():
        assert payload["n"] == int(point)
        assert payload["list"] == [int(point)]


def test_a_payload_spoiled_after_the_passage_was_made_is_rejected(tmp_path: Path) -> None:
    payload: dict[str, object] = {"n": 1}
    passage = Passage("1", "t", payload=payload)
    payload["n"] = float("nan")
    with pytest.raises(RejectedError, match=r"<passages>:1: .*JSON can't represent"):
        ingest([passage], collection="c", path=tmp_path, encoder=StubEncoder())


def test_payloads_of_other_mapping_and_number_types_are_stored_as_plain_json(tmp_path: Path) -> None:
    from collections import namedtuple
    from enum import StrEnum
    from types import MappingProxyType

    import numpy as np

    class Colour(StrEnum):
        RED = "red"

    class Key(str):
        pass

    pair = namedtuple("pair", "a b")
    payload = {
        Key("key"): Colour.RED,
        "map": MappingProxyType({"x": (1, 2)}),
        "float": np.float64(1.5),
        "pair": pair(1, "b"),
        "null": None,
        "bool": True,
    }
    for _ in range(2):
        report = ingest(
            [Passage("1", "t", payload=MappingProxyType(payload))], collection="c", path=tmp_path, encoder=StubEncoder()
        )
    assert report.skipped == 1
    found, _ = stored.embedded(tmp_path)["1"]
    assert {k: v for k, v in found.items() if k not in ("passage_id", "text")} == {
        "key": "red",
        "map": {"x": [1, 2]},
        "float": 1.5,
        "pair": [1, "b"],
        "null": None,
        "bool": True,
    }


def test_things_that_are_no_passages_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="<passages>:2: expected a Passage, got dict"):
        ingest([Passage("1", "t"), {"id": 2}], collection="c", path=tmp_path, encoder=StubEncoder())  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="got PosixPath; give passages, or a list of file names"):
        ingest((Path(p) for p in ["a"]), collection="c", path=tmp_path, encoder=StubEncoder())  # type: ignore[misc]


def test_own_key_names_hold_for_counts_and_repeats(tmp_path: Path) -> None:
    keys = CollectionSettings(keys=PayloadKeys(id="doc", text="page_content", title="heading"))
    for expected in ((3, 0), (0, 3)):
        report = ingest(stored.numbered(3), collection="c", path=tmp_path, encoder=StubEncoder(), settings=keys)
        assert (report.stored, report.skipped) == expected
    payload, _ = stored.embedded(tmp_path)["1"]
    assert payload["doc"] == "1"
    assert payload["page_content"] == "passage number 1"


def test_a_payload_field_named_like_a_key_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="payload field 'text' has the name"):
        ingest([Passage("1", "t", payload={"text": "u"})], collection="c", path=tmp_path, encoder=StubEncoder())


def test_another_precision_is_a_warning_and_another_model_an_error_before_anything_is_stored(tmp_path: Path) -> None:
    from tasb_qdrant.errors import ContractMismatchError

    ingest(stored.numbered(3), collection="c", path=tmp_path, encoder=StubEncoder(precision="fp16"))
    report = ingest(stored.numbered(4), collection="c", path=tmp_path, encoder=StubEncoder(precision="fp32"))
    assert report.stored == 1
    assert any("begun in fp16, this run encoded in fp32" in warning for warning in report.warnings)
    before = stored.embedded(tmp_path)
    other = StubEncoder(weights="6" * 64)
    with pytest.raises(ContractMismatchError, match="model: the collection has stub"):
        ingest(stored.numbered(9), collection="c", path=tmp_path, encoder=other)
    with pytest.raises(ContractMismatchError, match="dim: the collection has 8, this run has 16"):
        ingest(stored.numbered(9), collection="c", path=tmp_path, encoder=StubEncoder(dim=16))
    assert other.encoded == other.tokenized == 0
    assert stored.embedded(tmp_path) == before


def test_a_collection_of_a_precision_that_is_gone_is_added_to_and_searched(tmp_path: Path) -> None:
    from tasb_qdrant import Searcher, verify

    where: dict[str, Any] = {"collection": "c", "path": tmp_path}
    ingest(stored.numbered(3), encoder=StubEncoder(precision="fp8"), **where)
    encoder = StubEncoder(precision="fp32")
    report = ingest(stored.numbered(4), encoder=encoder, **where)
    assert report.stored == 1
    warning = next(warning for warning in report.warnings if "fp8" in warning)
    assert warning.endswith("begun in fp8, this run encoded in fp32; the vectors agree to a cosine of 0.99")
    with Searcher("c", path=tmp_path, encoder=encoder) as searcher:
        assert len(searcher.search("text", limit=10)) == 4
    assert verify(stored.numbered(4), encoder=encoder, **where).equal


def test_no_passages_at_all_are_no_error(tmp_path: Path) -> None:
    report = ingest([], collection="c", path=tmp_path, encoder=StubEncoder())
    assert (report.read, report.points, report.verified) == (0, 0, True)


def test_vectors_of_another_size_than_the_contract_says_are_refused(tmp_path: Path) -> None:
    encoder = StubEncoder(spoil=lambda vectors: vectors[:, :4])
    with pytest.raises(EncodingError, match="expected vectors of 8 numbers"):
        ingest(stored.numbered(3), collection="c", path=tmp_path, encoder=encoder)
