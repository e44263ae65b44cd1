"""Payload models: the indexes they ask for, payloads read into them, and filters on their fields."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import AliasChoices, BaseModel, PositiveInt
from pydantic import Field as PydanticField

from tasb_qdrant.errors import FilterError, FilterTypeError, PayloadInvalidError, SettingsError
from tasb_qdrant.filters import (
    F,
    Filter,
    GeoPoint,
    Indexed,
    as_filter,
    at_least,
    field,
    fields,
    indexes_of,
    validate_payload,
)
from tasb_qdrant.settings import CollectionSettings
from tests.typing.models import Article, Colour


class Tree(BaseModel):
    label: Annotated[str, Indexed()]
    children: list[Tree] = []


class Odd(BaseModel):
    spaced: Annotated[int, Indexed()] = PydanticField(alias="odd name")
    many: list[Annotated[PositiveInt, Indexed()]] | None = None
    either: Annotated[int | float, Indexed()] = 0
    anything: Annotated[Any, Indexed("keyword")] = None
    word: Annotated[str, Indexed("uuid")] = ""


article: Any = fields(Article)  # Any: what type checkers make of it is tests/typing's


def test_a_models_indexes_follow_from_its_types() -> None:
    assert indexes_of(Article) == {
        "year": "integer",
        "score": "float",
        "draft": "bool",
        "title": "text",
        "lang": "keyword",
        "published": "datetime",
        "day": "datetime",
        "ref": "uuid",
        "place": "geo",
        "tags": "keyword",
        "author.name": "keyword",
        "author.age": "integer",
        "editor.name": "keyword",
        "editor.age": "integer",
        "authors[].name": "keyword",
        "authors[].age": "integer",
    }
    assert indexes_of(Odd) == {
        "`odd name`": "integer",
        "many": "integer",
        "either": "float",
        "anything": "keyword",
        "word": "uuid",
    }
    assert CollectionSettings(indexes=indexes_of(Odd)).indexes['"odd name"'] == "integer"


def test_a_model_inside_itself_is_entered_once() -> None:
    assert indexes_of(Tree) == {"label": "keyword"}
    tree: Any = fields(Tree)
    assert (tree.children[0].children[1].label == "x") == (F("children[0].children[1].label") == "x")


def _with(annotation: Any) -> Any:
    return type("Model", (BaseModel,), {"__annotations__": {"x": annotation}, "__module__": __name__})


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (Annotated[int, Indexed("text")], r"Model.x is int, but a text index holds str"),
        (Annotated[str | int, Indexed()], "which doesn't determine an index type"),
        (Annotated[dict[str, int], Indexed()], "which doesn't determine an index type"),
        (Annotated[GeoPoint, Indexed("keyword")], "is GeoPoint, but a keyword index"),
        (Annotated[int, Indexed("number")], "no index type 'number'"),  # type: ignore[arg-type]  # the slip under test
        (Annotated[int, Indexed], r"write Indexed\(\)"),
        (Annotated[int, PydanticField(validation_alias=AliasChoices("a", "b"))], "has only one name"),
    ],
)
def test_a_model_that_makes_no_sense_is_refused(annotation: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        indexes_of(_with(annotation))


def test_what_is_no_model_is_refused() -> None:
    for other in (int, "Article", Article(year=1)):
        with pytest.raises(SettingsError, match="class Article"):
            fields(other)  # type: ignore[arg-type]  # the slip under test


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        (article.year >= 2020, F("year") >= 2020),
        (article.tags == "solar", F("tags") == "solar"),
        (article.ref == uuid.UUID(int=1), F("ref") == str(uuid.UUID(int=1))),
        (article.colour != Colour.RED, F("colour") != "red"),
        (article.day < date(2020, 1, 1), F("day") < date(2020, 1, 1)),
        (article.published <= datetime(2020, 1, 1, tzinfo=UTC), F("published") <= date(2020, 1, 1)),
        (article.editor.name == "Ada", F("editor.name") == "Ada"),
        (article.authors[1].age > 3, F("authors[1].age") > 3),
        (field(article.authors).inside.name == "Ada", F("authors[].name") == "Ada"),
        (field(article.author).inside.name == "Ada", F("author.name") == "Ada"),
        (field(article.score).between(1, 2.5), F("score").between(1, 2.5)),
        (field(article.lang).in_(["en"]), F("lang").in_(["en"])),
        (field(article.place).within(km=1, of=(1, 2)), F("place").within(km=1, of=(1, 2))),
        (field(article.tags).count() >= 2, F("tags").count() >= 2),
        (field(article.title).contains_any("a b"), F("title").contains_any("a b")),
        (field(article.title).contains_phrase("a b"), F("title").contains_phrase("a b")),
        (field(article.place).in_polygon([(0, 0), (0, 1), (1, 1)]), F("place").in_polygon([(0, 0), (0, 1), (1, 1)])),
        (
            field(article.authors).any(lambda author: author.name == "Ada", lambda author: author.age > 30),
            F("authors").any(F("name") == "Ada", F("age") > 30),
        ),
        (at_least(1, article.year == 1, article.draft == True), at_least(1, F("year") == 1, F("draft") == True)),  # noqa: E712  # as filters are written
        (fields(Odd).spaced == 1, F("`odd name`") == 1),
    ],
)
def test_a_typed_comparison_is_the_plain_one(typed: Filter | bool, plain: Filter) -> None:
    assert as_filter(typed) == plain


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: article.year == "2020", 'year is declared as int, got the string "2020"'),
        (lambda: article.year == True, "declared as int, got the boolean True"),  # noqa: E712  # as filters are written
        (lambda: article.year > 2019.5, "declared as int, got the float"),
        (lambda: article.lang == "fr", "declared as 'en' or 'de'"),
        (lambda: article.colour == "green", "declared as 'red' or 'blue'"),
        (lambda: article.title > "x", "no order"),
        (lambda: article.draft > 1, "declared as bool"),
        (lambda: article.published == "2020-01-01", "declared as datetime"),
        (lambda: article.authors == "Ada", r"a list of Author.*inside\.name"),
        (lambda: field(article.tags).in_(["x", 3]), "a list of str, got the integer 3"),
        (lambda: field(article.year).contains("x"), "declared as int"),
        (lambda: field(article.year).within(km=1, of=(1, 2)), "got the place"),
    ],
)
def test_a_value_of_another_type_is_refused_at_once(build: Callable[[], object], message: str) -> None:
    with pytest.raises(FilterTypeError, match=message) as caught:
        build()
    assert caught.value.declared_as is not None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: article.yaer, "Article has no field 'yaer'; closest: year"),
        (lambda: article.editor.nmae, "Author has no field 'nmae'; closest: name"),
        (lambda: article.authors.name, r"a list of Author; write field\(fields\(Article\)\.authors\)\.inside"),
        (lambda: article.year.in_, r"field\(fields\(Article\)\.year\)\.in_"),
        (lambda: article.year[0], "is not a list"),
        (lambda: article.authors[-1], "0 or more"),
        (lambda: article.year == article.score, "two fields"),
        (lambda: article.year == None, r"is_null\(\)"),  # noqa: E711  # the slip under test
        (lambda: article == 1, "whole payload"),
        (lambda: as_filter(article.draft), "compare a field with a value"),
        (lambda: as_filter(True), "True is not a filter"),
        (lambda: field(article.author).any(lambda author: author.name == "Ada"), "not a list"),
        (lambda: field(article.tags).any(lambda tag: tag == "x"), "has no fields"),
        (lambda: field(article.authors).any(lambda author: author.nmae == "Ada"), "closest: name"),
        (lambda: field(article.authors).any(lambda author: author.papers), "is not a filter"),
        (lambda: field("year"), r"field\(fields\(Article\)\.year\)"),
    ],
)
def test_a_slip_is_told_what_to_write(build: Callable[[], object], message: str) -> None:
    with pytest.raises(FilterError, match=message):
        build()


@pytest.mark.parametrize(
    "build",
    [
        lambda: "solar" in article.tags,
        lambda: list(article.tags),
        lambda: bool(article.draft),
        lambda: article.year & (article.draft == True),  # noqa: E712  # as filters are written
        lambda: (article.year > 1) and (article.year < 3),
        lambda: (article.year > 1) & True,
        lambda: False | (article.year > 1),
        lambda: hash(article.year),
    ],
)
def test_pythons_own_logic_is_refused(build: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        build()


def test_a_payload_is_read_as_strictly_as_filters_compare() -> None:
    read = validate_payload(
        Article,
        {"year": 2020, "published": "2020-01-31T10:00:00Z", "ref": str(uuid.UUID(int=1)), "colour": "blue"}
        | {"place": {"lat": 1, "lon": 2.5}, "years": [1, 2], "authors": [{"name": "Ada", "age": None}]},
        passage_id="a",
    )
    assert (read.colour, read.place, read.years) == (Colour.BLUE, GeoPoint(1, 2.5), (1, 2))
    assert read.published == datetime(2020, 1, 31, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("payload", "where", "message"),
    [
        ({"year": "2020"}, "year", "valid integer, got '2020'"),
        ({"year": True}, "year", "got True"),
        ({}, "year", "it is missing"),
        ({"year": 1, "authors": [{"name": "Ada"}, {"name": 3}]}, "authors[1].name", "valid string, got 3"),
        ({"year": 1, "published": "2020-01-31"}, "published", "a date without a time"),
        ({"year": 1, "lang": "fr"}, "lang", "'en' or 'de', got 'fr'"),
    ],
)
def test_a_payload_that_is_not_the_models_is_a_named_error(payload: dict[str, Any], where: str, message: str) -> None:
    with pytest.raises(PayloadInvalidError, match=message) as caught:
        validate_payload(Article, payload, passage_id="p 1")
    error = caught.value
    assert (error.passage_id, error.model, error.field, error.others) == ("p 1", "Article", where, 0)
    assert "passage 'p 1' is not a valid Article" in str(error)


def test_choices_of_a_literal_with_enum_members_are_their_values() -> None:
    model: Any = fields(_with(Literal[Colour.RED, "green"]))
    assert (model.x == Colour.RED) == (F("x") == "red")
    with pytest.raises(FilterTypeError, match="'red' or 'green'"):
        model.x == Colour.BLUE  # noqa: B015  # raises


def test_importing_typed_filters_loads_nothing_heavy() -> None:
    code = "import sys; from tasb_qdrant.filters import fields, validate_payload; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"pydantic", "lark", "qdrant_client", "numpy"}
