"""One live line a host, with the steps that are at work there; what is over stays above."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

#: How the last word of a step begins.
_LAST = ("done in ", "failed", "goes on ")


class LiveHosts:
    """A context in which `tell` shows what happens on *hosts*."""

    def __init__(self, hosts: Sequence[str], console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._width = max(map(len, hosts))
        self._now: dict[str, dict[str, str]] = {host: {} for host in hosts}
        self._lock = threading.Lock()
        self._live = Live(self._lines(), console=self._console, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def tell(self, host: str, step: str, text: str) -> None:
        """Show *text* for a step of *host*; without a step, or at its end, it stays."""
        with self._lock:
            if step and not text.startswith(_LAST):
                self._now[host][step] = text
            else:
                self._now[host].pop(step, None)
                self._console.print(Text(f"{host:<{self._width}}  {f'{step} {text}'.strip()}"))
            self._live.update(self._lines())

    def _lines(self) -> Text:
        return Text("\n", no_wrap=True, overflow="ellipsis").join(map(self._line, self._now))

    def _line(self, host: str) -> Text:
        steps = " · ".join(f"{step}: {text}" for step, text in self._now[host].items())
        line = f"{host:<{self._width}}  {steps or '…'}"
        width = self._console.width
        return Text(line if len(line) <= width else f"{line[: width - 1]}…")
