"""pip as one file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pip
import pytest

from provisioning import own_pip


@pytest.mark.integration
def test_any_python_runs_it(tmp_path: Path) -> None:
    """Without site-packages: it is the version that is installed here."""
    path = tmp_path / "pip.pyz"
    path.write_bytes(own_pip.archive())
    argv = [sys.executable, "-I", "-S", f"{path}/pip", "--version"]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert f"pip {pip.__version__} from {path}" in told
