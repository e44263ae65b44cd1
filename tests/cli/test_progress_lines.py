"""Progress where there is no terminal: a line at each phase, when waiting begins, and every ten seconds."""

from __future__ import annotations

import time

import pytest

from tasb_qdrant.ingest import display as progress
from tasb_qdrant.ingest.display import ProgressDisplay
from tasb_qdrant.ingest.progress import Progress

WAITING = "the server: 429 rate limited; trying again in 8 s (12 tries)"


def test_what_is_waited_for_is_told_when_the_waiting_begins_and_not_at_each_moment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with ProgressDisplay() as display:
        display(Progress(phase="encoding"))
        display(Progress(phase="encoding", waiting_for=WAITING))
        display(Progress(phase="encoding", waiting_for=WAITING))
        now[0] += progress.PLAIN_SECONDS
        display(Progress(phase="encoding", read=5, stored=3, waiting_for=WAITING))
    assert capsys.readouterr().err.splitlines() == [
        "encoding",
        f"encoding waiting for {WAITING}",
        f"encoding 3 stored, 0 passages/s, 0 tokens/s, waiting for {WAITING}",
    ]
