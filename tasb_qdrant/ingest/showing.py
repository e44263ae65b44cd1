"""`progress=True`: a long call shows how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasb_qdrant.ingest.progress import Progress


@contextmanager
def showing(
    wanted: bool, on_progress: Callable[[Progress], None] | None
) -> Iterator[Callable[[Progress], None] | None]:
    """What is to be called with each snapshot: it shows them where that is wanted, and tells `on_progress`."""
    if not wanted:
        yield on_progress
        return
    # rich takes a moment to import, which those who don't look needn't wait for.
    from tasb_qdrant.ingest.display import ProgressDisplay

    with ProgressDisplay() as display:

        def tell(moment: Progress) -> None:
            display(moment)
            if on_progress is not None:
                on_progress(moment)

        yield tell
