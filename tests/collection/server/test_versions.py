"""What a server's version brings, in code and on the page that says it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasb_qdrant.collection.server.connection import OLDEST_SERVER
from tasb_qdrant.collection.server.versions import FEATURES, PREFIX, brought_by
from tasb_qdrant.errors import ServerTooOldError

PAGE = Path(__file__).parents[3] / "docs" / "services.md"


def test_every_version_has_what_it_and_earlier_ones_brought() -> None:
    assert [feature.since for feature in FEATURES] == sorted(feature.since for feature in FEATURES)
    assert FEATURES[0].since == OLDEST_SERVER
    there, missing = brought_by((1, 18, 3))
    assert "--quantization turbo4" in there
    assert missing[0] == "all acknowledged passages in reads right after a restart (1.18.4)"
    assert missing[-2:] == [
        "substring in filters (1.20)",
        "searches by words over a text index, without --bm25 (1.20)",
    ]
    assert brought_by((1, 20, 0))[1] == brought_by((2, 0, 0))[1] == []
    assert len(brought_by((1, 16, 0))[0]) == 1


def test_the_page_says_the_same() -> None:
    (section,) = re.findall(
        r"^## What a version of Qdrant brings\n(.*?)^## ", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    rows = re.findall(r"^\| (1\.[\d.]+) \| (.+) \|$", section, re.MULTILINE)
    said = [(tuple(int(part) for part in f"{since}.0".split(".")[:3]), what.replace("`", "")) for since, what in rows]
    assert said == [(feature.since, feature.name) for feature in FEATURES]


def test_a_server_that_lacks_something_is_named_with_what_to_do() -> None:
    PREFIX.require((1, 19, 0), location="http://x", what="that")
    with pytest.raises(ServerTooOldError) as caught:
        PREFIX.require((1, 18, 3), location="http://x", what="that")
    assert str(caught.value) == (
        "http://x: that needs Qdrant 1.19 or later, this is 1.18.3; upgrade the server, or compare with whole values"
    )
