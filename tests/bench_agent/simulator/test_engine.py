"""Tests of the schedule, with a clock that a test turns."""

from __future__ import annotations

import pytest

from bench_agent.simulator import engine as engine_module
from bench_agent.simulator.engine import Engine, Stream
from bench_agent.simulator.jobs import Job
from bench_agent.simulator.meters import Meters
from bench_agent.simulator.options import Options
from bench_agent.simulator.replies import Script
from bench_agent.simulator.truth import TruthLog

MS = 1_000_000


class Wire:
    """Stands in for a connection: takes everything."""

    broken = False

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.stream: Stream | None = None

    def write(self, data: bytes) -> bool:
        """All of it."""
        self.written.append(data)
        return True


class Clock:
    """Both clocks of the engine."""

    now = 0

    def __call__(self) -> int:
        """Nanoseconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time stands still until a test moves it."""
    one = Clock()
    monkeypatch.setattr(engine_module, "monotonic_ns", one)
    monkeypatch.setattr(engine_module, "time_ns", one)
    return one


def submitted(engine: Engine, wire: Wire, tokens: int = 4, arrived: int = 0) -> None:
    """A streamed request of that many tokens."""
    job = Job(False, 1, tokens, stream=True, include_usage=True)
    script = Script(b"first", b"token", b"last", b"only")
    engine.submit(Stream(wire, job, script, "r", arrived))  # type: ignore[arg-type]  # a stand-in


def test_a_late_token_does_not_delay_the_next(clock: Clock) -> None:
    """Token i is due at start + ttft + i * itl, whatever happened before."""
    engine = Engine(Options(ttft_ms=50, itl_ms=10), Meters(), TruthLog())
    wire = Wire()
    submitted(engine, wire)
    due = []
    for late in (0, 7, 0, 0):
        due.append(engine.next_due_ns() or 0)
        clock.now = due[-1] + late * MS
        engine.emit_due()

    assert [50 * MS, 60 * MS, 70 * MS, 80 * MS] == due
    assert [b"first", b"token", b"token", b"last"] == wire.written


def test_what_is_overdue_goes_out_at_once(clock: Clock) -> None:
    """Each token with its own stamp, none before its time."""
    engine = Engine(Options(ttft_ms=50, itl_ms=10), Meters(), TruthLog())
    wire = Wire()
    submitted(engine, wire)
    clock.now = 49 * MS
    engine.emit_due()
    early = len(wire.written)
    clock.now = 75 * MS
    engine.emit_due()

    assert (0, 3) == (early, len(wire.written))


def test_the_clock_starts_when_the_request_arrived(clock: Clock) -> None:
    """Not when the loop came to read it."""
    engine = Engine(Options(ttft_ms=50), Meters(), TruthLog())
    clock.now = 30 * MS
    submitted(engine, Wire(), arrived=10 * MS)

    assert 60 * MS == engine.next_due_ns()


def test_a_queued_request_starts_when_a_place_is_free(clock: Clock) -> None:
    """Then its own time to first token runs."""
    engine = Engine(Options(ttft_ms=50, max_num_seqs=1), Meters(), TruthLog())
    submitted(engine, Wire(), tokens=1)
    submitted(engine, Wire(), tokens=1)
    clock.now = 55 * MS
    engine.emit_due()

    assert (105 * MS, False) == (engine.next_due_ns(), engine.idle)
