"""How busy the agent's own processes keep the machine."""

from __future__ import annotations

import os
from pathlib import Path

from bench_agent import clock

#: Ticks are 10 ms: over a shorter time they tell nothing.
_SHORTEST_S = 0.5


class ClientCpu:
    """CPU of process *main* and all below it, less what this process has started."""

    def __init__(self, main: int) -> None:
        self._main = main
        self._last: tuple[float, dict[int, int]] | None = None
        self._hz = os.sysconf("SC_CLK_TCK")

    def cores(self, now_s: float) -> tuple[float | None, float | None]:
        """Cores in use since the last call: all, and the busiest process; None at first."""
        ticks = {pid: clock.cpu_ticks(pid) for pid in _family(self._main)}
        last, self._last = self._last, (now_s, ticks)
        if last is None or now_s - last[0] < _SHORTEST_S:
            return None, None
        scale = self._hz * (now_s - last[0])
        used = [max(0, spent - last[1].get(pid, 0)) / scale for pid, spent in ticks.items()]
        return round(sum(used), 3), round(max(used), 3)


def _family(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        text = ""
    children = [] if pid == os.getpid() else [int(child) for child in text.split()]
    return [pid, *(found for child in children for found in _family(child))]
