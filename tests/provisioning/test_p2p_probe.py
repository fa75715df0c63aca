"""All GPUs reduce together, or the probe says what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning import p2p_probe
from tests.provisioning import torch_standin

pytestmark = pytest.mark.integration


def probe(tmp_path: Path, *, torch: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    """Run it as a host's Python does, from standard input."""
    found = {"PYTHONPATH": torch_standin.put(tmp_path)} if torch else {}
    return subprocess.run(
        [sys.executable, "-S", "-", "3", "0"],
        input=Path(p2p_probe.__file__).read_text(),
        capture_output=True,
        text=True,
        check=False,
        env=found | env,
        timeout=30,
    )


def test_gpus_that_reduce_are_told_with_their_speed(tmp_path: Path) -> None:
    """One line, by the first of them."""
    done = probe(tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    assert re.fullmatch(r"ok \d+\.\d\d\n", done.stdout)


def test_a_wrong_sum_is_a_failure(tmp_path: Path) -> None:
    """Speed is not enough."""
    done = probe(tmp_path, WRONG="1")
    assert 1 == done.returncode
    assert "GPU 2: the sum is wrong" in done.stderr


def test_one_gpu_that_fails_is_named(tmp_path: Path) -> None:
    """The others do not make good for it."""
    done = probe(tmp_path, FAILS="1")
    assert 1 == done.returncode
    assert "GPU 1: NCCL error: unhandled system error" in done.stderr


def test_a_python_without_torch_is_told_from_a_failure(tmp_path: Path) -> None:
    """By an exit code of its own."""
    done = probe(tmp_path, torch=False)
    assert p2p_probe.NO_TORCH == done.returncode
    assert "torch" in done.stderr
