"""How far a walk in an order has come, without a store."""

from __future__ import annotations

import pytest

from tasb_qdrant.collection.reads.ordered import Ordered, taken
from tasb_qdrant.collection.reads.questions import OrderBy, ScoredPoint, ScrollPage
from tasb_qdrant.errors import RequestRefusedError


def page(*pairs: tuple[int, int]) -> ScrollPage:
    """Ids and values."""
    return ScrollPage([ScoredPoint(each, 0.0) for each, _ in pairs], None, [value for _, value in pairs])


def test_a_full_page_gives_the_values_that_are_complete_by_id() -> None:
    points, walk = taken(Ordered(OrderBy("n"), "integer"), page((5, 1), (3, 1), (9, 2)), limit=3, whole=True)
    assert [point.id for point in points] == [3, 5]
    assert walk is not None
    assert walk.reached == 1


def test_a_value_that_fills_a_page_is_gone_through_by_ids() -> None:
    points, walk = taken(Ordered(OrderBy("n"), "integer"), page((5, 1), (3, 1)), limit=2, whole=True)
    assert points == []
    assert walk is not None
    assert walk.tied == 1


def test_no_request_names_more_integers_than_share_a_double() -> None:
    walk, start = Ordered(OrderBy("n"), "integer"), 2**62
    for value in range(start, start + 5_000, 7):
        walk = walk.beyond([value])
        assert value in walk.given
        assert len(walk.given) <= 1_024
        assert all(int(float(one)) // 1_024 == int(float(one)) / 1_024 for one in walk.given)


def test_a_store_that_gives_a_value_again_is_refused_by_name() -> None:
    walk = Ordered(OrderBy("n"), "integer").beyond([7])
    with pytest.raises(RequestRefusedError, match="after the value 7 the store gives 7 again"):
        taken(walk, page((1, 7), (2, 7)), limit=2, whole=True)
