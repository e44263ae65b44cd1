"""What a collection is, as its store described it last; and whether it is still the one that was opened."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from tasb_qdrant.collection.limits import UNLIMITED, StoreLimits
from tasb_qdrant.collection.reads.wire import Indexes, Wire
from tasb_qdrant.errors import CollectionChangedError, CollectionError
from tasb_qdrant.printable import logger
from tasb_qdrant.steps import Requests, StoreSteps

if TYPE_CHECKING:
    from tasb_qdrant.collection.schema import CollectionSchema

log: Final = logger(__name__)

STATE_AGE: Final = 5.0
"""Seconds for which a server's word is taken: then the next call asks again, which takes it a millisecond or some. An
alias may be switched to a collection of another model, whose vectors say nothing to the vectors of this one."""

Others: TypeAlias = Literal["none", "refused", "followed"]
"""What becomes of another collection under the same name: there can be "none"; or it is "refused"; or it is "followed",
as if it had been opened, where everything that an open searcher rests on is the same."""


@dataclass(frozen=True, slots=True)
class State:
    """A collection as its store describes it: what it says of itself, its payload indexes, and what it takes. A search
    compares with every match of its filter where they are `most_compared` at most: see `Filtering`. `built` is how much
    of the vector index there is, in powers of two of vectors."""

    schema: CollectionSchema
    indexes: Indexes
    limits: StoreLimits = UNLIMITED
    most_compared: int = 0
    built: int = 0


class KnownState:
    """The state of one collection: read again where it is older than STATE_AGE, and by whoever needs it anew.

    `on_read` is told of each state that was read, and of whether it is another collection's. `clock` gives seconds.
    """

    def __init__(
        self,
        wire: Wire[Any],
        state: State,
        *,
        name: str,
        location: str,
        others: Others,
        on_read: Callable[[State, bool], None] = lambda state, other: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = state
        self._wire = wire
        self._name, self._location = name, location
        self._others = others
        self._on_read = on_read
        self._clock = clock
        self._until = clock() + STATE_AGE
        self._is_other = False

    def refreshed(self) -> StoreSteps[None]:
        """Have the state be recent. Raises CollectionChangedError where another collection has taken the place of this
        one; so does every later call until it is back."""
        if self._others == "none" or (self._clock() < self._until and not self._is_other):
            return
        if not self._is_other:  # one of several threads reads; the others go on with what was known a moment ago
            self._until = self._clock() + STATE_AGE
        yield from self.read()

    def read(self) -> StoreSteps[State]:
        """The state as it is now. Raises CollectionChangedError, and what reading a collection's own record raises."""
        try:
            (found,) = yield Requests([self._wire.state()])
            if self._others != "none":
                self._check(found)
        except CollectionError:
            self._until, self._is_other = float("-inf"), True
            raise
        other = found.schema.id != self.now.schema.id
        if other:
            log.info("%s: collection %r is another one by now, made in the same way", self._location, self._name)
        self.now = found
        self._until, self._is_other = self._clock() + STATE_AGE, False
        self._on_read(found, other)
        return self.now

    def confirmed(self) -> StoreSteps[None]:
        """Have the state be of now, before something is changed."""
        if self._others != "none":
            yield from self.read()

    def has_changed(self) -> StoreSteps[bool]:
        """Whether the state, read now, is another than was known, so that a request that was refused is worth another
        try."""
        if self._others == "none":
            return False
        before = self.now
        now = yield from self.read()
        return (now.schema.id, now.limits, now.indexes.types) != (
            before.schema.id,
            before.limits,
            before.indexes.types,
        )

    def _check(self, found: State) -> None:
        opened, now = self.now.schema, found.schema
        differences = opened.contract.differences(now.contract)
        if opened.keys != now.keys:
            differences.append(("payload keys", opened.keys, now.keys))
        if opened.id != now.id and (differences or self._others == "refused"):
            differences = differences or [("id", opened.id or "none", now.id or "none")]
        if differences:
            raise CollectionChangedError(self._name, differences, location=self._location)
