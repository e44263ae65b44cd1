"""A payload model from the door to the hit: what is stored suits it, filters are built on it, hits are of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel

from tasb_qdrant import CollectionSettings, Encoder, Passage, Searcher, ingest, verify
from tasb_qdrant.errors import FilterTypeError, PayloadInvalidError, RejectedError, SettingsError
from tasb_qdrant.filters import Indexed, field, fields
from tasb_qdrant.ingest import plan_sync
from tests.models import make_tasb_like


class Article(BaseModel):
    topic: Annotated[str, Indexed()]
    year: Annotated[int, Indexed()]
    tags: list[str] = []


PASSAGES = [
    Passage("bees", "Bees dance.", payload={"topic": "animals", "year": 2011, "tags": ["food"], "source": "a book"}),
    Passage("owls", "Owls swallow mice.", payload={"topic": "animals", "year": 1998}),
    Passage("moon", "The Moon turns once.", payload={"topic": "space", "year": 2008}),
]
BAD = Passage("bad", "No year.", payload={"topic": "space", "year": "2008"})


@pytest.fixture(scope="module")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    from tasb_qdrant import load_encoder

    return load_encoder(make_tasb_like(tmp_path_factory.mktemp("m"), layers=1, dim=32, heads=2, hidden=64))


@pytest.fixture
def store(tmp_path: Path, tiny_encoder: Encoder) -> Path:
    ingest(PASSAGES, collection="articles", path=tmp_path, encoder=tiny_encoder, payload=Article)
    return tmp_path


@pytest.fixture
def searcher(store: Path, tiny_encoder: Encoder) -> Iterator[Searcher[Article]]:
    with Searcher("articles", path=store, encoder=tiny_encoder, payload=Article) as opened:
        yield opened


def test_a_hits_payload_is_an_instance_of_the_model(searcher: Searcher[Article]) -> None:
    hits = searcher.search("bees", exact=True)
    assert {hit.id: hit.payload for hit in hits}["bees"] == Article(topic="animals", year=2011, tags=["food"])
    assert {hit.payload.year for hit in hits} == {2011, 1998, 2008}
    assert searcher.get(["owls"])["owls"].payload.tags == []
    assert next(searcher.scroll(order_by="year")).payload.year == 1998
    assert searcher.rerank("bees", [PASSAGES[1]])[0].payload.topic == "animals"
    assert hits[0].to_dict()["payload"]["topic"] == hits[0].payload.topic


def test_the_models_fields_make_filters(searcher: Searcher[Article]) -> None:
    article = fields(Article)
    hits = searcher.search("anything", where=(article.year >= 2000) & (article.topic == "animals"))
    assert [hit.id for hit in hits] == ["bees"]
    assert searcher.count(field(article.tags).in_(["food"])) == 1
    with pytest.raises(FilterTypeError):
        searcher.search("anything", where=article.year >= "2000")  # type: ignore[operator]  # what is tested


def test_the_models_indexes_are_made_and_what_the_model_does_not_know_is_kept(
    searcher: Searcher[Article], store: Path, tiny_encoder: Encoder
) -> None:
    assert dict(searcher.info().indexes) == {"topic": "keyword", "year": "integer"}
    searcher.close()
    with Searcher("articles", path=store, encoder=tiny_encoder) as plain:
        assert plain.get(["bees"])["bees"].payload["source"] == "a book"


def test_a_payload_that_is_no_instance_is_rejected_at_the_door(tmp_path: Path, tiny_encoder: Encoder) -> None:
    with pytest.raises(
        RejectedError, match=r"'bad' is not a valid Article: year: .*'2008'|'bad' is not a valid Article: year"
    ):
        ingest([*PASSAGES, BAD], collection="articles", path=tmp_path, encoder=tiny_encoder, payload=Article)
    rejects = tmp_path / "rejects.jsonl"
    done = ingest(
        [*PASSAGES, BAD],
        collection="articles",
        path=tmp_path,
        encoder=tiny_encoder,
        payload=Article,
        rejects=rejects,
    )
    assert (done.read, done.rejected, done.points) == (4, 1, 3)
    assert "is not a valid Article: year" in rejects.read_text()


def test_a_stored_payload_that_is_no_instance_is_an_error_or_marked(store: Path, tiny_encoder: Encoder) -> None:
    stored = Passage("old", "An old one.", payload={"topic": "space"})
    ingest([stored], collection="articles", path=store, encoder=tiny_encoder)
    with Searcher("articles", path=store, encoder=tiny_encoder, payload=Article) as searcher:
        with pytest.raises(PayloadInvalidError, match="passage 'old' is not a valid Article: year"):
            searcher.search("old", exact=True)
        assert searcher.search("old", where=fields(Article).year > 0)
    with Searcher("articles", path=store, encoder=tiny_encoder, payload=Article, on_invalid="keep") as searcher:
        hits = {hit.id: hit for hit in searcher.search("old", exact=True)}
        assert hits["bees"].invalid == ""
        assert "year" in hits["old"].invalid
        assert hits["old"].payload == {"topic": "space"}  # type: ignore[comparison-overlap]  # kept as it is
        assert hits["old"].to_dict()["invalid"]


def test_hits_of_a_model_need_the_whole_payload(searcher: Searcher[Article]) -> None:
    with pytest.raises(SettingsError, match="it needs every field"):
        searcher.search("bees", with_payload=["year"])


def test_an_index_that_contradicts_the_model_is_refused(tmp_path: Path, tiny_encoder: Encoder) -> None:
    settings = CollectionSettings(indexes={"year": "float"})
    with pytest.raises(SettingsError, match="'year' is to be indexed as float, and Article says integer"):
        ingest(PASSAGES, collection="c", path=tmp_path, encoder=tiny_encoder, settings=settings, payload=Article)


def test_verify_and_sync_leave_out_what_the_door_leaves_out(tmp_path: Path, tiny_encoder: Encoder) -> None:
    source = tmp_path / "corpus.jsonl"
    no_year = Passage("bad", "No year.", payload={"topic": "space"})
    records = [{"_id": one.id, "text": one.text, **one.payload} for one in (*PASSAGES, no_year)]
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    ingest(
        source, collection="c", path=tmp_path, encoder=tiny_encoder, payload=Article, rejects=tmp_path / "rejects.jsonl"
    )
    found = verify(source, collection="c", path=tmp_path, encoder=tiny_encoder, payload=Article)
    assert (found.equal, found.rejected) == (True, 1)
    assert verify(source, collection="c", path=tmp_path, sample=0).missing == 1
    plan = plan_sync(source, collection="c", path=tmp_path, payload=Article)
    assert (plan.delete, plan.encode, plan.update, plan.rejected) == (0, 0, 0, 1)
