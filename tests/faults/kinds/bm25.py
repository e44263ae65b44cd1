"""The same faults while passages get words beside their vector (`--bm25`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.faults.kinds import kill, replies, signals
from tests.faults.rig import WITH_WORDS
from tests.faults.trial import Injection, Trial

_FAULTS: Final[tuple[Injection, ...]] = (
    kill.at_point,
    kill.at_random,
    kill.at_sent,
    signals.at_random,
    replies.every_nth,
)


def with_words(trial: Trial) -> None:
    """One of the other kinds, any of its cases: drawn, since they go by the case's number, too."""
    trial.options = WITH_WORDS
    trial.expected = trial.rig.expected_with_words
    case = trial.verdict.case
    trial.verdict.case = replace(case, number=trial.chance.randrange(10_000))
    try:
        trial.chance.choice(_FAULTS)(trial)
    finally:
        trial.verdict.case = case
    trial.verdict.fault += ", with --bm25"
