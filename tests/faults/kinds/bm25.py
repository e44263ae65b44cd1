"""The same faults while passages get words beside their vector (`--bm25`)."""

from __future__ import annotations

from typing import Final

from tests.faults.kinds import kill, replies, signals
from tests.faults.trial import Injection, Trial

_FAULTS: Final[tuple[Injection, ...]] = (
    kill.at_point,
    kill.at_random,
    kill.at_sent,
    signals.at_random,
    replies.every_nth,
)


def with_words(trial: Trial) -> None:
    """One of the other kinds, by turns."""
    trial.options = trial.rig.bm25
    trial.expected = trial.rig.expected_with_words
    _FAULTS[trial.verdict.case.number % len(_FAULTS)](trial)
    trial.verdict.fault += ", with --bm25"
