"""How the long work of a run tells where it is; who shows it is somebody else's matter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from bench_agent.protocol import RunStatus


class Progress(Protocol):
    """Who hears of it: a terminal, plain lines, or nobody."""

    def phase(self, name: str) -> None:
        """A phase begins: connect, provision, serve, load, collect, stop."""
        ...

    def note(self, text: str) -> None:
        """Say something that a person should know."""
        ...

    def load(self, status: RunStatus) -> None:
        """Tell where the load is, about twice a second."""
        ...

    def done(self, name: str, seconds: float) -> None:
        """A phase ended well."""
        ...


class Phases:
    """Times each phase and tells it; `seconds` by name, in order."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self.current = "open"

    def add(self, name: str, seconds: float) -> None:
        """Keep what a part of a phase took; parts may overlap: ``provision.docker``."""
        self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 3)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time one phase; a phase that is entered again adds up."""
        self.current = name
        self.seconds.setdefault(name, 0.0)  # before its parts
        self.progress.phase(name)
        begun = time.monotonic()
        try:
            yield
        finally:
            took = time.monotonic() - begun
            self.add(name, took)
        self.progress.done(name, took)
