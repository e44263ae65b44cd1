"""A payload model with a field of every type."""

from __future__ import annotations

import enum
from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel

from tasb_qdrant.filters import Filter, GeoPoint, Indexed, as_filter


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Author(BaseModel):
    name: Annotated[str, Indexed()]
    age: Annotated[int | None, Indexed()] = None
    papers: int = 0


class Article(BaseModel):
    year: Annotated[int, Indexed()]
    score: Annotated[float, Indexed()] = 0.0
    draft: Annotated[bool, Indexed()] = False
    title: Annotated[str, Indexed("text")] = ""
    subtitle: str | None = None
    lang: Annotated[Literal["en", "de"], Indexed()] = "en"
    colour: Colour = Colour.RED
    published: Annotated[datetime | None, Indexed()] = None
    day: Annotated[date | None, Indexed()] = None
    ref: Annotated[UUID | None, Indexed()] = None
    place: Annotated[GeoPoint | None, Indexed()] = None
    tags: list[Annotated[str, Indexed()]] = []
    years: tuple[int, ...] | None = None
    author: Author | None = None
    editor: Author = Author(name="Ada")
    authors: list[Author] = []


def search(where: Filter | bool) -> Filter:
    """What takes a filter, as Searcher.search does."""
    return as_filter(where)
