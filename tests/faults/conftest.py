"""What the tests of this folder share: one rig, since its servers and its zygote take seconds to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.rig import Rig


@pytest.fixture(scope="session")
def rig() -> Iterator[Rig]:
    """Tests leave no collection behind, and its servers well."""
    with Rig() as made:
        yield made
