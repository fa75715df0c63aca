"""What a person at a terminal sees of long work: one live line, what is done above it."""

from __future__ import annotations

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bench_agent.protocol import RunStatus
from fabfile.console import load_line


class Terminal:
    """One live line at the bottom, what is done above it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._name = ""

    def phase(self, name: str) -> None:
        """A phase begins: the live line is its."""
        self._name = name
        self._live = Live(Text(f"… {name}"), console=self._console, transient=True)
        self._live.start()

    def done(self, name: str, seconds: float) -> None:
        """A phase ended well: its line stays."""
        self._end()
        self._console.print(Text(f"✓ {name} ({seconds:.1f} s)"))

    def note(self, text: str) -> None:
        """Say something above the live line."""
        self._console.print(Text(f"  {text}"))

    def load(self, status: RunStatus) -> None:
        """The live line tells where the load is."""
        if self._live is None:
            return
        share = (status.completed + status.failed) / max(1, status.requested)
        width = 20
        bar = "━" * round(share * width) + "╌" * (width - round(share * width))
        line = Text(f"… {self._name} {bar} {load_line(status)}", no_wrap=True, overflow="ellipsis")
        self._live.update(line)

    def _end(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def __del__(self) -> None:
        self._end()
