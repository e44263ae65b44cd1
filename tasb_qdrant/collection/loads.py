"""The loads of a collection that are under way or were interrupted, as the collection's own metadata tells.

Each load writes a key of its own, without reading the rest: others may be writing that. What a restored snapshot or
backup brings back is older than the load's checkpoint, and so tells that passages are gone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PREFIX: Final = "tasb_qdrant_load_"
LATEST_KEY: Final = "tasb_qdrant_latest_load"

LoadPhase = Literal["loading", "deleting", "ending", "stopped"]
"""What a load does: it stores, deletes what its source lacks, builds the index, or was stopped and may go on."""


class LoadMark(BaseModel):
    """What a load notes of itself: the number of its latest `checkpoint`, and a `beat` that changes while it lives.

    `host`, `boot` (a run of a system, and the process numbers' namespace in it; "" where that isn't known) and `pid`
    tell its process. Who `optimizes` will build the vector index.
    """

    model_config = ConfigDict(frozen=True)

    checkpoint: int = Field(default=0, ge=0)
    phase: LoadPhase = "loading"
    beat: int = 0
    optimizes: bool = True
    host: str = ""
    boot: str = ""
    pid: int = 0

    @classmethod
    def of_this_process(cls, **more: Any) -> Self:
        """With this process's host, boot and pid."""
        return cls(host=socket.gethostname(), boot=_boot(), pid=os.getpid(), **more)

    @property
    def who(self) -> str:
        """For people."""
        return f"process {self.pid} on {self.host}"

    @property
    def is_dead(self) -> bool:
        """Whether its process is known to have ended; that can only be known on its own machine."""
        if not self.boot or self.boot != _boot():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it is there, and another user's
            return False
        return False


@dataclass(frozen=True, slots=True)
class Loads:
    """The loads that a collection knows of, by their random names, and a random mark of the `latest` that began.

    Where the store is not `shared`, no other process can be loading.
    """

    marks: Mapping[str, LoadMark] = field(default_factory=dict)
    latest: str = ""
    shared: bool = True


def read_loads(metadata: Mapping[str, Any] | None, *, shared: bool) -> Loads:
    """The loads in a collection's metadata; what isn't one is passed over."""
    marks: dict[str, LoadMark] = {}
    for key, value in (metadata or {}).items():
        if key.startswith(PREFIX):
            with suppress(ValidationError):
                marks[key.removeprefix(PREFIX)] = LoadMark.model_validate(value)
    return Loads(marks, str((metadata or {}).get(LATEST_KEY, "")), shared)


def load_metadata(load: str, mark: LoadMark | None, *, latest: str = "") -> dict[str, Any]:
    """Metadata to be merged: the load's own key, null to remove it, and that of the `latest` load, if that is given."""
    noted: dict[str, Any] = {f"{PREFIX}{load}": None if mark is None else mark.model_dump(mode="json")}
    return {**noted, LATEST_KEY: latest} if latest else noted


def _boot() -> str:
    """What this run of the system is called, with the namespace of process numbers; "" where that isn't known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""
