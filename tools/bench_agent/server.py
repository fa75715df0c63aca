"""The server of known timing, as a process, and what it knows."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "tests" / "bench_agent" / "timing_server.py"
MODEL = "timed"
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Served:
    """One request as the server saw it; ns of CLOCK_REALTIME, a stamp for each token."""

    request_id: str
    arrived_ns: int
    sent_ns: tuple[int, ...]


class TimingServer:
    """A running one."""

    def __init__(self, url: str) -> None:
        self.url = url

    def served(self) -> list[Served]:
        """All requests so far, in the order in which they came."""
        rows = [json.loads(line) for line in self._get("/truth").splitlines()]
        return [Served(r["request_id"], r["arrived_ns"], tuple(r["sent_ns"])) for r in rows]

    def cpu_s(self) -> float:
        """What it has used itself."""
        return float(json.loads(self._get("/cpu"))["cpu_s"])

    def _get(self, path: str) -> bytes:
        address = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=_PATIENCE_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def timing_server(ttft_ms: float, itl_ms: float) -> Iterator[TimingServer]:
    """One on loopback; it goes with the block, and with this process."""
    argv = [sys.executable, str(SCRIPT), f"--ttft-ms={ttft_ms}", f"--itl-ms={itl_ms}"]
    with subprocess.Popen(
        [*argv, f"--model={MODEL}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        assert process.stdout is not None  # noqa: S101 - the same
        try:
            yield TimingServer(process.stdout.readline().rpartition(" ")[2].strip())
        finally:
            process.terminate()
