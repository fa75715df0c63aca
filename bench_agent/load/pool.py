"""Worker processes: forked, spoken to over pipes, gone when their parent is."""

from __future__ import annotations

import errno
import gc
import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench_agent.load import arrivals, lag
from bench_agent.load.plan import Endpoint, Load, LoadError, endpoint
from bench_agent.load.tally import Tally, encode_report
from bench_agent.load.worker import Worker

TICK_S = 0.2
#: From "all are ready" to the start of the clock.
_LEAD_NS = 20_000_000
_STOP_S = 15.0
#: Streams that one worker carries without being late.
STREAMS_A_WORKER = 1024

#: Called often with all workers' figures together; False ends the load.
Tick = Callable[[Tally], bool]


@dataclass(frozen=True)
class Outcome:
    """What a load came to. `stopped`: before all requests were done."""

    started_ns: int
    ended_ns: int
    tally: Tally
    workers: int
    stopped: bool

    @property
    def lag_ms(self) -> dict[str, float] | None:
        """p50, p99 and max of how late workers read what had come; None when nothing came."""
        return lag.percentiles(self.tally.lag)


@dataclass(frozen=True)
class Share:
    """What one worker of *count* does: requests *number*, *number* + *count* and so on."""

    load: Load
    number: int
    count: int
    endpoints: Sequence[Endpoint]
    records: Path | None


@dataclass
class _Child:
    pid: int
    control: int  # to write to
    reports: int  # to read from
    pending: bytes = b""
    kind: str = ""
    tally: Tally = field(default_factory=Tally)


def drive(load: Load, records: Path | None, tick: Tick) -> Outcome:
    """Put *load* on; each request becomes a line of *records*.

    Raises:
        LoadError: the load cannot be put on, or a worker died.
    """
    endpoints = [endpoint(url, load.api) for url in load.base_urls]
    count = max(1, min(load.workers, arrivals.streams(load, 0, 1)))
    allow_descriptors()
    pool = _Pool(tick)
    try:
        for number in range(count):
            pool.fork(Share(load, number, count, endpoints, records))
        return pool.run()
    finally:
        pool.close()


def allow_descriptors() -> None:
    """As many sockets as the system lets this user have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Pool:
    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self._children: list[_Child] = []
        self._stopped_at: float | None = None

    def fork(self, share: Share) -> None:
        control_out, control_in = os.pipe()
        reports_out, reports_in = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(control_in)
            os.close(reports_out)
            for sibling in self._children:
                os.close(sibling.control)
                os.close(sibling.reports)
            _child(share, control_out, reports_in)
        os.close(control_out)
        os.close(reports_in)
        self._children.append(_Child(pid, control_in, reports_out))

    def run(self) -> Outcome:
        if not self._wait_for("ready"):
            now = time.time_ns()
            return Outcome(now, now, Tally(), len(self._children), stopped=True)
        start = time.time_ns() + _LEAD_NS
        for child in self._children:
            os.write(child.control, b"%d" % start)
        self._wait_for("done")
        tally = self._sum()
        stopped = self._stopped_at is not None
        ended = time.time_ns() if stopped else max(tally.ended_ns, start)
        return Outcome(start, ended, tally, len(self._children), stopped)

    def _wait_for(self, kind: str) -> bool:
        """Until all workers have said *kind*; False when the load was stopped before the start."""
        while waiting := [child for child in self._children if child.kind != kind]:
            readable = select.select([child.reports for child in waiting], [], [], TICK_S)[0]
            for child in waiting:  # a pipe at its end would be readable for ever
                if child.reports in readable:
                    self._read(child)
            if self._stopped_at is None and not self._tick(self._sum()):
                self._stopped_at = time.monotonic()
                if kind == "ready":
                    return False
                for child in self._children:
                    _tell(child, b"stop")
            if self._stopped_at is not None and time.monotonic() > self._stopped_at + _STOP_S:
                raise LoadError(
                    "A load worker did not end when told to. Its last requests are lost."
                )
        return True

    def _read(self, child: _Child) -> None:
        data = os.read(child.reports, 65536)
        if not data:
            raise LoadError("A load worker died. See agent.log; memory may have run out.")
        *lines, child.pending = (child.pending + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            child.kind = report.pop("kind")
            if child.kind == "error":
                raise LoadError(report["message"])
            child.tally = Tally(**report)

    def _sum(self) -> Tally:
        total = Tally()
        for tally in (child.tally for child in self._children):
            total.requested += tally.requested
            total.completed += tally.completed
            total.failed += tally.failed
            total.output_tokens += tally.output_tokens
            total.streaming += tally.streaming
            total.cpu_s += tally.cpu_s
            total.lost_segments += tally.lost_segments
            total.busiest_cpu = max(total.busiest_cpu, tally.busiest_cpu)
            total.clock_step_ms = max(total.clock_step_ms, tally.clock_step_ms)
            total.ended_ns = max(total.ended_ns, tally.ended_ns)
            for bucket, number in tally.lag.items():
                total.lag[bucket] = total.lag.get(bucket, 0) + number
        return total

    def close(self) -> None:
        for child in self._children:
            os.close(child.control)  # its end tells a worker to go
            os.close(child.reports)
            if child.kind != "done":
                os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)


def _tell(child: _Child, word: bytes) -> None:
    try:
        os.write(child.control, word)
    except BrokenPipeError:
        return  # it is done already


def _child(share: Share, control: int, reports: int) -> None:
    """The life of a worker; never returns."""
    code = 1
    try:
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)  # the parent decides, over the pipe
        work(share, control, reports)
        code = 0
    except BaseException as error:  # noqa: BLE001 - a fork must never return into its parent's code
        message = {"kind": "error", "message": describe(error)}
        os.write(reports, json.dumps(message).encode() + b"\n")
    finally:
        os._exit(code)


def describe(error: BaseException) -> str:
    """One line for a person."""
    if isinstance(error, LoadError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{name}."
    return f"{type(error).__name__}: {error}"


def work(share: Share, control: int, reports: int) -> None:
    """Do one worker's share, told and reporting over these descriptors."""
    load, number, count = share.load, share.number, share.count
    worker = Worker(
        load,
        share.endpoints,
        arrivals.of(load, number, count),
        number=number,
        count=count,
        control=control,
        write=_writer(share.records),
        report=lambda tally: _report(reports, "progress", tally),
    )
    streams = arrivals.streams(load, number, count)
    worker.prepare(streams)
    gc.collect()
    gc.freeze()
    gc.disable()  # a worker makes no cycles, and a collection would hold up its sockets
    _report(reports, "ready", worker.tally)
    start = os.read(control, 64)
    if not start:
        os._exit(1)
    worker.run(int(start))
    _report(reports, "done", worker.tally)


def _writer(records: Path | None) -> Callable[[bytes], None]:
    """Appends lines to the records, each in one system call, as other workers do."""
    if records is None:
        return lambda _line: None
    sink = os.open(records, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(line: bytes) -> None:
        if os.write(sink, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(records))

    return write


def _report(reports: int, kind: str, tally: Tally) -> None:
    os.write(reports, encode_report(kind, tally))
