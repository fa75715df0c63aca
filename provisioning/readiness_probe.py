"""Runs on the host, sent as standard input of its Python: waits for an engine to answer.

Standard library only, Python 3.10 on. Prints JSON lines: ``{"seconds", "line"}`` for each log
line, ``{"seconds"}`` at least each second, and at the end ``{"seconds", "end"}`` with ``ready``,
``exited`` or ``late`` (and then ``tail``: the log's last lines, ``answer``: the last answer).
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

LONGEST_LINE = 500
TAIL = 20


def alive(task: dict[str, Any]) -> bool:
    """Whether the process is there, and is the one that was started."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123 - few imports, quick start
            booted = file.read().strip()
        with open(f"/proc/{task['pid']}/stat") as file:  # noqa: PTH123 - the same
            fields = file.read().rpartition(") ")[2].split()
    except OSError:
        return False
    same = int(fields[19]) == task["pid_started"] and booted == task["boot_id"]
    return same and fields[0] not in "ZX"


def answer(task: dict[str, Any]) -> str:
    """What the engine answers: a status, or why there is none."""
    request = urllib.request.Request(task["url"])
    if task["api_key_file"]:
        with open(task["api_key_file"]) as file:  # noqa: PTH123 - few imports, quick start
            request.add_header("Authorization", f"Bearer {file.read().strip()}")
    # No proxy: the engine is on this host's loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as reply:
            return str(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return str(error.code)
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error) or type(error).__name__)


class Log:
    """The engine's log, read as it grows."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0
        self._rest = self._told = b""
        self.tail: collections.deque[str] = collections.deque(maxlen=TAIL)

    def news(self) -> list[str]:
        """Lines that were finished since the last call (a progress bar's redrawing ends one).

        The rest of one that does not go on is told, too: a bar that stands still has no end.
        """
        with contextlib.suppress(OSError), open(self._path, "rb") as file:  # noqa: PTH123 - the same
            file.seek(self._offset)
            data = file.read()
            self._offset += len(data)
            if not data:
                return self._standing()
            *whole, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
            lines = [line.decode(errors="replace")[:LONGEST_LINE] for line in whole if line.strip()]
            self.tail.extend(lines)
            told, self._told = self._told, b""
            return lines[1:] if told and whole and whole[0] == told else lines
        return []

    def _standing(self) -> list[str]:
        if not self._rest.strip() or self._rest == self._told:
            return []
        self._told = self._rest
        return [self._rest.decode(errors="replace")[:LONGEST_LINE]]

    def close(self) -> list[str]:
        """What is left, the unfinished last line too."""
        lines = self.news()
        if self._rest.strip():
            self.tail.append(self._rest.decode(errors="replace")[:LONGEST_LINE])
        return lines + self._standing()


def watch(task: dict[str, Any]) -> None:
    """Print what happens until there is an end."""
    began = said = time.monotonic()
    log = Log(task["log"])

    def say(**message: object) -> None:
        seconds = round(time.monotonic() - began, 3)
        print(json.dumps({"seconds": seconds, **message}), flush=True)

    while True:
        lives = alive(task)  # asked first: who answers after our engine's end is somebody else
        status = answer(task) if lives else ""
        end = _end(task, lives, status, time.monotonic() - began)
        lines = log.close() if end else log.news()
        for line in lines:
            say(line=line)
        if end:
            say(end=end, answer=status, tail=[] if end == "ready" else list(log.tail))
            return
        if lines or time.monotonic() - said >= 1:
            said = time.monotonic()
            say()
        # Often at first, for engines that are quick; never a burden on one that loads.
        time.sleep(0.05 if time.monotonic() - began < 5 else 0.5)


def _end(task: dict[str, Any], lives: bool, status: str, seconds: float) -> str | None:
    if not lives:
        return "exited"
    if status == "200":
        return "ready" if alive(task) else "exited"
    return "late" if seconds >= task["timeout_s"] else None


if __name__ == "__main__":
    try:
        watch(json.loads(sys.argv[1]))
    except BrokenPipeError:  # nobody listens any more
        os._exit(0)
