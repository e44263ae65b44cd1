"""The verdicts so far, in a file: a long run that was stopped goes on where it was."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.faults.case import Verdict, from_dict
from tests.faults.launch import ROOT


class Journal:
    """A verdict a line. What another version of the program came to is kept apart, in a file of its own."""

    def __init__(self, folder: Path, commit: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.commit = commit
        self.path = folder / f"{commit}.jsonl"

    def verdicts(self) -> list[Verdict]:
        """In order, the latest of each seed. A last line that is cut short was never a verdict."""
        if not self.path.exists():
            return []
        latest: dict[int, Verdict] = {}
        for line in self.path.read_text().splitlines():
            try:
                verdict = from_dict(json.loads(line))
            except ValueError:
                continue
            latest[verdict.case.seed] = verdict
        return list(latest.values())

    def add(self, verdict: Verdict) -> None:
        """Keep it; it is in the file on return."""
        with self.path.open("a") as file:
            file.write(json.dumps(verdict.to_dict()) + "\n")


def commit() -> str:
    """The commit that is tested, with "-changed" where the tree has other content than that."""
    named = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "tasb_qdrant", "tests/faults")
    return f"{named}-changed" if changed else named


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
