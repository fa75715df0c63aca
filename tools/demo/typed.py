"""Commands as a person types them: shown, run to their own end, never cut off."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType


@dataclass
class Shell:
    """Runs commands in *cwd* with *env*; `seconds` holds what each took, by its first words.

    An interrupt reaches the command as it would in a terminal. The command is given the time
    to end by itself, and KeyboardInterrupt is raised once it has.
    """

    cwd: Path
    env: Mapping[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    _running: subprocess.Popen[bytes] | None = None
    _interrupted: bool = False
    _untold: bool = False

    def __post_init__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def run(self, *argv: str) -> int:
        """Type one command; returns its exit status.

        Raises:
            KeyboardInterrupt: somebody interrupted; the command has ended, or was not begun.
        """
        self._raise_if_interrupted()
        print(f"\n$ {shlex.join(argv)}", flush=True)
        sys.stderr.flush()
        started = time.monotonic()
        process = subprocess.Popen(argv, cwd=self.cwd, env=dict(self.env), stdin=subprocess.DEVNULL)
        self._running = process
        if self._untold:
            process.send_signal(signal.SIGINT)
        status = process.wait()
        self._running = None
        self.seconds[" ".join(argv[:2])] = time.monotonic() - started
        self._raise_if_interrupted()
        return status

    def _raise_if_interrupted(self) -> None:
        if self._interrupted:
            self._interrupted = self._untold = False
            raise KeyboardInterrupt

    def _note(self, number: int, _frame: FrameType | None) -> None:
        """Only noted here: an exception could strike where a command has just begun.

        Ctrl-C reaches the command by itself. TERM and HUP come to this process alone, so the
        command is told.
        """
        self._interrupted = True
        os.write(2, b"\ninterrupted: waiting for the command to end\n")
        if number == signal.SIGINT:
            return
        if self._running:
            self._running.send_signal(signal.SIGINT)
        else:
            self._untold = True
