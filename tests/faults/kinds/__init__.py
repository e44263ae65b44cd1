"""The kinds of faults, by number: a case's seed is its kind's number times a million, plus its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.faults.case import Case
from tests.faults.kinds import (
    bm25,
    changed,
    collection,
    disk,
    encoding,
    engine,
    files,
    hostile,
    key,
    kill,
    others,
    readers,
    reading,
    replies,
    saved,
    server,
    signals,
    terminal,
)
from tests.faults.trial import Injection

_CASES_OF_A_KIND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault. `cases` are those of the long form, `short` half of those that the tests have.

    `row` is its row in the report.
    """

    number: int
    name: str
    row: str
    cases: int
    short: int
    inject: Injection

    def case(self, number: int) -> Case:
        """Its case of that number."""
        return Case(self.name, number, self.number * _CASES_OF_A_KIND + number)


# A number, once given, stays with its kind: seeds of earlier reports replay by it.
KINDS: Final = (
    Kind(1, "kill-point", "SIGKILL at a named point", 2 * len(kill.combinations()), 10, kill.at_point),
    Kind(2, "kill-sent", "SIGKILL with a request sent", 150, 4, kill.at_sent),
    Kind(3, "kill-random", "SIGKILL at a random time", 600, 6, kill.at_random),
    Kind(4, "signal", "SIGINT, SIGTERM, SIGINT twice", 450, 8, signals.at_random),
    Kind(5, "server-kill", "SIGKILL of the only server, restarted", 150, 2, server.killed),
    Kind(6, "node-kill", "SIGKILL of a node of three, restarted", 60, 1, server.node_killed),
    Kind(7, "server-stop", "SIGSTOP of the only server", 80, 1, server.stopped),
    Kind(8, "node-stop", "SIGSTOP of a node of three", 60, 1, server.node_stopped),
    Kind(
        9,
        "wire",
        "every Nth reply lost, reset, cut, late, doubled",
        len(replies.every_nth_cases()),
        8,
        replies.every_nth,
    ),
    Kind(10, "reply", "scripted replies", len(replies.scripted_cases()), 10, replies.scripted),
    Kind(
        11, "own-files", "ENOSPC, EIO, EACCES, EMFILE on our own files", len(files.failing_cases()), 10, files.failing
    ),
    Kind(12, "disk-full", "the server's disk full, then freed", 60, 2, files.disk_full),
    Kind(13, "state-loader", "checkpoint cut at every byte, bits flipped (in process)", 23, 2, saved.in_process),
    Kind(14, "state", "damaged checkpoints", 90, 4, saved.whole_run),
    Kind(15, "source", "another source on resume", 5 * len(changed.source_cases()), 4, changed.source),
    Kind(16, "model", "another model or precision on resume", 45, 3, changed.model),
    Kind(17, "collection", "another collection on resume", 48, 4, collection.changed),
    Kind(18, "embedded-files", "the embedded collection's files gone or damaged", 30, 3, collection.embedded_files),
    Kind(19, "two-runs", "two runs at once", 60, 3, collection.two_at_once),
    Kind(
        20, "encoder", "encoder out of memory, NaN, wrong shape", 3 * len(encoding.spoiled_cases()), 4, encoding.spoiled
    ),
    Kind(21, "worker", "death of a worker", 30, 1, encoding.worker_killed),
    Kind(22, "key-refused", "key refused from some request on", 60, 2, key.refused),
    Kind(23, "key-revoked", "key changed on the server", 40, 1, key.revoked),
    Kind(24, "bm25", "SIGKILL, signals and lost replies while words are stored, too", 300, 5, bm25.with_words),
    Kind(25, "embedded-disk", "the embedded store's disk full, then freed", 120, 3, disk.embedded),
    Kind(26, "lost-points", "acknowledged points vanish beside another source's", 180, 1, others.lost_points),
    Kind(27, "bare-points", "vectors, or words, deleted by another program", 120, 1, others.bare_points),
    Kind(28, "other-writers", "another client deletes and adds during a load", 180, 1, others.other_writers),
    Kind(29, "restored", "a snapshot or a backup restored, after a kill and during a load", 180, 1, others.restored),
    Kind(30, "replaced", "the collection made anew, or its alias switched, during a load", 120, 1, others.replaced),
    Kind(31, "engine-files", "the embedded engine's files damaged", 540, 2, engine.damaged),
    Kind(32, "power-loss", "power lost under the embedded store", 150, 1, engine.power_loss),
    Kind(33, "forked", "searched by processes that were forked after the opening", 90, 1, readers.forked),
    Kind(34, "deadline", "deadlines against servers that stand still or trickle", 140, 1, readers.deadline),
    Kind(35, "hostile-server", "answers of a hostile server (in process)", 400, 1, hostile.server),
    Kind(36, "hostile-source", "hostile lines and files (in process)", 120, 2, hostile.sources),
    Kind(37, "hostile-model", "hostile model folders (in process)", 100, 1, hostile.models),
    Kind(38, "terminal", "control characters in strangers' text, on a terminal", 330, 2, terminal.controls),
    Kind(39, "reader-killed", "SIGKILL of a process that reads the source", 360, 1, reading.killed),
    Kind(40, "reader-stopped", "SIGSTOP of a process that reads the source", 180, 1, reading.stopped),
    Kind(41, "readers-left", "SIGKILL, SIGINT, SIGTERM of a run whose source others read", 480, 1, reading.left),
)


def kind_named(name: str) -> Kind:
    """Raises KeyError."""
    return {kind.name: kind for kind in KINDS}[name]


def of_seed(seed: int) -> tuple[Kind, Case]:
    """The kind and the case that this is the seed of. Raises KeyError."""
    number, case = divmod(seed, _CASES_OF_A_KIND)
    kind = {kind.number: kind for kind in KINDS}[number]
    return kind, kind.case(case)
