"""Where in a run a fault can strike: points by name, without a trace of them in the program's own code.

Each names a function or method of the program, and whether it is struck before it runs, after it, or at
each item that it yields. `install` wraps them in a forked child; a point whose target is gone is an error,
and a test says which of them a run never reaches.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

Store = Literal["embedded", "server"]
BOTH: Final[tuple[Store, ...]] = ("embedded", "server")


@dataclass(frozen=True, slots=True)
class Point:
    """A place in a run. `target` is "module:name" or "module:Class.method"."""

    name: str
    when: Literal["before", "after", "yields", "during"]
    target: str
    stores: tuple[Store, ...] = BOTH


_EDGE: Final = "tasb_qdrant.collection.edge.collection:EdgeCollection"
_SHARD: Final = "tasb_qdrant.collection.edge.shard:OpenShard"
_SERVER: Final = "tasb_qdrant.collection.server.collection:ServerCollection"

_STATE: Final = "tasb_qdrant.ingest.resume.state"
_OPTIMIZERS: Final = "tasb_qdrant.collection.server.optimizers"

POINTS: Final[tuple[Point, ...]] = (
    Point("source opened", "after", "tasb_qdrant.ingest.source.open:Source.open"),
    Point("connected", "after", "tasb_qdrant.collection.open:open_store_at"),
    Point("model loaded", "after", "tasb_qdrant.encoder.options:load_encoder"),
    Point("creating", "before", "tasb_qdrant.collection.edge.store:EdgeStore.create", ("embedded",)),
    Point("creating", "before", "tasb_qdrant.collection.server.store:ServerStore.create", ("server",)),
    Point("sidecar written", "after", "tasb_qdrant.collection.edge.store:write_durably", ("embedded",)),
    Point("created", "after", "tasb_qdrant.collection.edge.store:EdgeStore.create", ("embedded",)),
    Point("created", "after", "tasb_qdrant.collection.server.store:ServerStore.create", ("server",)),
    Point("fields indexed", "after", f"{_EDGE}.ensure_indexes", ("embedded",)),
    Point("fields indexed", "after", f"{_SERVER}.ensure_indexes", ("server",)),
    Point("indexing deferred", "after", f"{_SERVER}.defer_indexing", ("server",)),
    Point("read", "yields", "tasb_qdrant.ingest.pipeline:read_windows"),
    Point("tokenized", "after", "tasb_qdrant.encoder.batching:BatchedEncoder.tokenize_passages"),
    Point("encoding", "before", "tasb_qdrant.encoder.batching:BatchedEncoder.encode_tokens"),
    Point("encoded", "after", "tasb_qdrant.encoder.batching:BatchedEncoder.encode_tokens"),
    Point("before send", "before", f"{_EDGE}.upsert", ("embedded",)),
    Point("before send", "before", f"{_SERVER}.upsert", ("server",)),
    Point("sending", "during", f"{_EDGE}.upsert", ("embedded",)),
    Point("sending", "during", f"{_SERVER}.upsert", ("server",)),
    Point("acked", "after", f"{_EDGE}.upsert", ("embedded",)),
    Point("acked", "after", f"{_SERVER}.upsert", ("server",)),
    Point("all stored", "after", "tasb_qdrant.ingest.run:run_pipeline"),
    Point("finalising", "before", "tasb_qdrant.ingest.run:build_index"),
    Point("flushed", "after", f"{_EDGE}.flush", ("embedded",)),
    Point("building the index", "during", f"{_SHARD}.build_index", ("embedded",)),
    Point("building the index", "during", f"{_OPTIMIZERS}:wait_until_indexed", ("server",)),
    Point("index built", "after", f"{_SHARD}.build_index", ("embedded",)),
    Point("index built", "after", f"{_OPTIMIZERS}:wait_until_indexed", ("server",)),
    Point("settings restored", "after", f"{_OPTIMIZERS}:Optimizers._restore", ("server",)),
    Point("finalised", "after", "tasb_qdrant.ingest.run:build_index"),
    Point("closing", "before", f"{_EDGE}.close", ("embedded",)),
    Point("closing", "before", f"{_SERVER}.close", ("server",)),
    Point("state locked", "after", f"{_STATE}:StateFiles.acquire"),
    Point("checkpoint begun", "before", f"{_STATE}:StateFiles.save"),
    Point("in checkpoint", "during", f"{_STATE}:StateFiles._write"),
    Point("checkpoint written", "after", f"{_STATE}:StateFiles._write"),
    Point("at rename", "before", "os:replace"),
    Point("renamed", "after", "os:replace"),
    Point("checkpoint saved", "after", f"{_STATE}:StateFiles.save"),
    Point("forgetting", "before", f"{_STATE}:StateFiles.forget"),
    Point("forgotten", "after", f"{_STATE}:StateFiles.forget"),
    Point("reported", "before", "tasb_qdrant.cli.render:print_json"),
)

DURING_SECONDS: Final = {"sending": 0.004, "building the index": 0.4, "in checkpoint": 0.001}
"""How long after it has begun a thing that takes time may be struck, at the latest."""


def names(store: Store) -> list[str]:
    """The points that a run on such a store has, in order."""
    return list(dict.fromkeys(point.name for point in POINTS if store in point.stores))


def install(hooks: Sequence[Mapping[str, Any]]) -> None:
    """Put the hooks of a run in place. Raises LookupError for a point whose target isn't there."""
    for hook in hooks:
        if hook["hook"] not in ("strike", "census"):
            module, _, function = hook["hook"].partition(":")
            arguments = {name: value for name, value in hook.items() if name != "hook"}
            getattr(importlib.import_module(module), function)(**arguments)
    # Last, and so around the others: what is struck after a batch was acknowledged has been logged by then.
    strikes = [Strike(hook["point"], hook["nth"], hook["action"]) for hook in hooks if hook["hook"] == "strike"]
    census = next((Path(hook["file"]) for hook in hooks if hook["hook"] == "census"), None)
    struck = {strike.point for strike in strikes}
    if strikes or census is not None:
        _Places(strikes, census).watch(point for point in POINTS if census is not None or point.name in struck)


