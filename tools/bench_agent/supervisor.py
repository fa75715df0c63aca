"""Runs one client and says what all of its processes cost: ``python -m …supervisor``, a job in
JSON on standard input, a `Cost` in JSON on standard output.

A process of its own, because whatever the client leaves behind becomes its child (Linux's
"child subreaper"): the detached run of an agent is waited for, and counted, like the rest.
"""  # noqa: D205 - one thought

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

_SET_CHILD_SUBREAPER = 36
_SAMPLE_S = 0.1
_LOOK_S = 0.5  # for new processes: walking /proc is not cheap
_MIB = 1 << 20


@dataclass(frozen=True)
class Job:
    """What to run. `stdin` and `log` are paths; `env` comes on top of this process's."""

    argv: list[str]
    folder: str
    log: str
    limit_s: float
    stdin: str = os.devnull
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """`exit_code` is the first process's; `peak_mib` the most that all held at once (sum of
    resident sets: pages that they share count for each).
    """  # noqa: D205 - one thought

    exit_code: int
    started_ns: int
    wall_s: float
    cpu_s: float
    peak_mib: float
    timed_out: bool


def supervise(job: Job) -> Cost:
    """Run *job* in a process of its own."""
    argv = [sys.executable, "-m", __name__]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        argv, input=json.dumps(asdict(job)), stdout=subprocess.PIPE, text=True, cwd=root, check=True
    )
    return Cost(**json.loads(done.stdout))


class Family:
    """All processes below this one."""

    def __init__(self) -> None:
        self.peak_mib = 0.0
        self._pids: list[int] = []
        self._looked = 0.0
        self._page = os.sysconf("SC_PAGE_SIZE")

    def sample(self) -> None:
        """How much memory they hold now."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_S:
            self._looked = now
            self._pids = self.members()
        pages = sum(self._resident(pid) for pid in self._pids)
        self.peak_mib = max(self.peak_mib, pages * self._page / _MIB)

    def _resident(self, pid: int) -> int:
        try:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            return 0

    def members(self) -> list[int]:
        """Their ids."""
        children: dict[int, list[int]] = {}
        for name in os.listdir("/proc"):  # noqa: PTH208 - twice as fast, and it is done while we measure
            if name.isdigit():
                with suppress(OSError):
                    stat = Path(f"/proc/{name}/stat").read_text()
                    parent = int(stat.rpartition(")")[2].split()[1])
                    children.setdefault(parent, []).append(int(name))
        found, queue = [], [os.getpid()]
        while queue:
            below = children.get(queue.pop(), [])
            found += below
            queue += below
        return found


def run(job: Job) -> Cost:
    """Run *job* here, and wait for everything that it leaves behind."""
    ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    family, cpu_s, exit_code, timed_out = Family(), 0.0, 1, False
    started, began = time.time_ns(), time.monotonic()
    with Path(job.stdin).open("rb") as stdin, Path(job.log).open("wb") as log:
        first = subprocess.Popen(  # it is waited for below, with all the others
            job.argv,
            stdin=stdin,
            stdout=log,
            stderr=log,
            cwd=job.folder,
            env={**os.environ, **job.env},
        )
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid:
            cpu_s += usage.ru_utime + usage.ru_stime
            if pid == first.pid:
                first.returncode = exit_code = os.waitstatus_to_exitcode(status)
            continue
        family.sample()
        if not timed_out and time.monotonic() - began > job.limit_s:
            timed_out = True
            for member in family.members():
                with suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
        time.sleep(_SAMPLE_S)
    wall_s = time.monotonic() - began
    return Cost(exit_code, started, wall_s, cpu_s, family.peak_mib, timed_out)


if __name__ == "__main__":
    print(json.dumps(asdict(run(Job(**json.load(sys.stdin))))))
