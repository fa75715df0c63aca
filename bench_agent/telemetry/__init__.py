"""What host, GPUs, client and server do while a run goes on, seen from a process of its own."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bench_agent.layout import RunDir
from bench_agent.protocol import Target

#: `begin` and `end` wait at most that long for their scrape.
PATIENCE_S = 2.0
_CLOSE_S = 1.0


class Order(NamedTuple):
    """What the process is told: ``begin`` (of a point), ``end``, ``stop``; *t_ns*: when."""

    word: str
    point: str = ""
    t_ns: int = 0


class Telemetry:
    """Writes telemetry.jsonl from a forked process. Whatever becomes of that, the run goes on."""

    def __init__(self, run: RunDir, target: Target, key: str | None) -> None:
        main = os.getpid()
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self.pid: int | None = os.fork()
        if self.pid == 0:
            _live(run, target, key, main, (orders, answers))
        os.close(orders)
        os.close(answers)

    def begin(self, point: str) -> None:
        """The load of *point* is about to start: a line now."""
        self._mark(Order("begin", point, time.time_ns()))

    def end(self) -> None:
        """It is over: a line now."""
        self._mark(Order("end", t_ns=time.time_ns()))

    def close(self) -> None:
        """End the process; when this returns, nobody writes any more."""
        if self.pid is None:
            return
        self._tell(Order("stop"))
        self._wait_for(b"", _CLOSE_S)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._orders)
        os.close(self._answers)
        self.pid = None

    def _mark(self, order: Order) -> None:
        if self.pid is not None and self._tell(order):
            self._wait_for(b"%d\n" % order.t_ns, PATIENCE_S)

    def _tell(self, order: Order) -> bool:
        try:
            os.write(self._orders, json.dumps(order).encode() + b"\n")
        except BrokenPipeError:
            return False  # the process is gone
        return True

    def _wait_for(self, answer: bytes, patience_s: float) -> None:
        """Until *answer* came, or the end of all answers, or not in time."""
        deadline = time.monotonic() + patience_s
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._answers], [], [], left)[0]:
                return
            data = os.read(self._answers, 65536)
            if not data or (answer and data.endswith(answer)):
                return


def _live(run: RunDir, target: Target, key: str | None, main: int, link: tuple[int, int]) -> None:
    """The life of the process; never returns."""
    code = 1
    try:
        gc.freeze()  # what the parent has left must not be finalised over the descriptors here
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the parent decides, over the pipe
        _keep_only({0, 1, 2, *link})
        os.nice(5)
        from bench_agent.telemetry.process import Watch  # noqa: PLC0415 - the run needs none of it

        Watch(run.telemetry, target, key, main, link).run()
        code = 0
    except BaseException:  # noqa: BLE001 - a fork must never return into its parent's code
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _keep_only(kept: set[int]) -> None:
    """Close what was inherited: above all the run's lock, which must not outlive the run."""
    for found in list(Path("/proc/self/fd").iterdir()):
        if int(found.name) not in kept:
            with suppress(OSError):  # the listing's own
                os.close(int(found.name))
