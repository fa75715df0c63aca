"""Tests of the agent's folder on a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_agent.layout import Workdir

RUN = "20261121T120000Z-rehearsal-0000"


def test_runs_are_listed_oldest_first(tmp_path: Path) -> None:
    """Folders with the name of a run; without any, there is none."""
    assert [] == Workdir(tmp_path).runs()
    for name in (RUN, "20261120T120000Z-rehearsal-0000", "notes"):
        (tmp_path / "runs" / name).mkdir(parents=True)

    assert [f"2026112{n}T120000Z-rehearsal-0000" for n in (0, 1)] == [
        run.path.name for run in Workdir(tmp_path).runs()
    ]


def test_runs_on_a_disk_that_is_not_mounted_are_unknown(tmp_path: Path) -> None:
    """Nobody must take them for none: a teardown would pass."""
    (tmp_path / "runs").symlink_to(tmp_path / "not-mounted")

    with pytest.raises(FileNotFoundError, match="on a disk that is not mounted"):
        Workdir(tmp_path).runs()
