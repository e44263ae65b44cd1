"""The kinds of faults, by number: a case's seed is its kind's number times a million, plus its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.faults.case import Case
from tests.faults.kinds import kill, replies, server, signals
from tests.faults.trial import Injection

_CASES_OF_A_KIND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault. `cases` are those of the long form; `row` is its row in the report."""

    number: int
    name: str
    row: str
    cases: int
    inject: Injection

    def case(self, number: int) -> Case:
        """Its case of that number."""
        return Case(self.name, number, self.number * _CASES_OF_A_KIND + number)


KINDS: Final = (
    Kind(1, "kill-point", "SIGKILL at a named point", 2 * len(kill.combinations()), kill.at_point),
    Kind(2, "kill-sent", "SIGKILL with a request sent", 100, kill.at_sent),
    Kind(3, "kill-random", "SIGKILL at a random time", 300, kill.at_random),
    Kind(4, "signal", "SIGINT, SIGTERM, SIGINT twice", 300, signals.at_random),
    Kind(5, "server-kill", "SIGKILL of the only server, restarted", 150, server.killed),
    Kind(6, "node-kill", "SIGKILL of a node of three, restarted", 60, server.node_killed),
    Kind(7, "server-stop", "SIGSTOP of the only server", 80, server.stopped),
    Kind(8, "node-stop", "SIGSTOP of a node of three", 60, server.node_stopped),
    Kind(
        9,
        "wire",
        "every Nth reply dropped, reset, cut, delayed, doubled",
        len(replies.every_nth_cases()),
        replies.every_nth,
    ),
    Kind(10, "reply", "scripted replies", len(replies.scripted_cases()), replies.scripted),
)


def kind_named(name: str) -> Kind:
    """Raises KeyError."""
    return {kind.name: kind for kind in KINDS}[name]


def of_seed(seed: int) -> tuple[Kind, Case]:
    """The kind and the case that this is the seed of. Raises KeyError."""
    number, case = divmod(seed, _CASES_OF_A_KIND)
    kind = {kind.number: kind for kind in KINDS}[number]
    return kind, kind.case(case)
