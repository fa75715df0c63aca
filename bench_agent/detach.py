"""Leaving the terminal: a process that nobody's hang-up reaches."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

_MOST_DESCRIPTORS = 65536


def detached(main: Callable[[Callable[[str], None]], None], log: Path) -> str | None:
    """Run *main* in a detached process; what it tells first, None if it ended before.

    The process has its own session, no inherited descriptors but its log (as both output
    streams) and no controlling terminal. *main* gets a function with which to tell.
    """
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                os.close(readable)
                _live(main, log, writable)
        finally:
            os._exit(0)
    os.close(writable)
    os.waitpid(child, 0)
    with os.fdopen(readable) as answer:
        return answer.readline().strip() or None


def _live(main: Callable[[Callable[[str], None]], None], log: Path, writable: int) -> None:
    code = 1
    try:
        _reopen_streams(log)
        writable = _only_descriptor(writable)
        main(lambda text: _tell(writable, text))
        code = 0
    except BaseException:  # noqa: BLE001 - nobody is left to catch it; the log has to say it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _reopen_streams(log: Path) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)


def _only_descriptor(kept: int) -> int:
    """Close all descriptors above the streams but this one; its new number."""
    os.dup2(kept, 3)
    most = os.sysconf("SC_OPEN_MAX")
    os.closerange(4, min(most, _MOST_DESCRIPTORS) if most > 0 else _MOST_DESCRIPTORS)
    return 3


def _tell(writable: int, text: str) -> None:
    os.write(writable, text.encode() + b"\n")
    os.close(writable)
