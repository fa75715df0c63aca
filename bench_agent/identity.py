"""What this agent is, and what it runs on."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import Any

from bench_agent import __version__, clock

PROTOCOL = 1
_PACKAGE = Path(__file__).parent


def agent() -> dict[str, Any]:
    """For the manifest: sha256, version, python."""
    return {"sha256": agent_sha256(), "version": __version__, "python": platform.python_version()}


def agent_sha256() -> str:
    """The checksum of the archive that runs; from a source tree, that of its modules."""
    archive = _PACKAGE.parent
    if archive.is_file():
        return hashlib.sha256(archive.read_bytes()).hexdigest()
    total = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        total.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def host() -> dict[str, Any]:
    """For the manifest: what of the host can move a number."""
    return {
        "hostname": platform.node(),
        "os": os_name(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_mib": memory_mib(),
        "boot_id": clock.boot_id(),
    }


def os_name() -> str:
    """The distribution, as it calls itself."""
    return _field("/etc/os-release", "PRETTY_NAME", "=").strip('"')


def cpu_model() -> str:
    """The processor, as the kernel calls it; its architecture where the kernel does not say."""
    return _field("/proc/cpuinfo", "model name", ":") or platform.machine()


def memory_mib() -> int:
    """Memory of the host."""
    kib = _field("/proc/meminfo", "MemTotal", ":").split()
    return int(kib[0]) // 1024 if kib else 0


def _field(path: str, name: str, separator: str) -> str:
    try:
        lines = Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, value = line.partition(separator)
        if key.strip() == name:
            return value.strip()
    return ""
