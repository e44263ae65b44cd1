"""The same run again changes nothing; a changed source changes what it must."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasb_qdrant.collection.payload import to_payload
from tasb_qdrant.ingest import ingest
from tasb_qdrant.ingest.read.content import canonical, is_same
from tasb_qdrant.records import MAX_ID_CHARS, Passage
from tasb_qdrant.settings import PayloadKeys
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer

COUNT = 700  # more than a window


def test_the_same_call_twice_stores_and_encodes_nothing_the_second_time(tmp_path: Path) -> None:
    ingest(stored.numbered(COUNT), collection="c", path=tmp_path, encoder=StubEncoder())
    before = stored.embedded(tmp_path)
    encoder = StubEncoder()
    report = ingest(stored.numbered(COUNT), collection="c", path=tmp_path, encoder=encoder)
    assert (report.read, report.stored, report.skipped, report.points) == (COUNT, 0, COUNT, COUNT)
    assert report.verified
    assert encoder.encoded == encoder.tokenized == 0
    assert stored.embedded(tmp_path) == before


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_server_keeps_its_collection_too(qdrant_server: QdrantServer, transport: str) -> None:
    client = stored.client_of(qdrant_server.url)
    name = f"again-{transport}"
    options = {"collection": name, "url": qdrant_server.url, "grpc_port": qdrant_server.grpc_port}
    ingest(stored.numbered(COUNT), encoder=StubEncoder(), transport=transport, optimize=False, **options)  # type: ignore[arg-type]
    before = stored.on_server(client, name)
    encoder = StubEncoder()
    report = ingest(stored.numbered(COUNT), encoder=encoder, transport=transport, **options)  # type: ignore[arg-type]
    assert (report.stored, report.skipped, encoder.tokenized, report.points) == (0, COUNT, 0, COUNT)
    assert stored.on_server(client, name) == before
    changed = [replace(p, text="changed") if p.id == "5" else p for p in stored.numbered(COUNT)]
    report = ingest(changed, encoder=encoder, transport=transport, optimize=False, **options)  # type: ignore[arg-type]
    assert (report.stored, report.skipped, report.points, report.verified) == (1, COUNT - 1, COUNT, True)
    client.delete_collection(name)
    client.close()


def test_order_and_window_alignment_do_not_matter(tmp_path: Path) -> None:
    ingest(stored.numbered(COUNT), collection="c", path=tmp_path, encoder=StubEncoder())
    before = stored.embedded(tmp_path)
    shuffled = [Passage("new", "the first one now"), *stored.numbered(COUNT)]
    random.Random(1).shuffle(shuffled)
    encoder = StubEncoder()
    report = ingest(shuffled, collection="c", path=tmp_path, encoder=encoder)
    assert (report.stored, report.skipped, encoder.encoded) == (1, COUNT, 1)
    after = stored.embedded(tmp_path)
    assert {point: after[point] for point in before} == before


@pytest.mark.parametrize(
    ("change", "encoded"),
    [
        ({"text": "another text"}, 1),
        ({"title": None}, 1),
        ({"title": "another"}, 1),
        ({"payload": {"year": 1990.0}}, 0),
        ({"payload": {"year": True}}, 0),
        ({"payload": {}}, 0),
    ],
)
def test_of_one_changed_passage_only_what_the_encoder_reads_is_encoded(
    tmp_path: Path, change: dict[str, object], encoded: int
) -> None:
    passages = [replace(p, payload={"year": 1990}) for p in stored.numbered(20)]
    ingest(passages, collection="c", path=tmp_path, encoder=StubEncoder())
    before = stored.embedded(tmp_path)
    passages[7] = replace(passages[7], **change)  # type: ignore[arg-type]
    encoder = StubEncoder()
    report = ingest(passages, collection="c", path=tmp_path, encoder=encoder)
    assert (report.stored, report.updated, report.skipped) == (encoded, 1 - encoded, 19)
    assert (report.points, report.points_expected, encoder.encoded) == (20, 20, encoded)
    after = stored.embedded(tmp_path)
    assert {point for point in after if repr(after[point]) != repr(before[point])} == {"7"}
    assert canonical(after["7"][0]) == canonical(to_payload(passages[7], PayloadKeys()))
    assert (after["7"][1] == before["7"][1]) == (not encoded)


def test_a_title_alone_keeps_its_vector_when_other_fields_change(tmp_path: Path) -> None:
    ingest([Passage("1", "", title="One")], collection="c", path=tmp_path, encoder=StubEncoder())
    encoder = StubEncoder()
    changed = Passage("1", "", title="One", payload={"year": 2000})
    ingest([changed], collection="c", path=tmp_path, encoder=encoder)
    assert encoder.encoded == 0
    assert stored.embedded(tmp_path)["1"][0]["year"] == 2000


def test_moving_words_between_title_and_text_needs_no_new_vector(tmp_path: Path) -> None:
    ingest([Passage("1", "two words", title="One")], collection="c", path=tmp_path, encoder=StubEncoder())
    encoder = StubEncoder()
    moved = Passage("1", "words", title="One two")
    report = ingest([moved], collection="c", path=tmp_path, encoder=encoder)
    assert (report.stored, report.updated, encoder.encoded) == (0, 1, 0)
    assert stored.embedded(tmp_path)["1"][0] == {"passage_id": "1", "text": "words", "title": "One two"}


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_server_replaces_payloads_alone_too(qdrant_server: QdrantServer, transport: str) -> None:
    client = stored.client_of(qdrant_server.url)
    name = f"payloads-{transport}"
    options = {"collection": name, "url": qdrant_server.url, "grpc_port": qdrant_server.grpc_port}
    ingest(stored.numbered(COUNT), encoder=StubEncoder(), transport=transport, optimize=False, **options)  # type: ignore[arg-type]
    before = stored.on_server(client, name)
    changed = [replace(p, payload={"odd": True}) if int(p.id) % 2 else p for p in stored.numbered(COUNT)]
    encoder = StubEncoder()
    report = ingest(changed, encoder=encoder, transport=transport, optimize=False, **options)  # type: ignore[arg-type]
    assert (report.stored, report.updated, report.skipped, encoder.tokenized) == (0, COUNT // 2, COUNT // 2, 0)
    after = stored.on_server(client, name)
    for passage in changed:
        assert after[passage.id] == (to_payload(passage, PayloadKeys()), before[passage.id][1])
    client.delete_collection(name)
    client.close()


def test_overwrite_stores_everything_again(tmp_path: Path) -> None:
    ingest(stored.numbered(30), collection="c", path=tmp_path, encoder=StubEncoder())
    before = stored.embedded(tmp_path)
    encoder = StubEncoder()
    report = ingest(stored.numbered(30), collection="c", path=tmp_path, encoder=encoder, overwrite=True)
    assert (report.stored, report.skipped, encoder.encoded) == (30, 0, 30)
    assert report.points == 30
    assert report.points_expected is None
    assert report.verified
    assert stored.embedded(tmp_path) == before


storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | storable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(storable.filter(bool), inner, max_size=3),
    max_leaves=8,
)
keys = storable.filter(lambda key: key not in ("", "passage_id", "text", "title"))
texts = storable.filter(lambda text: bool(text) and not text.isspace())
any_passages = st.lists(
    st.builds(
        Passage,
        id=texts,
        text=texts,
        title=st.none() | storable,
        payload=st.dictionaries(keys, json_values, max_size=4),
    ),
    max_size=8,
    unique_by=lambda passage: passage.point_id,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_passages)
def test_any_passage_that_can_be_made_is_recognised_when_it_comes_again(passages: list[Passage]) -> None:
    with tempfile.TemporaryDirectory() as name:
        for expected in ((len(passages), 0), (0, len(passages))):
            report = ingest(iter(passages), collection="c", path=Path(name), encoder=StubEncoder(), optimize=False)
            assert (report.stored, report.skipped) == expected
        there = stored.embedded(Path(name))
    for passage in passages:
        payload, _ = there[str(passage.point_id)]
        assert payload["passage_id"] == passage.id
        assert is_same(payload, canonical(to_payload(passage, PayloadKeys())))


def any_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 3 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([0, -1, 2**53 + 1, 2**63 - 1, -(2**63), rng.randrange(10**6)])
    if kind in (2, 3):  # of any magnitude
        return rng.choice(
            [0.0, -0.0, 1.0, 1e16, 5e-324, rng.uniform(-1, 1), rng.uniform(1, 10) * 10.0 ** rng.randint(-300, 300)]
        )
    if kind in (4, 5):
        return "".join(rng.choice('aZ09 \t\n"\\/.é漢😀\u2028\x7f') for _ in range(rng.randrange(8)))
    if kind == 6:
        return [any_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {f"k{n}": any_value(rng, depth + 1) for n in range(rng.randrange(4))}


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_any_payload_is_recognised_on_a_server(qdrant_server: QdrantServer, transport: str) -> None:
    rng = random.Random(7)
    passages = [Passage(f"p{n}", f"text {n}", payload={f"f{k}": any_value(rng) for k in range(4)}) for n in range(500)]
    client = stored.client_of(qdrant_server.url)
    name = f"any-{transport}"
    for expected in ((500, 0), (0, 500)):
        report = ingest(
            passages,
            collection=name,
            url=qdrant_server.url,
            grpc_port=qdrant_server.grpc_port,
            transport=transport,  # type: ignore[arg-type]
            encoder=StubEncoder(),
            optimize=False,
        )
        assert (report.stored, report.skipped) == expected
    client.delete_collection(name)
    client.close()


def test_an_id_at_the_limit_is_recognised(tmp_path: Path) -> None:
    passage = Passage("é" * MAX_ID_CHARS, "t")
    for expected in ((1, 0), (0, 1)):
        report = ingest([passage], collection="c", path=tmp_path, encoder=StubEncoder())
        assert (report.stored, report.skipped) == expected
