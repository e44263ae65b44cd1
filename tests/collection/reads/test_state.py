"""What is known of a collection: when it is read again, and what becomes of another one under the same name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tasb_qdrant.collection.limits import StoreLimits
from tasb_qdrant.collection.reads.state import STATE_AGE, KnownState, Others, State
from tasb_qdrant.collection.reads.wire import Indexes
from tasb_qdrant.collection.schema import CollectionSchema
from tasb_qdrant.errors import CollectionChangedError, CollectionNotFoundError
from tasb_qdrant.settings import Bm25Settings, CollectionSettings, PayloadKeys
from tasb_qdrant.steps import Requests, StoreSteps, carry_out
from tests.collection.helpers import CONTRACT


def _state(**changes: Any) -> State:
    contract = replace(CONTRACT, **changes)
    return State(CollectionSchema.of(contract, CollectionSettings()), Indexes({}))


class Asked:
    """A collection whose store says `says`, or raises it, at a time that stands still unless it is set."""

    def __init__(self, opened: State, *, others: Others = "followed") -> None:
        self.says: State | Exception = opened
        self.now, self.reads = 0.0, 0
        self.told: list[bool] = []
        self.known = KnownState(
            self,  # type: ignore[arg-type]  # of a wire it has what is needed here
            opened,
            name="live",
            location="http://here",
            others=others,
            on_read=lambda state, other: self.told.append(other),
            clock=lambda: self.now,
        )

    def state(self) -> str:
        return "the state"

    def run(self, steps: Callable[[], StoreSteps[Any]]) -> Any:
        def carry(step: Requests, _: object) -> list[Any]:
            assert list(step.requests) == ["the state"]
            self.reads += 1
            if isinstance(self.says, Exception):
                raise self.says
            return [self.says]

        return carry_out(steps(), carry)

    def refreshed(self) -> None:
        self.run(self.known.refreshed)


def test_it_is_read_again_once_it_is_too_old() -> None:
    asked = Asked(_state())
    asked.refreshed()
    asked.now = STATE_AGE - 0.01
    asked.refreshed()
    assert asked.reads == 0
    asked.now = STATE_AGE
    asked.refreshed()
    asked.refreshed()
    assert asked.reads == 1
    asked.run(asked.known.confirmed)
    assert asked.reads == 2


def test_one_that_nobody_else_can_change_is_never_read_for_its_age() -> None:
    asked = Asked(_state(), others="none")
    asked.now = 10 * STATE_AGE
    asked.refreshed()
    asked.run(asked.known.confirmed)
    assert not asked.run(asked.known.has_changed)
    assert asked.reads == 0


@pytest.mark.parametrize("change", [{"weights": "b2" * 32}, {"dim": 8}, {"pooling": "mean"}, {"query_prompt": "q: "}])
def test_one_of_another_model_is_refused_until_the_first_is_back(change: dict[str, Any]) -> None:
    opened = _state()
    asked = Asked(opened)
    asked.says, asked.now = _state(**change), STATE_AGE
    for _ in range(3):  # however soon the next call comes
        with pytest.raises(
            CollectionChangedError, match=r"another collection is called 'live' at http://here"
        ) as caught:
            asked.refreshed()
    assert caught.value.differences
    assert caught.value.remedy.startswith("open it again")
    assert asked.reads == 3
    asked.says = opened
    asked.refreshed()
    asked.refreshed()
    assert (asked.reads, asked.known.now) == (4, opened)


def test_one_that_was_made_in_the_same_way_is_followed_with_all_that_is_its_own() -> None:
    asked = Asked(_state())
    made = CollectionSchema.of(CONTRACT, CollectionSettings(bm25=Bm25Settings()), avg_len=7.0)
    other = State(made, Indexes({"n": "integer"}), StoreLimits(page=5))
    asked.says, asked.now = other, STATE_AGE
    asked.refreshed()
    assert (asked.known.now, asked.told) == (other, [True])


def test_a_precision_that_opening_does_not_mind_is_followed() -> None:
    asked = Asked(_state())
    asked.says, asked.now = _state(precision="bf16"), STATE_AGE
    asked.refreshed()
    assert asked.known.now is asked.says


def test_other_names_in_the_payload_are_refused() -> None:
    asked = Asked(_state())
    settings = CollectionSettings(keys=PayloadKeys(text="page_content"))
    asked.says, asked.now = State(CollectionSchema.of(CONTRACT, settings), Indexes({})), STATE_AGE
    with pytest.raises(CollectionChangedError, match="payload keys was"):
        asked.refreshed()


def test_a_load_follows_no_other_collection_however_alike() -> None:
    asked = Asked(_state(), others="refused")
    asked.says, asked.now = _state(), STATE_AGE
    with pytest.raises(CollectionChangedError, match="id was"):
        asked.refreshed()


def test_what_is_raised_leaves_the_state_to_be_read_again() -> None:
    asked = Asked(_state())
    asked.says, asked.now = CollectionNotFoundError("live", location="http://here", available=None), STATE_AGE
    for _ in range(2):
        with pytest.raises(CollectionNotFoundError):
            asked.refreshed()
    assert asked.reads == 2


def test_a_request_is_worth_another_try_only_where_something_has_changed() -> None:
    opened = _state()
    asked = Asked(opened)
    assert not asked.run(asked.known.has_changed)
    asked.says = replace(opened, limits=StoreLimits(page=5))
    assert asked.run(asked.known.has_changed)
    assert not asked.run(asked.known.has_changed)
    asked.says = replace(opened, limits=StoreLimits(page=5), indexes=Indexes({"n": "integer"}))
    assert asked.run(asked.known.has_changed)
