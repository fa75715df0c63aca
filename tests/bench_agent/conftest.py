"""Servers to put a load on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bench_agent import storage
from bench_agent.journal import Journal
from bench_agent.layout import RunDir, Workdir
from bench_agent.protocol import RunSpec
from bench_agent.runner import Runner
from bench_agent.simulator.options import Options
from bench_agent.simulator.process import start_simulator
from bench_agent.simulator.server import listen
from bench_agent.wire import encode
from tests.bench_agent.misbehaving import misbehaving

Simulate = Callable[..., str]
Run = Callable[..., tuple[RunDir, str]]


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    """Start a simulator in a process of its own; its URL."""
    stops: list[Callable[[], None]] = []

    def start(**options: object) -> str:
        listener = listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        quick = {"ttft_ms": 5.0, "itl_ms": 1.0}
        stops.append(start_simulator(Options(**{**quick, **options}), listener))  # type: ignore[arg-type]
        return f"http://127.0.0.1:{port}"

    yield start
    for stop in reversed(stops):  # a later one holds the pipes of those before it
        stop()


@pytest.fixture
def faulty() -> Iterator[str]:
    """The base URL of a server that fails as its path names."""
    with misbehaving() as url:
        yield url


@pytest.fixture
def own_signals() -> Iterator[None]:
    """What a runner sets in its process is undone."""
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.alarm(0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe; what is still open is closed."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


@pytest.fixture
def records_path(tmp_path: Path) -> Path:
    """Where records go."""
    return tmp_path / "records.jsonl"


@pytest.fixture
def go(tmp_path: Path) -> Run:
    """Run a spec; its folder and the state that it ended in."""

    def run(spec: RunSpec) -> tuple[RunDir, str]:
        workdir = Workdir(tmp_path)
        folder = workdir.run(spec.run_id)
        folder.control.mkdir(parents=True, exist_ok=True)
        storage.write_json(folder.spec, encode(spec))
        return folder, Runner(workdir, folder, spec, Journal(folder, spec)).run()

    return run
