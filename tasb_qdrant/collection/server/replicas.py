"""How many copies of each passage a cluster keeps, and how many must confirm a write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tasb_qdrant.settings import CollectionSettings

SAFE_REPLICAS: Final = 3
SAFE_CONSISTENCY: Final = 2
"""With three copies, two of which confirm each write, a node may be lost at any time: a load goes on after
0.5 s, and of the two nodes left at least one has every confirmed passage. Were all three to confirm, a lost
node would stop the load."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """What a new collection gets (None: the server's own default), and a proposal for the person."""

    factor: int | None
    write_consistency: int | None
    notes: tuple[str, ...] = ()


def choose_replicas(settings: CollectionSettings, nodes: Callable[[], int | None]) -> Replicas:
    """What the settings say, or mean by "auto". `nodes` is called if need be: None if it isn't known."""
    consistency = settings.write_consistency
    if isinstance(settings.replicas, int):
        return Replicas(settings.replicas, consistency)
    there = nodes()
    enough = there is not None and there >= SAFE_REPLICAS
    if settings.replicas == "auto" and enough:
        return Replicas(SAFE_REPLICAS, consistency or SAFE_CONSISTENCY)
    if settings.replicas == "auto":
        found = "the server doesn't say how many nodes it has" if there is None else f"the server has {there}"
        return Replicas(
            1, consistency, (f"Each passage is kept on one node: 3 replicas take three nodes, and {found}.",)
        )
    if enough:
        proposal = (
            f"The server is a cluster of {there} nodes, and the new collection keeps each passage on one of them: "
            f"what that node holds is lost with it. For copies on {SAFE_REPLICAS} nodes make the collection with "
            f"--replicas {SAFE_REPLICAS} --write-consistency {SAFE_CONSISTENCY}, or --replicas auto."
        )
        return Replicas(None, consistency, (proposal,))
    return Replicas(None, consistency)
