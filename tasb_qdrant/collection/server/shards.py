"""How many shards a new collection gets: as many as its nodes can write to side by side.

One worker of the server writes to a shard. On 16 cores one shard took 43,000 points of 768 numbers a second, four
88,000 and eight 107,000; shards can't be changed later. What a search costs follows from the segments, which are
searched one by one: a shard has as many as a whole collection would, unless it is told to have fewer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tasb_qdrant.settings import CollectionSettings

CORES_EACH: Final = 4
"""Cores of a node for each of its shards: four shards on 16 cores take 82% of what eight do, and leave some cores to
those who load and search."""

PASSAGES_EACH: Final = 50_000
"""A shard takes them in a second or two, so that fewer aren't worth another one."""

MOST_EACH: Final = 8
"""Shards of one node, copies of others' included: more were not measured."""


@dataclass(frozen=True, slots=True)
class Shards:
    """What a new collection gets (None: the server's own default), and what a person is told of it."""

    number: int | None
    segments: int | None = None
    notes: tuple[str, ...] = ()


def choose_shards(
    settings: CollectionSettings,
    *,
    passages: int | None,
    nodes: Callable[[], int | None],
    cores: Callable[[], int | None],
    replicas: int = 1,
) -> Shards:
    """What the settings say, else what suits so many `passages`: of an unknown number (None) the server decides, as few
    would be searched in many shards for ever. `nodes`, and `cores` of one of them, are called if need be: None if it
    isn't known. Each shard is on `replicas` of the nodes, which all write to it."""
    if settings.shards is not None or passages is None or passages < 2 * PASSAGES_EACH:
        return Shards(settings.shards)
    if (of_each := cores()) is None or of_each < 2 * CORES_EACH or (there := nodes()) is None:
        return Shards(None)
    copies = min(replicas, there)
    each = min(of_each // CORES_EACH, MOST_EACH, passages * copies // (PASSAGES_EACH * there))
    if each < 2:
        return Shards(None)
    number = each * there // copies
    spread = "its server has" if there == 1 else f"each of its {there} nodes has"
    kept = f" and {copies} nodes keep each passage" if copies > 1 else ""
    note = (
        f"The collection is made with {number} shards, as {spread} {of_each} cores{kept}; --shards says how many "
        "otherwise."
    )
    return Shards(number, segments=max(1, segments_of(of_each) // each), notes=(note,))


def segments_of(cores: int) -> int:
    """How many segments a server with so many cores keeps in each shard that isn't told otherwise."""
    return min(8, max(2, cores // 2))
