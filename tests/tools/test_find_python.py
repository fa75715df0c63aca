"""The search for a Python that can do the set-up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.tools.fakes import program

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "find-python"


def find(path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the search with *path* as the whole PATH."""
    return subprocess.run(
        ["/bin/sh", SCRIPT],
        env={"PATH": str(path)} | env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_takes_the_first_that_is_fit(tmp_path: Path) -> None:
    """A python3 that fails the question is passed over for a newer name that does not."""
    program(tmp_path / "python3", "exit 1")
    fit = program(tmp_path / "python3.12", f'exec {sys.executable} "$@"')

    assert f"{fit}\n" == find(tmp_path).stdout


def test_a_named_python_comes_first(tmp_path: Path) -> None:
    """PYTHON, when it is fit, wins over what is on PATH."""
    program(tmp_path / "python3", f'exec {sys.executable} "$@"')

    assert f"{sys.executable}\n" == find(tmp_path, PYTHON=sys.executable).stdout


def test_none_is_said_with_what_to_do(tmp_path: Path) -> None:
    """Without a fit Python: exit 1, nothing on standard output, and what to install."""
    program(tmp_path / "python3", "exit 1")

    found = find(tmp_path)

    assert (1, "") == (found.returncode, found.stdout)
    assert "No Python 3.11 or newer" in found.stderr
    assert "python3-venv" in found.stderr
