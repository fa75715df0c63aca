"""This process, as the lock of a host knows it."""

from __future__ import annotations

import os
from pathlib import Path


def ourselves() -> str:
    """This process, for others on this machine to see whether it is there still.

    Empty where there is no /proc to tell it apart from one of another boot or container.
    """
    try:
        return f"{_place()} {os.getpid()} {_started(os.getpid())}"
    except OSError:
        return ""


def gone(process: str) -> bool:
    """Whether *process* (by `ourselves`) was one of this machine and is no more."""
    words = process.split()
    try:
        if len(words) != 4 or " ".join(words[:2]) != _place():
            return False
    except OSError:
        return False
    try:
        return _started(int(words[2])) != words[3]
    except OSError:
        return True


def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def _started(pid: int) -> str:
    """When it began, in ticks since the boot; empty for one that is dead but not buried."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # it names itself
    return "" if fields[0] in "ZX" else fields[19]
