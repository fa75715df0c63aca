"""Tests of what a run that calibrates nothing need not load."""

from __future__ import annotations

import subprocess
import sys


def test_a_run_starts_without_the_simulator() -> None:
    """It is loaded for a calibration, and each module costs its time to the first request."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import bench_agent.runner, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert "bench_agent.runner" in loaded
    assert [] == [name for name in loaded if name.startswith("bench_agent.simulator")]
