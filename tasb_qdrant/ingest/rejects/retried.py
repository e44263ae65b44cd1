"""The rejects file of a run, which is a different one when rejects are tried again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from tasb_qdrant.errors import SettingsError
from tasb_qdrant.ingest.progress import Counters
from tasb_qdrant.ingest.rejects.lines import RejectedLines
from tasb_qdrant.ingest.rejects.log import RejectLog
from tasb_qdrant.records import Reject
from tasb_qdrant.settings import check_whole_number


def reject_log(
    source: object, path: str | Path | None, *, limit: int | None, on_reject: Callable[[], None]
) -> RejectLog:
    """Where the rejects of a run go. Raises SettingsError."""
    if limit is not None:
        check_whole_number("max_rejects", limit)
    if isinstance(source, RejectedLines):
        if path is not None:
            raise SettingsError(f"what is still rejected goes to {source.path} itself; leave --rejects out")
        return RetryLog(source, on_reject=on_reject, limit=limit)
    if limit is not None and path is None:
        raise SettingsError("--max-rejects counts what goes to the --rejects file; name one")
    return RejectLog(None if path is None else Path(path), on_reject=on_reject, limit=limit)


class RetryLog(RejectLog):
    """Takes what is still rejected of an earlier run's rejects, whose file it replaces once all were tried.

    Until then the file stays as it was, so that a run that ends earlier can be run again.
    """

    def __init__(self, lines: RejectedLines, *, on_reject: Callable[[], None], limit: int | None = None) -> None:
        super().__init__(lines.path, on_reject=on_reject, limit=limit, staged=True)
        self._lines = lines
        self._met: set[tuple[str, int]] = set()

    def unwanted(self, places: Sequence[tuple[str, int]]) -> Collection[int]:
        """The rows, of inputs at these (source, line), that weren't rejects."""
        wanted = [place in self._lines.places for place in places]
        self._met.update(place for place, is_wanted in zip(places, wanted, strict=True) if is_wanted)
        return {row for row, is_wanted in enumerate(wanted) if not is_wanted}

    def complete(self, counters: Counters) -> None:
        """Replace the old file. Lines that hold nothing any more are among the rejects. Raises SettingsError."""
        for source, line in sorted(self._lines.places - self._met):
            counters.add(read=1)
            self.add(Reject(source=source, line=line, reason="there is nothing in this line any more; drop the reject"))
        super().complete(counters)
