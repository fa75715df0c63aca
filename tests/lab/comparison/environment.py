"""The others' own virtual environment, beside the project's."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.lab.images import Say
from tests.lab.machine import HOME, LabError, alone

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def folder() -> Path:
    """Where it is, or would be: another one for each change of the pins."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    return HOME / "comparison" / digest


def there() -> bool:
    """Whether it is there as a whole."""
    return (folder() / "complete").exists()


def ensure(say: Say) -> Path:
    """Its programs' folder; the environment is made where it is not there (half a minute).

    Raises:
        LabError: the packages cannot be had.
    """
    found = folder()
    with alone("build-comparison"):
        if not there():
            say("installing pyinfra and Ansible, in an environment of their own")
            shutil.rmtree(found.parent, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(found))
            options = ("--quiet", "--no-deps", "--requirement", str(REQUIREMENTS))
            _run(str(found / "bin" / "python"), "-m", "pip", "install", *options)
            (found / "complete").touch()
    return found / "bin"


def versions() -> dict[str, str]:
    """Versions by package, as they are pinned."""
    pins = (line.partition("==") for line in REQUIREMENTS.read_text().splitlines())
    return {name: version for name, _, version in pins}


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(argv[:4])}: {done.stderr.strip()}")
