"""Runs on the host, sent as standard input of its Python: a log, followed to the end of its run.

Standard library only, Python 3.10 on. Prints JSON lines: ``{"line"}`` for each line, ``{}`` when
nothing was said for a while (so that the connection is known to live), ``{"end"}`` with
``ended``, or ``missing`` where there is no such log.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import sys
import time
from typing import Any

_LOOK_S, _BEAT_S = 0.2, 5.0
_BLOCK = 1 << 20


def read(path: str) -> str:
    """A file's text; empty when it cannot be read."""
    try:
        with open(path, encoding="latin-1") as file:  # noqa: PTH123 - few imports, quick start
            return file.read()
    except OSError:
        return ""


def lives(pid: int, started: int, boot_id: str) -> bool:
    """Whether that very process is there."""
    fields = read(f"/proc/{pid}/stat").rpartition(") ")[2].split()
    same = bool(fields) and int(fields[19]) == started and fields[0] not in "ZX"
    return same and boot_id == read("/proc/sys/kernel/random/boot_id").strip()


def over(task: dict[str, Any]) -> bool:
    """Whether nothing more will be said."""
    with contextlib.suppress(ValueError, IndexError, KeyError, TypeError):
        if task["status"]:
            status = json.loads(read(task["status"]))
            writer = (status["pid"], status["pid_started"], status["boot_id"])
            return status["state"] in task["closed"] or not lives(*writer)
        words = read(task["pid"]).split()
        return not lives(int(words[0]), int(words[1]), words[2])
    return True


class Log:
    """A file that grows; the last lines first."""

    def __init__(self, path: str, lines: int) -> None:
        self._path = path
        self._rest = b""
        self._offset = 0
        with contextlib.suppress(OSError), open(path, "rb") as file:  # noqa: PTH123 - as above
            size = file.seek(0, os.SEEK_END)
            self._offset = max(0, size - _BLOCK)
            file.seek(self._offset)
            data = file.read(size - self._offset)
            kept = data.splitlines(keepends=True)[-lines:]
            self._offset += len(data) - sum(map(len, kept))

    def news(self) -> list[str]:
        """Lines that were finished since the last call; a bar that is drawn again is one."""
        try:
            with open(self._path, "rb") as file:  # noqa: PTH123 - few imports, quick start
                file.seek(self._offset)
                data = file.read(_BLOCK)
        except OSError:
            return []
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def rest(self) -> list[str]:
        """What has no end yet."""
        return [self._rest.decode(errors="replace")] if self._rest else []


def follow(task: dict[str, Any]) -> None:
    """Print what is said until nothing more will be."""

    def say(**message: object) -> None:
        print(json.dumps(message), flush=True)

    if not glob.glob(glob.escape(task["log"])):  # noqa: PTH207 - few imports, quick start
        say(end="missing")
        return
    log, spoke = Log(task["log"], task["lines"]), time.monotonic()
    while True:
        last = over(task)  # asked first: what was said before the end is in the log by then
        lines = log.news()
        for line in lines:
            say(line=line)
        if last and not lines:
            for line in log.rest():
                say(line=line)
            say(end="ended")
            return
        if lines:
            spoke = time.monotonic()
        elif time.monotonic() - spoke > _BEAT_S:
            spoke = time.monotonic()
            say()
        if not lines:
            time.sleep(_LOOK_S)


if __name__ == "__main__":
    try:
        follow(json.loads(sys.argv[1]))
    except BrokenPipeError:  # nobody listens any more
        os._exit(0)
