"""Debian's Chromium, headless and with every name resolved to nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def dom(page: Path, profile: Path) -> str:
    """The document that a browser makes of *page*; skips where there is no Chromium."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        pytest.skip("No chromium on PATH: the page was not loaded in a browser.")
    argv = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    argv += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}"]
    done = subprocess.run(
        [*argv, page.as_uri()], capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout
