"""Our own commands, as a person runs them: how long they take, what they answer, and what their processes use."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.ingesting.results import Run
from benchmarks.running.conversation import ContestantFailedError
from benchmarks.running.environments import inherited
from benchmarks.running.processes import Session, cpu_of, looking

ROOT: Final = Path(__file__).parents[2]
WORKERS: Final = "--workers"


@dataclass(frozen=True, slots=True)
class Program:
    """`python -m tasb_qdrant`, with what all its commands are given; what it says goes to the file `log`."""

    log: Path
    command: tuple[str, ...] = (sys.executable, "-m", "tasb_qdrant")

    def takes(self, command: Sequence[str], option: str) -> bool:
        """Whether the command has that option."""
        asked = [*self.command, *command, "--help"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True, env=inherited(ROOT)).stdout
        return option in said.split()

    def run(
        self, work: str, *, number: int, arguments: Sequence[str], server: int | None
    ) -> tuple[Run, dict[str, Any]]:
        """What it took, with the seconds and passages of its own report, and that report. `server` is a process.

        Raises ContestantFailedError."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        serving, start = _cpu(server), time.perf_counter()
        with self.log.open("ab") as log:
            command = [*self.command, *arguments, "--json"]
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=inherited(ROOT), start_new_session=True
            )
            session = Session(process.pid)
            with looking(session.look):
                said, _ = process.communicate()
        seconds = time.perf_counter() - start
        if process.returncode:
            shown = " ".join(arguments[:2])
            raise ContestantFailedError(f"tasb-qdrant {shown} ended with {process.returncode}, see {self.log}")
        answer: dict[str, Any] = json.loads(said)
        run = Run(
            work=work,
            round=number,
            passages=int(answer["read"]),
            seconds=seconds,
            busy_s=float(answer.get("loading_seconds", answer["seconds"])),
            main_cpu_s=session.main_cpu_s,
            children_cpu_s=session.children_cpu_s,
            server_cpu_s=_cpu(server) - serving,
            processes=session.processes,
            memory_mib=session.memory_mib,
        )
        return run, answer


def _cpu(server: int | None) -> float:
    return 0.0 if server is None else cpu_of(server)
