"""Torch's threads go to sleep soon after an encoding, unless the user chose otherwise."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tasb_qdrant.encoder.threads import SPINS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="GNU OpenMP comes with torch for Linux"),
]

LOAD = """
import contextlib
from tasb_qdrant import TasbQdrantError, load_encoder
with contextlib.suppress(TasbQdrantError):
    load_encoder("./nowhere")
"""


def spins(*lines: str, **environment: str) -> str:
    """What OpenMP says that it does in a new process: it reads the environment once."""
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env={**kept, **environment, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    return str(re.findall("GOMP_SPINCOUNT = '(.*)'", done.stderr)[0])


def test_threads_spin_less_from_the_first_loading_of_an_encoder_on() -> None:
    assert spins(LOAD, "import torch") == SPINS


@pytest.mark.parametrize("chosen", [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}])
def test_what_the_user_chose_holds(chosen: dict[str, str]) -> None:
    assert spins(LOAD, "import torch", **chosen) == spins("import torch", **chosen) != SPINS


def test_importing_the_package_changes_nothing() -> None:
    assert spins("import tasb_qdrant.encoder, tasb_qdrant.search, torch") != SPINS


def test_a_torch_that_has_been_loaded_is_left_alone() -> None:
    assert spins("import torch", LOAD) != SPINS
