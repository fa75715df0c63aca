"""What a host writes down, seen while it is written: moments of a run, told by no clock."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.host import LabHost

PATIENCE_S = 120.0
_WATCH = """
import select, sys
at = dict.fromkeys(sys.argv[1:], 0)
ready = ["ready"]
while not select.select([sys.stdin], [], [], 0.002)[0]:
    for path in at:
        try:
            with open(path, "rb") as file:
                file.seek(at[path])
                new = file.read()
        except OSError:
            continue
        new = new[: new.rfind(b"\\n") + 1]
        at[path] += len(new)
        for line in new.decode(errors="replace").splitlines():
            print(path, line, flush=True)
    if ready:
        print(ready.pop(), flush=True)
"""
DPKG = "/var/log/dpkg.log"


class Written:
    """Lines of the host's audit log (`operations`; what locks is apart) and of dpkg's, so far."""

    def __init__(self) -> None:
        self.operations: list[str] = []
        self.locks: list[str] = []
        self.dpkg: list[str] = []
        self.before: int | None = None
        self._news = threading.Condition()

    def read(self, process: subprocess.Popen[str]) -> None:
        """Take in what *process* prints, to its end."""
        assert process.stdout is not None
        for line in process.stdout:
            path, _, text = line.rstrip("\n").partition(" ")
            with self._news:
                if text:
                    self._kind(path, text).append(text)
                else:
                    self.before = len(self.locks)
                self._news.notify_all()

    def _kind(self, path: str, text: str) -> list[str]:
        if path == DPKG:
            return self.dpkg
        return self.locks if " lock." in text else self.operations

    def ready(self) -> None:
        """Until what was there before is read."""
        with self._news:
            assert self._news.wait_for(lambda: self.before is not None, PATIENCE_S)

    def wait(self, run: subprocess.Popen[str], operations: int, dpkg: int = 0) -> bool:
        """Until *run* has the lock, and so many lines are there; False when it ends before."""

        def met() -> bool:
            enough = len(self.operations) >= operations and len(self.dpkg) >= dpkg
            return enough and self.before is not None and len(self.locks) > self.before

        with self._news:
            while run.poll() is None:
                if self._news.wait_for(met, 0.05):
                    return run.poll() is None
        return False


@contextmanager
def written(host: LabHost) -> Iterator[Written]:
    """What *host* writes from its beginning on; it ends when the host goes down."""
    files = (f"{host.workdir}/audit.log", DPKG)
    process = subprocess.Popen(
        ["docker", "exec", "-i", host.name, "python3", "-c", _WATCH, *files],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = Written()
    reader = threading.Thread(target=found.read, args=(process,), daemon=True)
    reader.start()
    try:
        found.ready()
        yield found
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE_S)
        reader.join(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()
