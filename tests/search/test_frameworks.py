"""Public types are at home in other people's frameworks: pydantic, FastAPI, DataFrames, notebooks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel, TypeAdapter, ValidationError

import tasb_qdrant
import tasb_qdrant.records
import tasb_qdrant.search
from tasb_qdrant import Encoder, Hit, IngestReport, Passage, Searcher, VerifyReport, errors, filters, settings, sources
from tasb_qdrant.collection.info import CollectionInfo
from tasb_qdrant.ingest.verify.plan import SyncPlan
from tasb_qdrant.records import FacetCount, HitGroup, ModelContract, Reject, SparseVector, SparseVectors
from tasb_qdrant.records.timings import Timings
from tasb_qdrant.search import HitGroups, Hits
from tests.search.conftest import BEES


class Product(BaseModel):
    price: float


NASTY = "<script>alert('x')</script>"
HIT: Hit[Product] = Hit(
    "a<b", 1.5, NASTY, "T & Co", Product(price=2.0), vector=np.array([1.0, 2.0, 3.0], dtype=np.float32)
)
ROOMS = (tasb_qdrant, tasb_qdrant.records, tasb_qdrant.search, filters, settings, sources, errors)


def _public() -> Iterator[tuple[str, Any]]:
    """Every public class and function, and the public methods of the classes."""
    for room in ROOMS:
        for name in getattr(room, "__all__", [name for name in vars(room) if not name.startswith("_")]):
            value = getattr(room, name)
            if not str(getattr(value, "__module__", "")).startswith("tasb_qdrant") or not callable(value):
                continue
            yield f"{room.__name__}.{name}", value
            for method, given in vars(value).items() if inspect.isclass(value) else ():
                function = given.fget if isinstance(given, property) else getattr(given, "__func__", given)
                if inspect.isfunction(function) and (method == "__init__" or not method.startswith("_")):
                    yield f"{room.__name__}.{name}.{method}", function


def test_the_types_of_everything_public_can_be_asked_for() -> None:
    """Frameworks do: a name that only type checkers import is a NameError there."""
    asked = dict(_public())
    assert len(asked) > 150
    failed = []
    for name, value in asked.items():
        try:
            get_type_hints(value)
        except (NameError, TypeError) as error:
            failed.append(f"{name}: {error}")
    assert failed == []


@pytest.mark.parametrize(
    "kind",
    [
        *(Hit, Hit[Product], Hits, Hits[Product], HitGroup, HitGroup[Product], HitGroups, HitGroups[Product]),
        *(FacetCount, Passage, Reject, ModelContract, IngestReport, VerifyReport, CollectionInfo, SyncPlan, Timings),
        *(SparseVector, SparseVectors, tasb_qdrant.Progress),
    ],
    ids=str,
)
def test_pydantic_knows_the_schema_of_every_record(kind: Any) -> None:
    assert TypeAdapter(kind).json_schema()


def test_hits_go_through_json_and_come_back() -> None:
    adapter = TypeAdapter(Hits[Product])
    back = adapter.validate_json(adapter.dump_json(Hits([HIT])))
    assert isinstance(back, Hits)
    assert back == [HIT]
    assert isinstance(back[0].payload, Product)
    assert back[0].vector is not None
    assert back[0].vector.dtype == np.float32
    assert back[0].vector.tolist() == [1.0, 2.0, 3.0]
    for wrong in ("text", ["a"], [[1.0]]):
        with pytest.raises(ValidationError):
            TypeAdapter(Hit).validate_python({"id": "1", "score": 1, "text": "", "vector": wrong})
    plain = TypeAdapter(Hit[Product]).dump_python(HIT)
    assert isinstance(plain["vector"], np.ndarray)  # Python's own objects stay


def _app(searcher: Searcher) -> FastAPI:
    app = FastAPI()

    @app.get("/list")
    def as_list(q: str) -> list[Hit[dict[str, Any]]]:
        return searcher.search(q, limit=2, with_vectors=True)

    @app.get("/hits")
    async def as_hits(q: str) -> Hits[dict[str, Any]]:
        return searcher.search(q, limit=2)

    @app.get("/groups")
    def as_groups(q: str) -> HitGroups[dict[str, Any]]:
        return searcher.search_groups(q, by="topic", limit=1)

    @app.get("/products")
    def products() -> list[Hit[Product]]:
        return [HIT]

    @app.post("/back")
    def back(hit: Hit[Product]) -> Hit[Product]:
        return hit

    @app.get("/info")
    def info() -> CollectionInfo:
        return searcher.info()

    return app


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the test client's own, of its libraries
def test_fastapi_describes_hits_and_answers_with_them(searcher: Searcher) -> None:
    with TestClient(_app(searcher)) as client:
        described = client.get("/openapi.json").json()
        vector = described["components"]["schemas"]["Hit_Product_"]["properties"]["vector"]
        assert vector["anyOf"][0] == {"items": {"type": "number"}, "type": "array"}
        expected = searcher.search(BEES, limit=2)
        for path in ("/list", "/hits"):
            answer = client.get(path, params={"q": BEES}).json()
            assert [hit["id"] for hit in answer] == [hit.id for hit in expected]
            assert answer[0]["payload"] == expected[0].payload
        assert len(client.get("/list", params={"q": BEES}).json()[0]["vector"]) == 384
        groups = client.get("/groups", params={"q": BEES}).json()
        assert groups[0]["hits"][0]["id"] == expected[0].id
        assert client.get("/products").json()[0]["payload"] == {"price": 2.0}
        sent = {"id": "7", "score": 1, "text": "t", "payload": {"price": 3}}
        assert client.post("/back", json=sent).json()["payload"] == {"price": 3.0}
        assert client.post("/back", json={**sent, "payload": {"price": "dear"}}).status_code == 422
        assert client.get("/info").json()["points"] == 200


def test_hits_make_a_data_frame() -> None:
    """polars asks a dataclass for its types, pandas for its fields."""
    import pandas  # type: ignore[import-untyped]  # it has no types of its own
    import polars

    for frame in (polars.DataFrame(Hits([HIT, HIT])), pandas.DataFrame(Hits([HIT, HIT]))):
        assert list(frame.columns) == ["id", "score", "text", "title", "payload", "vector", "invalid"]
        assert list(frame["id"]) == ["a<b", "a<b"]


@pytest.mark.parametrize("shown", [HIT, Hits([HIT]), HitGroup("a<b", [HIT]), HitGroups([HitGroup("a<b", [HIT])])])
def test_a_notebook_shows_hits_as_a_table_and_nothing_of_them_as_html(shown: Any) -> None:
    html = shown._repr_html_()
    assert html.count("<table>") == html.count("</table>") > 0
    assert "a&lt;b" in html
    assert "price" in html
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert len(Hit("1", 1.0, "long " * 10_000)._repr_html_()) < 2_000


def test_a_notebook_shows_warnings_with_the_hits_and_says_where_there_are_none() -> None:
    assert "is it &lt;year&gt;?" in Hits([HIT], warnings=["is it <year>?"])._repr_html_()
    assert "No hits." in Hits()._repr_html_()
    assert "No hits." in HitGroups()._repr_html_()
    assert "is it" in Hits(warnings=["is it <year>?"])._repr_html_()


def test_a_notebook_shows_reports(searcher: Searcher, tmp_path: Path, encoder: Encoder) -> None:
    report = tasb_qdrant.ingest(
        [Passage("1", "x " * 2_000, payload={"n": 1})],
        collection="ab",
        path=tmp_path / "a & b",
        encoder=encoder,
        verify=True,
    )
    assert report.warnings
    html = report._repr_html_()
    assert all(
        part in html for part in ("a &amp; b", "stored", "longer than the model reads", "VerifyReport", "n:integer")
    )
    found = VerifyReport("c<d", "here", read=3, missing=1, unchecked=("peer 3",), examples={"missing": ("x<y",)})
    assert all(part in found._repr_html_() for part in ("c&lt;d", "missing", "peer 3", "x&lt;y"))
    assert "searcher-test" in searcher.info()._repr_html_()
