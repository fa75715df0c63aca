"""A line a second on the host, the client and the server while a run goes on."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from bench_agent import clock, storage
from bench_agent.fetch import FetchError, get
from bench_agent.layout import RunDir
from bench_agent.protocol import Target

EVERY_S = 1.0
#: After a scrape that failed, this long without another: a server may have no /metrics.
_BACK_OFF_S = 10.0
_GAUGES = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_cache_usage",
}


class Telemetry:
    """Call `sample` often; it writes when a line is due."""

    def __init__(self, run: RunDir, target: Target, key: str | None) -> None:
        self._path = run.telemetry
        self._target = target
        self._key = key
        self._next = 0.0
        self._scrape_after = 0.0
        self._last: tuple[float, int] | None = None
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")

    def sample(self, point: str) -> None:
        """Write one line if a second has passed since the last."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY_S
        line = {
            "t_ns": time.time_ns(),
            "point": point,
            "load_1m": os.getloadavg()[0],
            "client_cpu": self._client_cpu(now),
            "server": self._server(now),
        }
        storage.append(self._path, json.dumps(line).encode() + b"\n")

    def _client_cpu(self, now: float) -> float | None:
        """Cores that the agent's processes have kept busy since the last line."""
        pids = [os.getpid(), *_children(os.getpid())]
        ticks = sum(clock.cpu_ticks(pid) for pid in pids)
        before, self._last = self._last, (now, ticks)
        if before is None or ticks < before[1] or now <= before[0]:
            return None  # the first line, or a worker has ended in between
        return round((ticks - before[1]) / self._ticks_per_s / (now - before[0]), 3)

    def _server(self, now: float) -> dict[str, float] | None:
        """Gauges of all instances together; None where there are none."""
        if now < self._scrape_after:
            return None
        total: dict[str, float] = {}
        try:
            for url in self._target.base_urls:
                status, page = get(url, "/metrics", timeout_s=0.3, key=self._key)
                for name, value in gauges(page).items() if status == 200 else ():
                    total[name] = total.get(name, 0.0) + value
        except FetchError:
            total = {}
        if not total:
            self._scrape_after = now + _BACK_OFF_S
        return total or None


def gauges(page: bytes) -> dict[str, float]:
    """The gauges that are watched, from a page in Prometheus' text format."""
    found: dict[str, float] = {}
    for line in page.decode(errors="replace").splitlines():
        name, brace, rest = line.partition("{")
        key = _GAUGES.get(name if brace else line.partition(" ")[0])
        if key is None:
            continue
        value = rest.rpartition("}")[2] if brace else line.partition(" ")[2]
        try:
            found[key] = found.get(key, 0.0) + float(value.split()[0])
        except (ValueError, IndexError):
            continue
    return found


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]
