"""The options of ingests and verifications are said once: what can be set behind them can be given in front."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, ForwardRef

import pytest

from tasb_qdrant import Passage, ingest, verify
from tasb_qdrant.encoder.options import EncoderChoice, EncoderOptions
from tasb_qdrant.errors import SettingsError
from tasb_qdrant.ingest import plan_sync
from tasb_qdrant.ingest.options import IngestOptions, RunChoice, RunOptions
from tasb_qdrant.ingest.source.open import Source, SourceOptions
from tasb_qdrant.ingest.verify.plan import PlanOptions
from tasb_qdrant.ingest.verify.run import VerifyOptions
from tasb_qdrant.settings import StoreOptions, StoreSettings
from tests.ingest.fakes import StubEncoder


def given(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function beside those that name the source and the collection."""
    return {
        name: one
        for name, one in inspect.signature(function).parameters.items()
        if name not in ("source", "collection")
    }


def said(options: Any) -> dict[str, str]:
    """Name -> type of a dictionary's options."""
    kinds = options.__annotations__.items()
    return {name: kind.__forward_arg__ if isinstance(kind, ForwardRef) else kind for name, kind in kinds}


def behind() -> dict[str, object]:
    """Name -> default of the values that a run makes of its options."""
    values: dict[str, object] = {name: one.default for name, one in StoreSettings.model_fields.items()}
    for value in (EncoderChoice, Source, RunChoice):
        values |= {one.name: one.default for one in fields(value)}
    return values


def test_the_signature_of_ingest_is_that_of_its_options() -> None:
    parameters = given(ingest)
    assert {name: one.annotation for name, one in parameters.items()} == said(IngestOptions)
    values = behind()
    assert {name: one.default for name, one in parameters.items()} == {name: values[name] for name in parameters}


@pytest.mark.parametrize(("function", "options"), [(verify, VerifyOptions), (plan_sync, PlanOptions)])
def test_the_others_take_the_same_options(function: Callable[..., Any], options: Any) -> None:
    parameters, values = given(function), behind()
    shared = said(options)
    assert {name: parameters[name].annotation for name in shared} == shared
    assert {name: parameters[name].default for name in shared} == {name: values[name] for name in shared}


def test_every_option_has_a_value_behind_it() -> None:
    assert RunOptions.__optional_keys__ == {one.name for one in fields(RunChoice)}
    assert SourceOptions.__optional_keys__ == {one.name for one in fields(Source)} - {
        "given", "indexes", "ignored", "limit", "stored", "opened", "splitting", "nulled",
    }  # fmt: skip
    parts = (StoreOptions, EncoderOptions, SourceOptions, RunOptions)
    assert sum(len(part.__optional_keys__) for part in parts) == len(IngestOptions.__optional_keys__)


@pytest.mark.parametrize("function", [ingest, verify, plan_sync])
def test_an_unknown_option_is_a_type_error(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'overwite'"):
        function([], collection="c", overwite=True)


@pytest.mark.parametrize("function", [ingest, verify, plan_sync])
def test_how_long_requests_are_tried_again_can_be_set(function: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="retry_seconds: Input should be greater than or equal to 0, got -1"):
        function([], collection="c", path=tmp_path, retry_seconds=-1.0)


def test_options_reach_what_they_are_for(tmp_path: Path) -> None:
    told: list[str] = []
    report = ingest(
        [Passage("1", "one")],
        collection="c",
        path=tmp_path,
        retry_seconds=0.0,
        encoder=StubEncoder(),
        optimize=False,
        on_progress=lambda now: told.append(now.phase),
    )
    assert report.stored == 1
    assert "building the vector index" not in told
