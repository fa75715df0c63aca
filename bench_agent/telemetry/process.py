"""The loop of the telemetry process: a line a second, and one for each order."""

from __future__ import annotations

import json
import os
import re
import select
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench_agent import storage
from bench_agent.protocol import Target
from bench_agent.telemetry import Order
from bench_agent.telemetry.client_cpu import ClientCpu
from bench_agent.telemetry.gpu import GpuWatch
from bench_agent.telemetry.prometheus import Server

EVERY_S = 1.0
#: Counters that took longer to come are not those of the moment that was asked for.
_LATE_NS = 1_900_000_000
_LOOPBACK = re.compile(r"https?://(127\.[0-9.]+|localhost|\[::1\])(:|/|$)")


class Watch:
    """Writes lines to *path* until told to stop, or process *main* is not the parent any more.

    *link*: descriptors to read orders from, and to write their times to when they are done.
    """

    def __init__(
        self, path: Path, target: Target, key: str | None, main: int, link: tuple[int, int]
    ) -> None:
        self._path = path
        self._main = main
        self._orders, self._answers = link
        self._point = ""
        self._server = Server(target, key)
        self._cpu = ClientCpu(main)
        # The GPUs of this machine are those under load only if the server is here, too.
        self._gpu = GpuWatch() if all(map(_LOOPBACK.match, target.base_urls)) else None

    def run(self) -> None:
        """Until the end."""
        due = time.monotonic() + EVERY_S
        while os.getppid() == self._main:
            if select.select([self._orders], [], [], max(0.0, due - time.monotonic()))[0]:
                lines = os.read(self._orders, 65536).splitlines()
                orders = [Order(*json.loads(line)) for line in lines]
                if not orders or any(order.word == "stop" for order in orders):
                    break
                for order in orders:
                    self._obey(order)
            else:
                self._write(self._line())
            due = time.monotonic() + EVERY_S  # after a slow scrape, orders come first
        self._server.close()
        if self._gpu is not None:
            self._gpu.stop()

    def _obey(self, order: Order) -> None:
        if order.word == "begin":
            self._point = order.point
        line = self._line(order)
        if time.time_ns() - order.t_ns < _LATE_NS:
            line["mark"] = order.word
        self._write(line)
        if order.word == "end":
            self._point = ""
        with suppress(BrokenPipeError):
            os.write(self._answers, b"%d\n" % order.t_ns)

    def _line(self, order: Order | None = None) -> dict[str, Any]:
        cores, busiest = self._cpu.cores(time.monotonic())
        server = self._server.scrape(urgent=order is not None)
        line = {
            "t_ns": time.time_ns(),
            "point": self._point,
            "load_1m": os.getloadavg()[0],
            "client_cpu": cores,
            "busiest_cpu": busiest,
            "server": server,
        }
        if self._gpu is not None and order is not None and order.word == "end":
            self._gpu.wait_past(order.t_ns, order.t_ns + _LATE_NS)
        return {**line, "gpu": None if self._gpu is None else self._gpu.take()}

    def _write(self, line: dict[str, Any]) -> None:
        if os.getppid() == self._main:  # else another process may be sealing the run
            with suppress(OSError):  # a full disk is for the run to tell
                storage.append(self._path, json.dumps(line, separators=(",", ":")).encode() + b"\n")
