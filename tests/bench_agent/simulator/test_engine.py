"""Tests of the schedule, with a clock that a test turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent.simulator import engine as engine_module
from bench_agent.simulator.engine import Engine, Stream
from bench_agent.simulator.jobs import Job
from bench_agent.simulator.meters import Meters
from bench_agent.simulator.options import Options
from bench_agent.simulator.replies import Script
from bench_agent.simulator.truth import TruthLog

MS = 1_000_000


class Wire:
    """Stands in for a connection: takes everything, while there is room."""

    broken = False

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.stream: Stream | None = None
        self.room = True

    def write(self, data: bytes) -> bool:
        """All of it; whether there is room for more."""
        self.written.append(data)
        return self.room


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
    script = Script(b"first", (b"token", b"other"), b"last", b"only")
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
    assert [b"first", b"token", b"other", b"last"] == wire.written


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


def test_a_stream_that_was_held_catches_up(clock: Clock) -> None:
    """Its overdue tokens go out at once, the others' in their time."""
    engine = Engine(Options(ttft_ms=50, itl_ms=10), Meters(), TruthLog())
    slow, other = Wire(), Wire()
    submitted(engine, slow)
    clock.now = 2 * MS
    submitted(engine, other, arrived=2 * MS)
    slow.room = False
    clock.now = 71 * MS
    touched = engine.emit_due()
    held = len(slow.written), len(other.written), engine.next_due_ns()
    assert slow.stream is not None
    slow.room = True
    engine.resume(slow.stream)
    engine.resume(slow.stream)  # one that is not held has nothing to resume
    engine.emit_due()
    caught_up = len(slow.written), len(other.written), engine.next_due_ns()
    clock.now = 80 * MS
    engine.emit_due()

    assert [id(slow)] == list(map(id, touched))
    assert (1, 2, 72 * MS) == held
    assert (3, 2, 72 * MS) == caught_up
    assert (4, 3, 82 * MS) == (len(slow.written), len(other.written), engine.next_due_ns())


def test_a_stream_whose_client_went_sends_no_more(clock: Clock) -> None:
    """The others do."""
    engine = Engine(Options(ttft_ms=50, itl_ms=10), Meters(), TruthLog())
    gone, other = Wire(), Wire()
    submitted(engine, gone)
    submitted(engine, other)
    clock.now = 50 * MS
    engine.emit_due()
    assert gone.stream is not None
    engine.abort(gone.stream)
    clock.now = 60 * MS
    engine.emit_due()

    assert (1, 2) == (len(gone.written), len(other.written))


@given(
    starts=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    looks=st.lists(st.integers(1, 30), max_size=40),
)
def test_every_token_goes_at_the_first_look_after_it_is_due(
    starts: list[int], looks: list[int]
) -> None:
    """Whenever streams begin, and however late the looks are."""
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(engine_module, "monotonic_ns", clock)
        patch.setattr(engine_module, "time_ns", clock)
        engine = Engine(Options(ttft_ms=20, itl_ms=7), Meters(), TruthLog())
        wires = [Wire() for _ in starts]
        waiting = list(zip(starts, wires, strict=True))
        for step in [*looks, 1000]:
            clock.now += step * MS
            for pair in [pair for pair in waiting if pair[0] * MS <= clock.now]:
                waiting.remove(pair)
                submitted(engine, pair[1], arrived=pair[0] * MS)
            engine.emit_due()
            past = [(clock.now // MS - start - 20) // 7 + 1 for start in starts]

            assert [max(0, min(4, n)) for n in past] == [len(wire.written) for wire in wires]

        assert (None, True) == (engine.next_due_ns(), engine.idle)


def test_many_streams_are_served_together(clock: Clock) -> None:
    """In steps of a moment; what is due already is not put off."""
    engine = Engine(Options(ttft_ms=50, itl_ms=10), Meters(), TruthLog())
    few = Engine(Options(ttft_ms=50, itl_ms=10), Meters(), TruthLog())
    clock.now = 1
    submitted(few, Wire(), arrived=1)
    for _ in range(engine_module.CROWD):
        submitted(engine, Wire(), arrived=1)
    looks = []
    for now in (1, 50 * MS, 50 * MS + 1):
        clock.now = now
        looks.append((few.look_again_ns(), engine.look_again_ns()))
    due = 50 * MS + 1

    assert [(due, due), (due, 50 * MS + engine_module.MOMENT_NS), (due, due)] == looks
    assert Engine(Options(), Meters(), TruthLog()).look_again_ns() is None
