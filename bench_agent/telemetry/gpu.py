"""The GPUs, as one ``nvidia-smi`` that runs all the time tells them."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

EVERY_MS = 500
#: Since NVML 12.2 (driver 535), and before.
_REASONS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")
_BITS = re.compile(r"0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
#: It died: not again before that long.
_AGAIN_S = 10.0
#: Silent for so long, it is not waited for.
_SILENT_NS = 2_000_000_000
_FIGURES = {
    "power.draw": "power_w",
    "clocks.sm": "clock_sm_mhz",
    "clocks.mem": "clock_mem_mhz",
    "temperature.gpu": "temperature_c",
    "memory.used": "memory_used_mib",
    "utilization.gpu": "utilization",
}
_QUERY = ",".join(("timestamp", "index", "uuid", "name", *_FIGURES))


def parse(line: str, t_ns: int) -> dict[str, Any] | None:
    """A sample of one GPU; None when the line is none (ECC and Xid messages go in between).

    A figure that the GPU does not tell is None. `reasons`: NVML's bits of what slows it.
    """
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 11 or not parts[1].isdecimal():
        return None
    figures = dict(zip(_FIGURES.values(), map(_figure, parts[4:10]), strict=True))
    reasons = int(parts[10], 16) if _BITS.fullmatch(parts[10]) else None
    about = {"t_ns": t_ns, "index": int(parts[1]), "uuid": parts[2], "name": parts[3]}
    return {**about, **figures, "reasons": reasons}


def _figure(text: str) -> float | None:
    # Else it is [N/A], [Not Supported], [Unknown Error] or [GPU requires reset].
    return float(text) if _NUMBER.fullmatch(text) else None


class GpuWatch:
    """Reads in a thread, so that a line is stamped when it comes whatever else goes on."""

    def __init__(self) -> None:
        self._samples: deque[dict[str, Any]] = deque(maxlen=4096)
        self._last_ns: dict[int, int] = {}
        self._pid: int | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def take(self) -> list[dict[str, Any]] | None:
        """Samples since the last call; None when there never was one."""
        new = [self._samples.popleft() for _ in range(len(self._samples))]
        return new if self._last_ns else None

    def wait_past(self, t_ns: int, until_ns: int) -> None:
        """Until each GPU has a sample later than *t_ns*; not if none comes."""
        while self._last_ns and min(self._last_ns.values()) < t_ns:
            now = time.time_ns()
            if now >= until_ns or now - max(self._last_ns.values()) > _SILENT_NS:
                return
            time.sleep(0.02)

    def stop(self) -> None:
        """End nvidia-smi."""
        self._stopping.set()
        self._kill()

    def _watch(self) -> None:
        which = 0
        while not self._stopping.is_set():
            seen = dict(self._last_ns)
            refused = self._follow(_REASONS[which])
            if refused and which == 0:
                which = 1
            elif seen == self._last_ns or self._stopping.wait(_AGAIN_S):
                return  # there is no GPU that it could tell of

    def _follow(self, reasons: str) -> bool:
        """Read till it ends; whether it does not know *reasons*."""
        refused = False
        try:
            terminal = self._start(reasons)
        except OSError:
            return False  # there is no nvidia-smi
        with suppress(OSError), os.fdopen(terminal, errors="replace") as lines:  # EIO: its end
            while line := lines.readline(4096):
                refused = refused or "not a valid field" in line
                sample = parse(line, time.time_ns())
                if sample is not None:
                    self._samples.append(sample)
                    self._last_ns = {**self._last_ns, sample["index"]: sample["t_ns"]}
        self._kill()
        if self._pid is not None:
            os.waitpid(self._pid, 0)
        self._pid = None
        return refused

    def _start(self, reasons: str) -> int:
        """Start it on a terminal of its own: a line is not held back in a buffer there.

        It has to go when this process goes: its terminal hangs up.
        """
        master, slave = os.openpty()
        try:
            name = os.ttyname(slave)
            query = f"--query-gpu={_QUERY},{reasons}"
            argv = ("nvidia-smi", query, "--format=csv,noheader,nounits", "-lms", str(EVERY_MS))
            self._pid = os.posix_spawnp(
                argv[0],
                argv,
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, name, os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 0, 1),
                    (os.POSIX_SPAWN_DUP2, 0, 2),
                ],
                setsid=True,
                setsigdef=[signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE],
            )
        except OSError:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return master

    def _kill(self) -> None:
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
