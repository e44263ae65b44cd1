"""Slips in typed filters and in options: each line that says so is refused by both type checkers, and raises when it is run.

A line's comment has what mypy says and what pyright says.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import cast

from tasb_qdrant import Hit, Searcher
from tasb_qdrant.filters import F, at_least, field, fields
from tests.typing.models import Article, search

article = fields(Article)

searcher = cast("Searcher[Article]", object.__new__(Searcher))
hit: Hit[Article] = Hit("1", 1.0, "text", payload=Article(year=2020))

search(article.yaer >= 2020)  # E: has no attribute "yaer" | Attribute "yaer" is unknown
search(article.year >= "2020")  # E: Unsupported operand types for >= | Operator ">=" not supported
search(article.year == "2020")  # E: Non-overlapping equality check | have no overlap
search(article.lang == "fr")  # E: Non-overlapping equality check | have no overlap
search(article.draft == "true")  # E: Non-overlapping equality check | have no overlap
search(article.title >= 3)  # E: Unsupported operand types for >= | Operator ">=" not supported
search(article.tags == "solar" and True)  # E: Non-overlapping equality check | have no overlap
search(article.editor.nmae == "Ada")  # E: has no attribute "nmae" | Attribute "nmae" is unknown
search(article.authors.name == "Ada")  # E: has no attribute "name" | Attribute "name" is unknown
search(article.year.in_([2020]))  # E: has no attribute "in_" | Attribute "in_" is unknown
search(article.year)  # E: incompatible type "int" | "int" is not assignable to
search(F("year"))  # E: incompatible type "F" | "F" is not assignable to
search(field(article.year))  # E: incompatible type "Field[int]" | "Field[int]" is not assignable to
search(field(article.yaer) >= 2020)  # E: has no attribute "yaer" | Attribute "yaer" is unknown
search(field(article.year) >= "2020")  # E: Unsupported operand types for >= | Operator ">=" not supported
search(field(article.year) == "2020")  # E: incompatible type "OtherType" | "OtherType" is not assignable to
search(field(article.year) != "2020")  # E: incompatible type "OtherType" | "OtherType" is not assignable to
search(field(article.ref) == 3)  # E: incompatible type "OtherType" | "OtherType" is not assignable to
search(field(article.year) == None)  # E: incompatible type "OtherType" | "OtherType" is not assignable to
search(field(article.tags) == 3)  # E: incompatible type "OtherType" | "OtherType" is not assignable to
search(field(article.subtitle) >= "x")  # E: Unsupported operand types | Operator ">=" not supported
search(field(article.published) >= 2020)  # E: Unsupported operand types for >= | Operator ">=" not supported
search(field(article.day).between(1, 2))  # E: has incompatible type "int" | cannot be assigned to parameter "low"
search(field(article.year).in_(["2020"]))  # E: has incompatible type "str" | parameter "values" of type "Iterable[int]"
search(field(article.year).contains("x"))  # E: Invalid self argument | Could not bind method "contains"
search(field(article.year).within(km=1, of=(1, 2)))  # E: Invalid self argument | Could not bind method "within"
search(field(article.title).contains(3))  # E: incompatible type "int" | "Literal[3]" is not assignable to "str"
search(field(article.authors).inside.nmae == "Ada")  # E: has no attribute "nmae" | Attribute "nmae" is unknown
search(field(article.authors).inside.name == 3)  # E: Non-overlapping equality check | have no overlap
search(field("year") >= datetime(2020, 1, 1, tzinfo=UTC))  # E: Unsupported operand types | Operator ">=" not supported
search(field(article.year) & (field(article.day) > date(2020, 1, 1)))  # E: Unsupported operand types | Operator "&"
search(field(article.authors).any(lambda author: author.nmae == "Ada"))  # E: no attribute "nmae" | "nmae" is unknown
search(field(article.authors).any(lambda author: field(author.age) > "x"))  # E: Unsupported operand | Operator ">"
search(field(article.authors).any(lambda author: author.papers))  # E: type "Callable | "int" is not assignable to
search(field(article.tags).count() >= "2")  # E: Unsupported operand types for >= | Operator ">=" not supported
search(field(article.year).contains_phrase("x"))  # E: Invalid self argument | Could not bind method "contains_phrase"
search(at_least(1, field(article.year), F("x") == 1))  # E: incompatible type "Field[int]" | "Field[int]" is not
search(hit.payload.yaer == 2020)  # E: has no attribute "yaer" | Cannot access attribute "yaer"
search(hit.payload.year)  # E: incompatible type "int" | "int" is not assignable to
searcher.search("q", limmit=3)  # E: Unexpected keyword argument "limmit" | No parameter named "limmit"
searcher.search("q", limit="3")  # E: incompatible type "str"; expected "int" | cannot be assigned to parameter "limit"
searcher.search_batch(["q"], limmit=3)  # E: Unexpected keyword argument "limmit" | No parameter named "limmit"
searcher.search_batch(["q"], limit="3")  # E: incompatible type "str"; expected "int" | parameter "limit"
searcher.search_batch(["q"], mode="sparse")  # E: incompatible type "Literal['sparse']" | parameter "mode"
searcher.search_groups("q")  # E: Missing named argument "by" | Argument missing for parameter "by"
searcher.search_groups("q", by="x", offset=3)  # E: Unexpected keyword argument "offset" | No parameter named "offset"
searcher.recommend(["a"], mode="hybrid")  # E: Unexpected keyword argument "mode" | No parameter named "mode"
searcher.count(exact="no")  # E: incompatible type "str"; expected "bool" | parameter "exact"
list(searcher.scroll(page_size=None))  # E: incompatible type "None"; expected "int" | parameter "page_size"
Searcher("c", devise="cpu")  # E: No overload variant of "Searcher" matches | No overloads for "__init__" match
Searcher("c", cache_ttl="5")  # E: No overload variant of "Searcher" matches | assigned to parameter "cache_ttl"