def wrap(target: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put `make(it)` in the place of the function or method. Raises LookupError."""
    module, _, path = target.partition(":")
    try:
        owner: Any = importlib.import_module(module)
        *owners, name = path.split(".")
        for part in owners:
            owner = getattr(owner, part)
        original = getattr(owner, name)
    except (ImportError, AttributeError) as error:
        raise LookupError(f"{target} is no longer there ({error}); mend the table in tests/faults") from error
    setattr(owner, name, functools.wraps(original)(make(original)))


@dataclass(frozen=True, slots=True)
class Strike:
    """What happens when a point is reached for the nth time: "kill", or the name of a signal."""

    point: str
    nth: int
    action: str

    def fall(self) -> None:
        """Send the signal to this process."""
        os.kill(os.getpid(), signal.SIGKILL if self.action == "kill" else signal.Signals[self.action])


class _Places:
    """Counts how often each point is reached, and strikes."""

    def __init__(self, strikes: Sequence[Strike], census: Path | None) -> None:
        self._strikes = strikes
        self._reached: Counter[str] = Counter()
        self._lock = threading.Lock()
        if census is not None:
            atexit.register(lambda: census.write_text(json.dumps(self._reached)))

    def watch(self, points: Iterable[Point]) -> None:
        for point in points:
            wrap(point.target, functools.partial(self._wrapped, point))

    def _wrapped(self, point: Point, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **options: Any) -> Any:
            if point.when in ("before", "during"):
                self._reach(point)
            result = original(*args, **options)
            if point.when == "yields":
                return self._yielding(point, result)
            if point.when == "after":
                self._reach(point)
            return result

        return wrapper

    def _yielding(self, point: Point, items: Any) -> Iterator[Any]:
        try:
            for item in items:
                self._reach(point)
                yield item
        finally:
            items.close()

    def _reach(self, point: Point) -> None:
        with self._lock:
            self._reached[point.name] += 1
            nth = self._reached[point.name]
        for strike in self._strikes:
            if strike.point == point.name and strike.nth == nth:
                if point.when == "during":
                    threading.Thread(target=_fall_later, args=(strike,), daemon=True).start()
                else:
                    strike.fall()


def _fall_later(strike: Strike) -> None:
    time.sleep(random.uniform(0, DURING_SECONDS[strike.point]))
    strike.fall()
