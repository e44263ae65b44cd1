"""Values that an index would not hold are refused at the door, and only those."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from tasb_qdrant.collection.edge.engine import INDEX_TYPES
from tasb_qdrant.collection.index_types import TypeCheck, is_datetime, is_uuid
from tasb_qdrant.collection.open import open_collection
from tasb_qdrant.errors import InvalidPassageError, RejectedError
from tasb_qdrant.filters import parse_filter
from tasb_qdrant.ingest import ingest
from tasb_qdrant.records import Passage
from tasb_qdrant.settings import CollectionSettings, IndexType
from tests.collection.helpers import payloads_of
from tests.ingest import stored
from tests.ingest.fakes import StubEncoder
from tests.qdrant_servers import QdrantServer

UUID = "123e4567-e89b-12d3-a456-426614174000"

# For each kind of index a filter that finds every value that it holds, and values of all sorts.
FILTERS: dict[IndexType, models.FieldCondition] = {
    "keyword": models.FieldCondition(key="f", match=models.MatchValue(value="x")),
    "text": models.FieldCondition(key="f", match=models.MatchText(text="x")),
    "integer": models.FieldCondition(key="f", range=models.Range(gte=-1e300)),
    "float": models.FieldCondition(key="f", range=models.Range(gte=-1e300)),
    "datetime": models.FieldCondition(key="f", range=models.DatetimeRange(gte="0001-01-01T00:00:00Z")),  # type: ignore[arg-type]
    "uuid": models.FieldCondition(key="f", match=models.MatchValue(value=UUID)),
    "geo": models.FieldCondition(
        key="f", geo_radius=models.GeoRadius(center=models.GeoPoint(lon=0, lat=0), radius=3e7)
    ),
}
VALUES: dict[IndexType, list[Any]] = {
    "keyword": ["x", 1, 1.5, True, {"x": "x"}, ["x"], [["x"]], ["x", 1], []],
    "text": ["x y", 1, ["x"], [["x"]], {"a": "x"}],
    "integer": [3, -(2**63), 2**63 - 1, 3.5, True, "3", [3], [[3]], {"a": 3}, [3, "x"]],
    "float": [3, 3.0, 3.5, 2**62, True, "3", [3.5], [[3.5]], {"a": 3.5}],
    "uuid": [
        UUID,
        UUID.upper(),
        UUID.replace("-", ""),
        "{" + UUID + "}",
        "urn:uuid:" + UUID,
        "urn:uuid:" + UUID.upper(),
        "uuid:" + UUID,
        "urn:" + UUID,
        "{" + UUID.replace("-", "") + "}",
        "urn:uuid:" + UUID.replace("-", ""),
        "1-23e4567e89b12d3a456426614174000",
        UUID + " ",
        "{" + UUID,
        UUID + "}",
        "",
        5,
    ],
    "geo": [
        {"lon": 1, "lat": 2},
        {"lon": 1.0, "lat": 2.0, "name": "here"},
        {"lon": 180, "lat": 90},
        {"lon": -180, "lat": -90},
        {"lon": 0, "lat": 0},
        [{"lon": 1, "lat": 2}],
        {"lon": 181, "lat": 2},
        {"lon": 1, "lat": 90.5},
        {"lon": True, "lat": 2},
        {"lon": "1", "lat": 2},
        {"lng": 1, "lat": 2},
        {"lon": 1},
        {"lon": None, "lat": 1},
        [1, 2],
        [[{"lon": 1, "lat": 2}]],
        "1,2",
    ],
    "datetime": [
        "2024-01-31",
        "2024-01-31 10:00",
        "2024-01-31T10:00:00",
        "2024-01-31 10:00:00.5",
        "2024-01-31T10:00:00Z",
        "2024-01-31T10:00:00.123456789Z",
        "2024-01-31T10:00:00+01:00",
        "2024-01-31 10:00:00+0100",
        "2024-01-31 10:00:00 UTC",
        "2024-1-5",
        "2024-02-29",
        "2023-02-29",
        "2024-13-01",
        "20240131",
        "2024-W05-3",
        "2024-031",
        "2024",
        "2024-01",
        "2024-01-31T10",
        "2024-01-31T10:00Z",
        "2024-01-31T24:00:00Z",
        "2024-01-31T10:60:00Z",
        "2024-01-31T10:00:00+25:00",
        "2024-01-31T10:00:00,5Z",
        "31.01.2024",
        "01/31/2024",
        "2024-01-31T",
        "2024-01-31 ",
        "٢٠٢٤-٠١-٣١",
        "",
        1706695200,
        ["2024-01-31"],
        [["2024-01-31"]],
    ],
}


def fits(value: Any, kind: IndexType, field: str = "f") -> bool:
    try:
        TypeCheck({field: kind})({"f": value})
    except InvalidPassageError:
        return False
    return True


def found_embedded(kind: IndexType, payloads: Sequence[Any], condition: models.FieldCondition) -> set[int]:
    from tasb_qdrant.collection.edge.filters import to_edge

    with tempfile.TemporaryDirectory() as folder:
        shard = edge.EdgeShard.create(
            folder, edge.EdgeConfig(vectors=edge.EdgeVectorParams(size=2, distance=edge.Distance.Dot))
        )
        shard.update(edge.UpdateOperation.create_field_index(condition.key, INDEX_TYPES[kind]))
        row = np.ones(2, dtype=np.float32)
        points = [edge.Point(number, row.tolist(), payload) for number, payload in enumerate(payloads)]
        shard.update(edge.UpdateOperation.upsert_points(points))
        where = to_edge(models.Filter(must=[condition]))
        records, _ = shard.scroll(edge.ScrollRequest(limit=len(points), filter=where))
        shard.close()
        return {int(str(one.id)) for one in records}


@pytest.mark.parametrize("kind", list(FILTERS))
def test_what_fits_is_found_in_the_embedded_store_and_what_does_not_is_not(kind: IndexType) -> None:
    values = VALUES[kind]
    found = found_embedded(kind, [{"f": value} for value in values], FILTERS[kind])
    for number, value in enumerate(values):
        # A list that holds a value of another type beside a good one is found by the good one alone.
        if value not in (["x", 1], [3, "x"], []):
            assert fits(value, kind) == (number in found), value


@pytest.mark.parametrize("kind", list(FILTERS))
def test_what_fits_is_found_on_a_server_and_what_does_not_is_not(qdrant_server: QdrantServer, kind: IndexType) -> None:
    client = stored.client_of(qdrant_server.url)
    client.create_collection("types", vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    client.create_payload_index("types", "f", models.PayloadSchemaType(kind), wait=True)
    points = [models.PointStruct(id=n, vector=[1.0, 1.0], payload={"f": v}) for n, v in enumerate(VALUES[kind])]
    client.upsert("types", points, wait=True)
    records, _ = client.scroll("types", models.Filter(must=[FILTERS[kind]]), limit=100)
    client.delete_collection("types")
    client.close()
    found = {one.id for one in records}
    for number, value in enumerate(VALUES[kind]):
        if value not in (["x", 1], [3, "x"], []):
            assert fits(value, kind) == (number in found), value


def test_what_only_some_stores_read_does_not_fit() -> None:
    """A collection must mean the same in each: Qdrant 1.16 and 1.17 read the first two not, 1.16 the last not."""
    for kind, value in (("uuid", "URN:UUID:" + UUID), ("datetime", "2024-01-31T10:00"), ("integer", 3.0)):
        found = found_embedded(kind, [{"f": value}], FILTERS[kind])  # type: ignore[index,arg-type]
        assert found == {0}
        assert not fits(value, kind)  # type: ignore[arg-type]


def test_booleans() -> None:
    assert fits(True, "bool")
    assert fits([True, False], "bool")
    assert not fits(1, "bool")
    assert not fits("true", "bool")


def mutated(rng: random.Random) -> str:
    """A datetime with a few characters inserted, removed or exchanged."""
    letters = list(
        rng.choice(["2024-01-31T10:00:00Z", "2024-01-31", "2024-01-31 10:00", "2024-11-30T23:59:59.5+01:00"])
    )
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(letters) + 1)
        letters[at : at + rng.randrange(2)] = rng.choice(["", *"0123456789-+: TZ."])
    return "".join(letters)


def test_no_text_passes_for_a_datetime_that_the_engine_does_not_read() -> None:
    rng = random.Random(3)
    texts = sorted({mutated(rng) for _ in range(5_000)})
    taken = [text for text in texts if is_datetime(text)]
    assert len(taken) > 100
    found = found_embedded("datetime", [{"f": text} for text in taken], FILTERS["datetime"])
    # Year 0 is stored, and before every year that a filter can say.
    assert [text for n, text in enumerate(taken) if n not in found and not text.startswith("0000")] == []


@given(st.datetimes(), st.sampled_from(["T", " "]), st.sampled_from(["", "Z", "+02:00", "-11:30"]))
def test_every_ordinary_datetime_fits(moment: Any, separator: str, offset: str) -> None:
    assert is_datetime(moment.isoformat(sep=separator) + offset)
    assert is_datetime(moment.date().isoformat())


@given(st.uuids())
def test_every_uuid_fits(value: Any) -> None:
    assert is_uuid(str(value))
    assert is_uuid(value.hex)
    assert is_uuid(value.urn)


PATHS: list[tuple[str, dict[str, Any], bool]] = [
    ("a.b", {"a": {"b": 1}}, True),
    ("a.b", {"a": {"b": [1, 2]}}, True),
    ("a.b", {"a": [{"b": 1}]}, False),
    ("a.b", {"a": {"b": [[1]]}}, False),
    ("a[].b", {"a": [{"b": 1}, {"c": 2}]}, True),
    ("a[].b", {"a": [{"b": [1]}]}, True),
    ("a[].b", {"a": {"b": 1}}, False),
    ("a[].b", {"a": [{"b": [[1]]}]}, False),
    ('"a.b"', {"a.b": 1}, True),
    ('"a b"', {"a b": 1}, True),
    ("a[]", {"a": [1]}, True),
    ("a[]", {"a": [[1]]}, True),
    ("a[]", {"a": 1}, False),
    ("a[]", {"a": [[[1]]]}, False),
    ("a[][]", {"a": [[1]]}, True),
    ("a[0]", {"a": [1, 2]}, True),
    ("a[1].b", {"a": ["x", {"b": 1}]}, True),
    ("é", {"é": 1}, True),
]


@pytest.mark.parametrize(("path", "payload", "held"), PATHS)
def test_nested_paths_reach_what_the_engine_indexes(path: str, payload: dict[str, Any], held: bool) -> None:
    condition = models.FieldCondition(key=path, range=models.Range(gte=0))
    assert bool(found_embedded("integer", [payload], condition)) == held
    check = TypeCheck({path: "integer"})
    if held:
        check(payload)
    else:
        with pytest.raises(InvalidPassageError, match="no filter on it would find"):
            check(payload)


@pytest.mark.parametrize(
    ("path", "payload"),
    [
        ("a.b", {"a": {"b": "1"}}),
        ("a[].b", {"a": [{"b": 1}, {"b": "1"}]}),
        ("a[0]", {"a": ["1", 2]}),
        ('"a.b"', {"a.b": "1"}),
        ("a", {"a": [1, None, "2"]}),
    ],
)
def test_wrong_types_are_found_in_nested_paths(path: str, payload: dict[str, Any]) -> None:
    with pytest.raises(InvalidPassageError, match="is indexed as integer, got"):
        TypeCheck({path: "integer"})(payload)


@pytest.mark.parametrize(
    "payload",
    [{}, {"a": None}, {"a": {}}, {"a": {"b": None}}, {"a": 5}, {"a.b": "another field"}, {"a": []}, {"a": {"b": []}}],
)
def test_what_is_not_there_is_no_wrong_type(payload: dict[str, Any]) -> None:
    TypeCheck({"a.b": "integer"})(payload)


def test_the_reason_names_field_index_value_and_remedy(tmp_path: Path) -> None:
    passages = [Passage("1", "t", payload={"year": 2020}), Passage("2", "t", payload={"year": "2021"})]
    settings = CollectionSettings(indexes={"year": "integer"})
    with pytest.raises(RejectedError) as caught:
        ingest(passages, collection="c", path=tmp_path, encoder=StubEncoder(), settings=settings)
    assert str(caught.value) == (
        "<passages>:2: field 'year' is indexed as integer, got \"2021\", which no filter on it would find; write it "
        "without quotes and fraction, or index the field as another type (an index that is there already is dropped "
        "with: tasb-qdrant collection index drop year); correct the line, or keep such lines in a file with --rejects "
        "FILE"
    )


def test_a_collections_own_indexes_hold_for_later_runs_that_name_none(tmp_path: Path) -> None:
    settings = CollectionSettings(indexes={"year": "integer"})
    ingest(
        [Passage("1", "t", payload={"year": 1})],
        collection="c",
        path=tmp_path,
        encoder=StubEncoder(),
        settings=settings,
    )
    with pytest.raises(RejectedError, match="indexed as integer"):
        ingest([Passage("2", "t", payload={"year": "2"})], collection="c", path=tmp_path, encoder=StubEncoder())


def test_columns_of_csv_take_the_types_of_their_indexes(tmp_path: Path) -> None:
    source = tmp_path / "p.csv"
    source.write_text("id,text,year,price,draft,lang\n1,one,1999,2.5,true,en\n2,two,,,,\n3,three,MCMXC,1,0,de\n")
    settings = CollectionSettings(indexes={"year": "integer", "price": "float", "draft": "bool", "lang": "keyword"})
    report = ingest(
        source, collection="c", path=tmp_path / "s", encoder=StubEncoder(), settings=settings, rejects=tmp_path / "r"
    )
    assert (report.stored, report.rejected) == (2, 1)
    assert b"column 'year' is indexed as integer, got 'MCMXC'" in (tmp_path / "r").read_bytes()
    payload, _ = stored.embedded(tmp_path / "s")["1"]
    assert {k: payload[k] for k in settings.indexes} == {"year": 1999, "price": 2.5, "draft": True, "lang": "en"}


def test_an_index_is_named_in_any_spelling_of_its_field(tmp_path: Path) -> None:
    passage = Passage("a", "text", payload={"a b": "k", "c": {"d.e": 1}})
    for names in (("a b", "c.`d.e`"), ("`a b`", 'c."d.e"')):
        settings = CollectionSettings(indexes={names[0]: "keyword", names[1]: "integer"})
        ingest([passage], collection="c", path=tmp_path, encoder=StubEncoder(), settings=settings)
    collection = open_collection("c", path=tmp_path)
    assert collection.indexes() == {'"a b"': "keyword", 'c."d.e"': "integer"}
    assert collection.reads.count(parse_filter('`a b` = "k" and c.`d.e` >= 1')) == 1
    collection.close()


def test_empty_cells_of_csv_are_no_values_whatever_their_index(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text('id,text,when,who,"how many"\n1,one,,,\n2,two,2024-01-31,,3\n')
    settings = CollectionSettings(indexes={"when": "datetime", "who": "uuid", "how many": "integer"})
    report = ingest(
        tmp_path / "p.csv", collection="c", path=tmp_path / "store", encoder=StubEncoder(), settings=settings
    )
    assert (report.stored, report.rejected) == (2, 0)
    collection = open_collection("c", path=tmp_path / "store")
    assert payloads_of(collection, [1])[1] == {
        "passage_id": "1", "text": "one", "when": None, "who": None, "how many": None
    }  # fmt: skip
    assert payloads_of(collection, [2])[2]["how many"] == 3
    collection.close()
