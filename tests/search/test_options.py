"""The options of both searchers: said once, explained, and the same wherever they are spelled out."""

from __future__ import annotations

import ast
import inspect
import typing
from pathlib import Path
from typing import Any

import pytest

import tasb_qdrant
from tasb_qdrant import AsyncSearcher, Searcher
from tasb_qdrant.collection.open import OpenOptions
from tasb_qdrant.encoder.options import EncoderOptions
from tasb_qdrant.search.options import SearchOptions
from tasb_qdrant.search.session import SearcherOptions

PACKAGE = Path(tasb_qdrant.__file__).parent
DICTIONARIES = [
    "search/options.py",
    "search/session.py",
    "settings/store.py",
    "encoder/options.py",
    "collection/open.py",
]


def _keywords(method: Any) -> dict[str, tuple[object, object]]:
    """Name -> (annotation, default) of each keyword-only parameter."""
    parameters = inspect.signature(method).parameters.values()
    return {each.name: (each.annotation, each.default) for each in parameters if each.kind is each.KEYWORD_ONLY}


def test_the_signature_that_is_spelled_out_is_that_of_the_dictionary() -> None:
    """`Searcher.search` names each option itself: Jedi completes nothing of an Unpack."""
    spelled_out = _keywords(Searcher.search)
    assert spelled_out == _keywords(Searcher.search_batch) == _keywords(AsyncSearcher.search)
    assert list(spelled_out) == list(SearchOptions.__annotations__)


def test_no_option_of_a_searcher_is_left_out_of_its_signature() -> None:
    named = set(_keywords(Searcher.__init__))
    assert named == SearcherOptions.__optional_keys__ | {"payload"}
    assert named >= OpenOptions.__optional_keys__ | EncoderOptions.__optional_keys__
    assert set(_keywords(AsyncSearcher.__init__)) == named | {"max_wait"}


@pytest.mark.parametrize("kind", [Searcher, AsyncSearcher])
def test_a_searcher_keeps_its_overloads(kind: type) -> None:
    assert len(typing.get_overloads(vars(kind)["__init__"].__wrapped__)) == 2


def test_an_unknown_option_is_a_type_error_that_names_the_method() -> None:
    searcher: Any = object.__new__(Searcher)
    for name, arguments in (("search_batch", (["q"],)), ("recommend", (["a"],)), ("count", ()), ("scroll", ())):
        with pytest.raises(TypeError, match=rf"Searcher\.{name}\(\) got an unexpected keyword argument 'limmit'"):
            getattr(searcher, name)(*arguments, limmit=3)


@pytest.mark.parametrize("path", DICTIONARIES)
def test_every_option_is_explained_where_editors_look(path: str) -> None:
    """By the string after it: pyright shows that on hover."""
    unexplained = []
    for node in ast.parse((PACKAGE / path).read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Options"):
            for option, after in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(option, ast.AnnAssign) and not _is_text(after):
                    unexplained.append(f"{node.name}: {ast.unparse(option)}")
    assert not unexplained


def _is_text(node: ast.stmt | None) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
