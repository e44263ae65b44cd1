"""A web server for each test, and no waiting between tries."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tasb_qdrant.sources.remote import http
from tests.sources.remote.stores import S3, Hub
from tests.sources.remote.web import Web, serving


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(http, "WAITS", (0.0, 0.0, 0.0))
    with serving(Web) as server:
        yield server


@pytest.fixture
def s3() -> Iterator[S3]:
    with serving(S3) as server:
        yield server


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    import huggingface_hub

    with serving(Hub) as server:
        here = partial(huggingface_hub.HfFileSystem, endpoint=server.url)
        monkeypatch.setattr(huggingface_hub, "HfFileSystem", here)
        yield server
