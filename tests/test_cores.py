"""How many cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasb_qdrant import cores
from tasb_qdrant.cores import cpu_quota


def quota_of(tmp_path: Path, groups: str, files: dict[str, str]) -> float | None:
    (listed := tmp_path / "cgroup").write_text(groups)
    for name, text in files.items():
        (file := tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return cpu_quota(listed, tmp_path / "fs")


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5, id="a container of version 2"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, None, id="a container without a quota"),
        pytest.param("0::/\n", {}, None, id="the root of version 2"),
        pytest.param(
            "0::/user.slice/run.scope\n",
            {
                "user.slice/run.scope/cpu.max": "max 100000\n",
                "user.slice/cpu.max": "400000 100000\n",
                "cpu.max": "800000 100000\n",
            },
            4.0,
            id="the least of all groups above",
        ),
        pytest.param(
            "4:memory:/docker/1f\n3:cpuacct,cpu:/docker/1f\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            2.0,
            id="a container of version 1, which sees its group at the root",
        ),
        pytest.param(
            "3:cpu,cpuacct:/a\n",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"},
            0.5,
            id="version 1",
        ),
        pytest.param(
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
            id="version 1 without a quota",
        ),
        pytest.param("1:cpuset:/\n", {"cpuset/cpu.max": "100000 100000\n"}, None, id="another controller"),
        pytest.param("0::/\n", {"cpu.max": "many\n"}, None, id="no number"),
        pytest.param("?\n", {}, None, id="no group"),
    ],
)
def test_a_quota_is_the_least_of_all_groups(
    tmp_path: Path, groups: str, files: dict[str, str], quota: float | None
) -> None:
    assert quota_of(tmp_path, groups, files) == quota


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "nowhere", tmp_path) is None


@pytest.mark.parametrize(
    ("allowed", "quota", "usable", "limited"),
    [
        (16, None, 16, False),
        (16, 1.5, 2, True),
        (16, 0.2, 1, True),
        (2, 8.0, 2, True),
        (16, 64.0, 16, False),
        (2, None, 2, False),
    ],
)
def test_the_cores_are_those_of_the_affinity_and_the_quota(
    monkeypatch: pytest.MonkeyPatch, allowed: int, quota: float | None, usable: int, *, limited: bool
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    assert cores.cores() == usable
    assert cores.is_limited() is limited
