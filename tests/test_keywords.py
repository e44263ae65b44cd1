"""Options said once look, to callers and to `help`, as if each function had spelled them out."""

from __future__ import annotations

import asyncio
import inspect
import pydoc
from dataclasses import dataclass
from typing import TypedDict, Unpack, get_type_hints

import pytest
from pydantic import BaseModel

from tasb_qdrant import keywords
from tasb_qdrant.collection.open import OpenOptions, open_collection
from tasb_qdrant.encoder.options import EncoderChoice, EncoderOptions
from tasb_qdrant.keywords import chosen, expanded_signature, option_docs
from tasb_qdrant.settings import ReadingStoreOptions, StoreSettings, store_settings


class Colour(TypedDict, total=False):
    hue: int
    """Degrees."""


class Paint(Colour, total=False):
    gloss: bool | None


@dataclass(frozen=True)
class Defaults:
    hue: int = 120


class Model(BaseModel):
    gloss: bool | None = None


def shine(*, gloss: bool | None = True) -> None:
    """A function that owns a default."""


@expanded_signature(Defaults, Model)
def paint(wall: str, **options: Unpack[Paint]) -> str:
    """Paint it."""
    return f"{wall} {sorted(options.items())}"


@expanded_signature(Defaults, shine)
async def paint_slowly(wall: str, *, coats: int = 7, **options: Unpack[Paint]) -> int:
    return coats


def test_every_option_stands_in_the_signature_with_its_type_and_default() -> None:
    assert str(inspect.signature(paint)) == "(wall: 'str', *, hue: 'int' = 120, gloss: 'bool | None' = None) -> 'str'"
    assert "gloss" in pydoc.plain(pydoc.render_doc(paint))


def test_the_docstring_ends_with_what_each_option_means() -> None:
    assert paint.__doc__ == "Paint it.\n\nOptions:\n    hue: Degrees."
    assert paint_slowly.__doc__ == "Options:\n    hue: Degrees."
    assert option_docs(Paint) == {"hue": "Degrees."}  # also what a base says
    assert "retry_seconds: Seconds for which a request that failed" in pydoc.plain(pydoc.render_doc(open_collection))


def test_options_have_no_meanings_where_the_source_is_not_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: object) -> str:
        raise OSError("could not get source code")

    monkeypatch.setattr(inspect, "getsource", gone)
    keywords._classes.cache_clear()
    assert option_docs(Paint) == {}
    keywords._classes.cache_clear()


def test_only_what_was_given_reaches_the_function() -> None:
    assert paint("north", hue=3) == "north [('hue', 3)]"


def test_an_unknown_name_is_a_type_error_that_names_the_function_and_the_option() -> None:
    with pytest.raises(TypeError, match=r"paint\(\) got an unexpected keyword argument 'hew'"):
        paint("north", hew=3)  # type: ignore[call-arg]  # what type checkers refuse, too


def test_a_coroutine_function_stays_one_and_its_own_parameters_go_first() -> None:
    assert inspect.iscoroutinefunction(paint_slowly)
    assert str(inspect.signature(paint_slowly)).startswith("(wall: 'str', *, coats: 'int' = 7, hue: 'int' = 120, gloss")
    assert asyncio.run(paint_slowly("north")) == 7
    with pytest.raises(TypeError, match="unexpected keyword argument 'hew'"):
        asyncio.run(paint_slowly("north", hew=3))  # type: ignore[call-arg]


def test_an_option_without_a_default_is_noticed_when_the_module_is_imported() -> None:
    with pytest.raises(TypeError, match="no default for gloss"):

        @expanded_signature(Defaults)
        def forgotten(**options: Unpack[Paint]) -> None: ...


def test_a_function_without_options_is_noticed_too() -> None:
    with pytest.raises(TypeError, match="must end with"):

        @expanded_signature(Defaults)
        def none_at_all(**options: int) -> None: ...


def test_a_part_of_the_options_is_chosen_by_its_dictionary() -> None:
    given: Paint = {"hue": 1, "gloss": None}
    assert chosen(Colour, given) == {"hue": 1}


def test_no_option_of_a_store_or_an_encoder_drifts() -> None:
    """What can be set can be given, under the same name: `retry_seconds` once could not."""
    assert ReadingStoreOptions.__optional_keys__ == set(StoreSettings.model_fields)
    assert EncoderOptions.__optional_keys__ == set(get_type_hints(EncoderChoice))
    assert ReadingStoreOptions.__optional_keys__ == set(inspect.signature(store_settings).parameters)
    assert OpenOptions.__optional_keys__ == set(inspect.signature(open_collection).parameters) - {"name"}
