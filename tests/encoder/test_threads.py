"""Torch's threads go to sleep soon after an encoding, unless the user chose otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tasb_qdrant.encoder.threads import SPINS

LOAD = """
import contextlib, os
from tasb_qdrant import TasbQdrantError, load_encoder
with contextlib.suppress(TasbQdrantError):
    load_encoder("./nowhere")
"""
LOADED = f"{LOAD}\nprint(os.environ.get('GOMP_SPINCOUNT'))"


def printed(program: str, **environment: str) -> tuple[str, str]:
    """To stdout and stderr, by a new process, since OpenMP reads its variables once."""
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**kept, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip(), done.stderr


def test_threads_spin_less_from_the_first_loading_of_an_encoder_on() -> None:
    assert printed(LOADED)[0] == SPINS


@pytest.mark.parametrize(
    ("chosen", "expected"), [({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")]
)
def test_what_the_user_chose_holds(chosen: dict[str, str], expected: str) -> None:
    assert printed(LOADED, **chosen)[0] == expected


def test_importing_the_package_changes_nothing() -> None:
    program = "import tasb_qdrant.encoder, tasb_qdrant.search, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert printed(program)[0] == "None"


def test_nothing_is_said_to_a_torch_that_has_been_loaded() -> None:
    assert printed(f"import torch\n{LOADED}")[0] == "None"


@pytest.mark.skipif(sys.platform != "linux", reason="GNU OpenMP comes with torch for Linux")
def test_gnu_openmp_reads_it() -> None:
    """Torch's OpenMP prints its settings, in which a change of the library's name for it would show."""
    _, said = printed(f"{LOAD}\nimport torch", OMP_DISPLAY_ENV="verbose")
    assert f"GOMP_SPINCOUNT = '{SPINS}'" in said
