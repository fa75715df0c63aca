"""Log lines that look like vLLM's, so that what reads them can be rehearsed."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Log:
    """Writes vLLM's and uvicorn's kind of lines to a stream (standard error)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def engine(self, message: str, source: str = "api_server.py:1") -> None:
        """A line of vLLM's own."""
        now = time.strftime("%m-%d %H:%M:%S")
        self._write(f"INFO {now} [{source}] {message}")

    def web(self, message: str) -> None:
        """A line of the web server's."""
        self._write(f"INFO:     {message}")

    def _write(self, line: str) -> None:
        try:
            print(line, file=self._stream, flush=True)
        except OSError:
            return  # a full disk or a closed pipe must not stop the server
