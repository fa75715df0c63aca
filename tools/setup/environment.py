"""uv, and the Python environment that it makes from the lock."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.setup.steps import Say, SetupError, call

UV_PIN = "0.13.9"
#: The first that reads the lock's relative cool-down of new releases.
UV_FLOOR = (0, 9, 17)


def uv(checkout: Path, say: Say) -> Path:
    """The uv to use: one on PATH that is recent enough, else the checkout's own.

    Raises:
        SetupError: there is none and it could not be installed.
    """
    own = checkout / ".tools" / "uv" / "bin" / "uv"
    for candidate in (shutil.which("uv"), own):
        version = _version(Path(candidate)) if candidate else None
        if version and version >= UV_FLOOR:
            place = "in .tools/uv" if candidate == own else f"at {candidate}"
            say(f"{'.'.join(map(str, version))} {place}")
            return Path(candidate or own)
    say(f"installing {UV_PIN} into .tools/uv")
    _install(checkout)
    say(f"{UV_PIN} in .tools/uv")
    return own


def sync(checkout: Path, uv: Path, say: Say) -> None:
    """Every package of the lock, and no other, is in .venv.

    Raises:
        SetupError: uv could not do it.
    """
    venv = checkout / ".venv"
    argv: list[str | Path] = [uv, "sync", "--frozen"]
    if not (venv / "bin" / "python").exists():
        say("installing what uv.lock names into .venv")
        argv += ["--python", sys.executable]
    env = os.environ | {"UV_PROJECT_ENVIRONMENT": str(venv), "UV_PYTHON_DOWNLOADS": "never"}
    env.pop("VIRTUAL_ENV", None)
    try:
        call(argv, cwd=checkout, env=env, timeout_s=1800, say=say)
    except (OSError, subprocess.SubprocessError) as error:
        raise SetupError(
            "uv could not install the packages of uv.lock.",
            "Check that this machine reaches a Python package index, then run `make setup` again.",
            _said(error),
        ) from error
    count = len(list(venv.glob("lib/python*/site-packages/*.dist-info")))
    say(f"{count} in .venv, as uv.lock names them")


def _version(program: Path) -> tuple[int, ...] | None:
    try:
        said = call([program, "--version"], cwd=Path.cwd(), env=os.environ, timeout_s=20)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(r"uv (\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in match.groups()) if match else None


def _install(checkout: Path) -> None:
    home = checkout / ".tools" / "uv"
    pip: list[str | Path] = [home / "bin" / "python", "-m", "pip", "install", "--quiet"]
    try:
        call(
            [sys.executable, "-m", "venv", "--clear", home],
            cwd=checkout,
            env=os.environ,
            timeout_s=120,
        )
        call([*pip, f"uv=={UV_PIN}"], cwd=checkout, env=os.environ, timeout_s=600)
    except (OSError, subprocess.SubprocessError) as error:
        raise SetupError(
            f"uv {UV_PIN} could not be installed into .tools/uv.",
            "Check that this machine reaches a Python package index, or put uv "
            f"{'.'.join(map(str, UV_FLOOR))} or newer on PATH; then run `make setup` again.",
            _said(error),
        ) from error


def _said(error: Exception) -> str:
    return str(getattr(error, "stderr", "") or error)
