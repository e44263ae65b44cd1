"""A server of 1.17 that answers as its successors say they do: no newer one can be had for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.collection.faults import HttpProxy
from tests.qdrant_servers import QdrantServer


class NewerServer(HttpProxy):
    """The real server's answers over REST, with what a `version` from 1.18 on adds.

    `queued` updates and `hidden` points are what reads don't show yet; with each look at the collection `work` of each
    is done. A count is short of the hidden ones. While `prevent_unoptimized` is on, what is stored is hidden at first,
    and the update isn't waited for: its answer is `wait_timeout`. `updates` has what was set of the optimizers, and
    `writes` how many requests stored something.
    """

    def __init__(self, server: QdrantServer, *, version: str = "1.20.0") -> None:
        super().__init__(server)
        self.version = version
        self.queued = 0
        self.hidden = 0
        self.work = 1
        self.prevent: bool | None = None
        self.updates: list[dict[str, Any]] = []
        self.writes = 0
        self.looks = 0
        self.when = lambda method, path: False
        self.rewrite = self._newer

    def watch(self, *requests: tuple[str, str]) -> None:
        """From now on requests of these methods, to paths that end so, are seen, and met by faults."""
        self.when = lambda method, path: any(
            method == one and path.partition("?")[0].endswith(end) for one, end in requests
        )
        self.seen.clear()
        self.bodies.clear()

    def _newer(self, method: str, path: str, body: bytes, answer: bytes) -> bytes:
        found = json.loads(answer)
        place = path.partition("?")[0].rstrip("/")
        if place == "":
            found["version"] = self.version
        elif method == "PATCH":
            self._set(json.loads(body).get("optimizers_config") or {})
        elif method == "GET" and place.startswith("/collections/") and place.count("/") == 2:
            self._describe(found["result"])
        elif method == "PUT" and place.endswith("/points"):
            self.writes += 1
            if self.prevent:
                self.hidden += len(json.loads(body)["batch"]["ids"])
                found["result"]["status"] = "wait_timeout"
        elif place.endswith("/points/count"):
            found["result"]["count"] -= self.hidden
        return json.dumps(found).encode()

    def _set(self, config: Mapping[str, Any]) -> None:
        self.updates.append(dict(config))
        if config.get("prevent_unoptimized") is not None:
            self.prevent = config["prevent_unoptimized"]

    def _describe(self, result: dict[str, Any]) -> None:
        self.looks += 1
        result["update_queue"] = {"length": self.queued, "deferred_points": self.hidden}
        result["config"]["optimizer_config"]["prevent_unoptimized"] = self.prevent
        self.queued = max(0, self.queued - self.work)
        self.hidden = max(0, self.hidden - self.work)
