"""The points at which runs are killed are where the program still has them."""

from __future__ import annotations

import functools
import importlib

import pytest

from tests.faults.points import POINTS, Point


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.when} {point.target}")
def test_a_point_is_at_a_function_of_the_program(point: Point) -> None:
    """Said here in a second, and not by the first run of the harness, in a minute."""
    module, _, names = point.target.partition(":")
    assert callable(functools.reduce(getattr, names.split("."), importlib.import_module(module)))
