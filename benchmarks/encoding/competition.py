"""The whole run: everyone is prepared, then takes turns, round by round, with the ceilings measured between."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoding.contestants import OURS, Contestant
from benchmarks.encoding.results import Ceiling, Competition, Entry, Whole
from benchmarks.encoding.summary import best_peer
from benchmarks.encoding.texts import Corpus, sample
from benchmarks.encoding.turns import PATIENCE, ROOT, Place, agreement, take_turn, tune, vectors_of
from benchmarks.running.conversation import ContestantFailedError, Conversation
from benchmarks.running.environments import offline

CHECKED = 48
"""The number of passages whose vectors are compared."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to run. `tuned` 0 leaves threads and batch sizes at their defaults."""

    passages: int
    rounds: int
    queries: int
    tuned: int
    batches: tuple[int, ...]


class Runner:
    """Prepares contestants once, then lets them compete any number of times."""

    def __init__(self, place: Place, plan: Plan, corpus: Corpus, queries: Sequence[str]) -> None:
        self._place, self._plan, self._corpus, self._queries = place, plan, corpus, queries
        self._sample = sample(corpus, CHECKED, seed=1)
        self.packages: dict[str, dict[str, str]] = {}

    def prepare(self, contestants: Sequence[Contestant], truth: Contestant) -> list[Entry]:
        """Install, tune and check everyone. Failures are recorded in the entries.

        Raises ContestantFailedError if there are no vectors to compare with."""
        with self._place.invite(truth) as conversation:
            conversation.ask(do="load", threads=0)
            right = vectors_of(conversation, self._sample.texts, batch=8, folder=self._place.build)
        return [self._prepared(contestant, right) for contestant in contestants]

    def _prepared(self, contestant: Contestant, right: NDArray[np.float32]) -> Entry:
        entry = Entry(contestant.name, contestant.title, contestant.precision, contestant.ours)
        say(f"preparing {contestant.name}")
        try:
            with self._place.invite(contestant) as conversation:
                self._tune(conversation, contestant, entry)
                found = vectors_of(conversation, self._sample.texts, batch=entry.batch, folder=self._place.build)
                entry.cosine, entry.length = agreement(found, right)
                packages = conversation.ask(do="environment")["packages"]
                self.packages[contestant.environment or "tasb-qdrant"] = dict(sorted(packages.items()))
        except ContestantFailedError as error:
            entry.failure = str(error)
            say(f"{contestant.name} failed: {error}")
        return entry

    def _tune(self, conversation: Conversation, contestant: Contestant, entry: Entry) -> None:
        if not self._plan.tuned:
            conversation.ask(do="load", threads=0)
            return
        texts = sample(self._corpus, self._plan.tuned, seed=2)
        entry.tuning = tune(conversation, contestant, texts, batches=self._plan.batches)
        entry.threads, entry.batch = entry.tuning[0].threads, entry.tuning[0].batch

    def compete(self, contestants: Sequence[Contestant], entries: Sequence[Entry], *, passages: int) -> Competition:
        """Each round has its own passages, the same for everyone, and starts with a different contestant."""
        found = Competition(list(entries))
        with self._ceiling() as measure:
            for number in range(self._plan.rounds):
                texts = sample(self._corpus, passages, part=number, parts=self._plan.rounds)
                first = number * len(contestants) // self._plan.rounds
                pairs = [*zip(contestants, entries, strict=True)]
                for contestant, entry in pairs[first:] + pairs[:first]:
                    if not entry.failure:
                        self._turn(contestant, entry, texts, number)
                        found.ceilings.append(Ceiling(number, **measure.ask()))
        return found

    def _turn(self, contestant: Contestant, entry: Entry, texts: Corpus, number: int) -> None:
        try:
            turn = take_turn(self._place, contestant, entry, texts, self._queries, number=number)
        except ContestantFailedError as error:
            entry.failure = str(error)
            say(f"{contestant.name} failed: {error}")
            return
        entry.turns.append(turn)
        rate, query = turn.passages / turn.bulk_s, sorted(turn.query_ms)[len(turn.query_ms) // 2]
        say(f"round {number + 1}: {contestant.name} {rate:.1f} passages/s, {query:.1f} ms a query")

    def whole(self, contestants: Sequence[Contestant], competition: Competition, *, rival: bool) -> list[Whole]:
        """The whole corpus once, by ours, and by the best float peer if `rival`; on a CPU that takes minutes."""
        best = best_peer(competition) if rival else None
        wanted = {OURS, best.name if best else ""}
        by_name = {entry.name: entry for entry in competition.entries}
        found = []
        for contestant in contestants:
            if contestant.name in wanted and not by_name[contestant.name].failure:
                found += self._whole(contestant, by_name[contestant.name])
        return found

    def _whole(self, contestant: Contestant, entry: Entry) -> list[Whole]:
        say(f"the whole corpus: {contestant.name}")
        try:
            with self._place.invite(contestant) as conversation:
                conversation.ask(do="load", threads=entry.threads)
                conversation.ask(do="passages", texts=self._corpus.texts[:16], batch=entry.batch)
                done = conversation.ask(do="passages", texts=self._corpus.texts, batch=entry.batch)
        except ContestantFailedError as error:
            say(f"{contestant.name} failed: {error}")
            entry.failure = str(error)
            return []
        return [Whole(contestant.name, len(self._corpus.texts), self._corpus.tokens, done["seconds"], done["bulk_mib"])]

    @contextmanager
    def _ceiling(self) -> Iterator[Conversation]:
        command = [sys.executable, "-m", "benchmarks.encoding.ceiling", self._place.device]
        variables = offline(**self._place.variables, PYTHONPATH=str(ROOT))
        log = self._place.build / "logs" / "ceiling.log"
        with Conversation(command, log=log, environment=variables, patience=PATIENCE) as conversation:
            yield conversation

    def elsewhere(self, variables: dict[str, str]) -> Runner:
        """The same competition with other environment variables."""
        return Runner(replace(self._place, variables=variables), self._plan, self._corpus, self._queries)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
