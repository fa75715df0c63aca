"""What every step of the set-up shares: its place, its voice and its errors."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

TAIL_LINES = 15
BEAT_S = 60.0
SILENT_S = 1.0

#: What a step says while it is at work.
Say = Callable[[str], None]


class SetupError(Exception):
    """A step that cannot be done: one sentence on what happened, one on what to do."""

    def __init__(self, what: str, advice: str, log: str = "") -> None:
        super().__init__(f"{what} {advice}")
        self.what = what
        self.advice = advice
        self.log = "\n".join(log.rstrip().splitlines()[-TAIL_LINES:])


@contextmanager
def step(name: str) -> Iterator[Say]:
    """A step, said on screen: its lines as they come, the last with the seconds it took."""
    started = time.monotonic()
    said: list[str] = []

    def say(line: str) -> None:
        if said:
            print(f"  {name:<9} {said[-1]} …", flush=True)
        said.append(line)

    yield say
    print(f"  {name:<9} {said[-1]:<58} {time.monotonic() - started:6.1f} s", flush=True)


def call(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    say: Say | None = None,
) -> str:
    """Run *argv* to its end and return its standard output.

    Raises:
        OSError: it could not be started.
        subprocess.CalledProcessError: it ended with another status than 0; stderr is in it.
        subprocess.TimeoutExpired: it ran longer than *timeout_s*.
    """
    words = [str(word) for word in argv]
    with subprocess.Popen(
        words,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, err = _end_of(process, timeout_s, say)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words, out, err)
    return out


def _end_of(process: subprocess.Popen[str], timeout_s: float, say: Say | None) -> tuple[str, str]:
    """Both streams of *process* once it has ended; says now and then that it has not."""
    started = time.monotonic()
    while True:
        passed = time.monotonic() - started
        if passed > timeout_s:
            raise subprocess.TimeoutExpired(process.args, timeout_s)
        if say and passed > SILENT_S:
            say(f"still at it after {passed:.0f} s")
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=min(BEAT_S, timeout_s))
