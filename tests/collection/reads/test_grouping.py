"""Groups by our own queries: those of a brute force, whatever is asked and however many rounds it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasb_qdrant.collection.edge.collection import EdgeCollection
from tasb_qdrant.collection.reads import grouping
from tasb_qdrant.collection.reads.questions import Nearest, QueryOptions
from tests.collection.reads.world import DIM, World, embedded
from tests.ranking import mistake_in_groups

EXACT: Final = QueryOptions(exact=True, payload=False)

CROWDED: Final = ["big"] * 150 + [f"small {n // 2}" for n in range(40)]


def _values(rng: np.random.Generator) -> list[Any]:
    kinds: list[Any] = ["a", "b", "c", "1", 1, 2, -3, 2.5, True, None]
    several: list[Any] = ["a", "b", "d", "e", 1, 4, 5, 0.5, None]
    return [
        kinds[int(rng.integers(len(kinds)))]
        if rng.random() < 0.5
        else [several[int(n)] for n in rng.integers(len(several), size=int(rng.integers(4)))]
        for _ in range(len(CROWDED))
    ]


WORLD: Final = replace(
    World.make().part(len(CROWDED)),
    payloads=[
        {"odd": odd, "crowded": crowded, "none": none}
        for odd, crowded, none in zip(
            _values(np.random.default_rng(3)), CROWDED, [1.5, True, None, [], [0.5]] * 38, strict=True
        )
    ],
)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeCollection]:
    with embedded(WORLD, tmp_path_factory.mktemp("groups")) as opened:
        yield opened


@pytest.fixture(scope="module", params=[(1, None), (2, None), (7, None), (2, 2)], autouse=True)
def _few(request: pytest.FixtureRequest) -> Iterator[None]:
    """So few candidates at first that there are several rounds; and requests that name two values at most."""
    candidates, named = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "LEAST_CANDIDATES", candidates)
        if named is not None:
            patch.setattr(grouping, "MOST_EXCEPT", named)
        yield


@settings(max_examples=40)
@given(
    by=st.sampled_from(["odd", "crowded", "none"]),
    seed=st.integers(0, 1_000),
    limit=st.integers(1, 8),
    size=st.integers(1, 3),
)
def test_groups_are_those_of_a_brute_force(
    collection: EdgeCollection, by: str, seed: int, limit: int, size: int
) -> None:
    vector = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    groups = collection.reads.query_groups(Nearest(vector), replace(EXACT, limit=limit), by=by, size=size)
    found = [(group.value, [point.id for point in group.points]) for group in groups]
    assert not mistake_in_groups(WORLD.ranking(vector), WORLD.values(by), found, limit=limit, size=size)
