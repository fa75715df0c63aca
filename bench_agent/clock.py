"""Clocks and process identities, as the kernel tells them."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Two readings of one clock closer than this held the other clock's reading between them.
_TIGHT_NS = 20_000


def gap_ns() -> int:
    """CLOCK_REALTIME less CLOCK_MONOTONIC: constant, unless somebody sets the clock."""
    best = (1 << 62, 0)
    for _ in range(5):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        best = min(best, (after - before, real - (before + after) // 2))
        if best[0] < _TIGHT_NS:
            break  # else the process was put aside in between: try again
    return best[1]


def boot_id() -> str:
    """A name for this boot of the machine; empty where there is none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def process_started(pid: int) -> int | None:
    """Clock ticks from boot to the start of *pid*; None when there is no such process."""
    found = _stat(pid)
    # A zombie has ended: what is left of it is an entry for its parent.
    return int(found[19]) if found and found[0] not in "ZX" else None


def cpu_ticks(pid: int) -> int:
    """Clock ticks that *pid* has spent; 0 when there is no such process."""
    found = _stat(pid)
    return int(found[11]) + int(found[12]) if found else 0


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the state on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch from RFC 3339.

    Raises:
        ValueError: it is not RFC 3339, or lacks its offset.
    """
    found = datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
    if found.tzinfo is None:
        raise ValueError(f"{text}: no offset from UTC")
    whole = found.astimezone(timezone.utc)
    return int(whole.timestamp() * 1e6) * 1000
