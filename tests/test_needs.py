"""Tests are marked by what they use, and fail where they use what they aren't marked with."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests import models
from tests.models import minilm_folder
from tests.needs import needed_by
from tests.qdrant_cluster import qdrant_cluster
from tests.qdrant_servers import QdrantServer


def _in_a_helper() -> Path:
    return minilm_folder()


@functools.cache
def _remembered() -> Path:
    return _in_a_helper()


class _Home:
    @functools.cached_property
    def server(self) -> QdrantServer:
        return QdrantServer.start("1.17.0", Path())


def _through_a_module() -> Path:
    return models.make_tasb_like(Path())


def _in_a_lambda() -> object:
    return lambda: [_remembered() for _ in range(3)]


def _a_cluster() -> object:
    return qdrant_cluster(Path())


@pytest.mark.parametrize(
    ("function", "needed"),
    [
        (_in_a_helper, {"model"}),
        (_remembered, {"model"}),
        (_through_a_module, {"model"}),
        (_in_a_lambda, {"model"}),
        (lambda: _Home(), {"server"}),
        (_a_cluster, {"server"}),
        (lambda: Path(), set()),
    ],
)
def test_what_a_function_needs_is_found_through_whatever_it_names(function: object, needed: set[str]) -> None:
    assert needed_by([function]) == needed


HIDDEN = {"start": QdrantServer.start}  # in a table, where looking doesn't find it


def test_what_is_used_without_its_marker_fails_by_name(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"by_name needs a server: mark it with @pytest\.mark\.server"):
        HIDDEN["start"]("1.17.0", tmp_path)
