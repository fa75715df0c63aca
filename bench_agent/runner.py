"""One run from start to seal: probe, calibrate, warm up and measure each point, search, close."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import Any

from bench_agent import closing, engines, loads, storage
from bench_agent.client import StoppedError
from bench_agent.journal import STOPPING, Journal
from bench_agent.layout import RunDir, Workdir
from bench_agent.load.plan import LoadError
from bench_agent.load.pool import Outcome, describe, drive
from bench_agent.load.tally import Tally
from bench_agent.loads import Loads, search_point
from bench_agent.pace import Pace
from bench_agent.phases import Phases
from bench_agent.probe import ProbeError, probe
from bench_agent.protocol import Point, PointSummary, RunSpec
from bench_agent.search import Bisection
from bench_agent.summary import Measured
from bench_agent.telemetry import Telemetry
from bench_agent.verdict import client_faults
from bench_agent.wire import encode

#: After the planned end, closing may take this long; then the kernel ends the process.
CLOSING_S = 50
_STATUS_EVERY_S = 0.5
#: The kernel's alarm takes no more than 32 bits.
_LONGEST_S = 2.0e9
#: Kept aside so that a run on a full disk can still say so.
_RESERVE = 256 * 1024


class Runner:
    """The process of one run."""

    def __init__(self, workdir: Workdir, run: RunDir, spec: RunSpec, journal: Journal) -> None:
        self._workdir = workdir
        self._run = run
        self._spec = spec
        self._journal = journal
        left_ns = journal.status.planned_end_ns - time.time_ns()
        self._deadline = time.monotonic() + left_ns / 1e9
        self._phases = Phases()
        self._stop_reason = ""
        self._engine_died = False
        self._points: list[PointSummary] = []
        self._calibration: dict[str, Any] | None = None
        self._search: dict[str, Any] | None = None
        self._secret: str | None = None
        self._loads: Loads | None = None
        self._telemetry: Telemetry | None = None
        self._reserve = run.control / "reserve"
        self._next_status = 0.0
        self._pace = Pace(spec.points)

    def run(self) -> str:
        """Do all of it; returns the state in which the run was closed."""
        self._mind_signals()
        try:
            self._reserve.write_bytes(b"\0" * _RESERVE)
            self._journal.state("starting")
            try:
                self._measure()
            except StoppedError:  # while the server was asked for something
                if self._goes_on():
                    raise
            self._look_at_engine()  # it may have gone after the last look of the last point
            state, message = self._end(), self._stop_reason
            self._close(state)
        except Exception as error:  # noqa: BLE001 - whatever it was, the run has to say so and end
            state, message = "failed", describe(error)
            if not isinstance(error, (OSError, LoadError)):
                traceback.print_exc()  # a bug: agent.log has to show where
            self._fail(message)
        finally:
            for each in (self._telemetry, self._loads):
                if each is not None:
                    each.close()
        with suppress(OSError):
            self._reserve.unlink()
        self._journal.end(state, message)
        return state

    def _end(self) -> str:
        if self._engine_died:
            return "failed"
        return "incomplete" if self._stop_reason else "done"

    def _mind_signals(self) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        left_s = max(0.0, min(self._deadline - time.monotonic(), _LONGEST_S))
        signal.alarm(int(left_s) + CLOSING_S)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stop_reason = f"Stopped by {signal.Signals(number).name}."

    def _measure(self) -> None:
        self._secret = closing.read_secret(self._spec)
        self._telemetry = Telemetry(self._run, self._spec.target, self._secret)
        made = self._loads = Loads(self._spec, self._secret, lambda: self._idle_tick(None))
        if self._goes_on():
            self._probe(made)
        if self._spec.calibrate and self._goes_on():
            self._calibrate()
        if self._goes_on() and not self._spec.num_warmups:
            self._journal.state("running")
        for number, point in enumerate(self._spec.points):
            if self._goes_on() and not self._keep_done(point):
                self._do(made, point, number)
        if self._spec.search is not None:
            self._look_for_most(made, Bisection(self._spec.search))

    def _probe(self, made: Loads) -> None:
        self._journal.state("probing")
        with self._phases.measure("probing"):
            try:
                made.server = probe(made.probing(), lambda: self._idle_tick(None))
            except ProbeError:
                if self._goes_on():
                    raise
        for note in made.server.notes:
            self._journal.event("note", note)

    def _do(self, made: Loads, point: Point, number: int) -> None:
        self._silence(number)
        self._warm_up(made, point)
        if self._goes_on():
            self._measure_point(made, point)

    def _silence(self, number: int) -> None:
        """The gap that the spec wants between two points."""
        end = time.monotonic() + (self._spec.point_gap_s if number else 0.0)
        while time.monotonic() < end and self._idle_tick(None):
            time.sleep(min(0.1, max(0.0, end - time.monotonic())))

    def _keep_done(self, point: Point) -> bool:
        """Whether *point* was measured before the run was taken up again."""
        if point.name not in closing.closed_points(self._run):
            return False
        summary = closing.stored(self._run, point.name)
        self._points.append(summary)
        tally = Tally(summary.requested, summary.completed, summary.failed)
        tally.output_tokens = summary.total_output_tokens
        self._pace.end(tally)
        return True

    def _look_for_most(self, made: Loads, bisection: Bisection) -> None:
        """The points of the search, one after the other, each where the last ones lead."""
        search, names = self._spec.search, []
        while search and (value := bisection.next()) is not None and self._goes_on():
            point = search_point(search, len(self._points), value)
            if not self._keep_done(point):
                self._do(made, point, len(self._points))
            summary = self._points[-1]
            if summary.point.name != point.name:
                break  # stopped before it began
            names.append(point.name)
            faults = client_faults(self._spec, summary, self._calibration)
            for fault in faults:
                self._journal.event("note", f"The search ends here. {fault}")
            bisection.tell(value, None if faults or self._stop_reason else summary.good_share)
        found = bisection.result()
        steps = [{"point": name, **step} for name, step in zip(names, found["steps"], strict=True)]
        self._search = {**found, "steps": steps}

    def _goes_on(self) -> bool:
        if not self._stop_reason and time.monotonic() >= self._deadline:
            self._stop_reason = "The planned end came before the load was through."
        self._look_at_engine()
        return not self._stop_reason

    def _look_at_engine(self) -> None:
        """Without it, all that is still sent fails: what was measured before is kept."""
        if not self._stop_reason and (what := engines.died(self._spec.target)):
            self._stop_reason, self._engine_died = what, True
            self._journal.event("note", what)

    def _calibrate(self) -> None:
        # It brings the simulator, and many runs have no need of either.
        from bench_agent.calibration import CalibrationError, calibrate  # noqa: PLC0415 - see above

        self._journal.state("calibrating")
        with self._phases.measure("calibrating"):
            try:
                self._calibration = calibrate(
                    self._spec,
                    loads.workers(self._spec),
                    self._workdir.calibration,
                    self._idle_tick,
                )
            except CalibrationError as error:
                self._journal.event("note", str(error))
        if self._calibration is not None:
            mean = self._calibration["ttft_error_ms"]["mean"]
            streams = self._calibration["streams"]
            self._journal.event(
                "note", f"The client's own TTFT error at {streams} streams: {mean:.3f} ms."
            )
            if self._calibration.get("note"):
                self._journal.event("note", self._calibration["note"])

    def _warm_up(self, made: Loads, point: Point) -> None:
        if not self._spec.num_warmups or not self._goes_on():
            return
        self._journal.state("warming")
        with self._phases.measure("warming"):
            outcome = drive(made.warm_up(point), None, self._idle_tick)
        if outcome.tally.failed:
            count = f"{outcome.tally.failed} of {self._spec.num_warmups}"
            self._journal.event("note", f"{count} warm-up requests failed.")
        if self._goes_on():
            self._journal.state("running")

    def _measure_point(self, made: Loads, point: Point) -> None:
        self._run.point(point.name).mkdir(parents=True, exist_ok=True)
        records = self._run.records(point.name)
        records.write_bytes(b"")  # what a run left that was taken up again
        load = made.of(point)
        self._journal.update(point=point.name)
        self._journal.event("point", point.name)
        self._pace.begin()
        with self._phases.measure("running"), self._watched(point):
            outcome = drive(load, records, self._tick)
        self._look_at_engine()
        self._show(outcome.tally)
        self._pace.end(outcome.tally)
        with self._phases.measure("closing"):
            if load.keep_texts and not load.usage:
                made.recount(records)
            known = _measured(outcome, made.template)
            summary = closing.close_point(
                self._run, self._spec_as_taken(), point, known, self._calibration
            )
        self._points.append(summary)
        if not outcome.stopped and not self._engine_died:
            done = [p.point.name for p in self._points]
            storage.write_json(self._run.done, done)
            self._journal.update(points_done=len(done))
        told = f"{point.name}: {summary.completed} of {summary.requested} requests completed"
        self._journal.event("point_done", told)

    @contextmanager
    def _watched(self, point: Point) -> Iterator[None]:
        if self._telemetry is None:
            yield
            return
        self._telemetry.begin(point.name)
        try:
            yield
        finally:
            self._telemetry.end()

    def _idle_tick(self, _tally: Tally | None) -> bool:
        """While something goes on that is not counted."""
        if time.monotonic() >= self._next_status:
            self._next_status = time.monotonic() + _STATUS_EVERY_S
            self._journal.update()
        return self._goes_on()

    def _tick(self, tally: Tally) -> bool:
        if time.monotonic() >= self._next_status:
            self._next_status = time.monotonic() + _STATUS_EVERY_S
            self._show(tally)
        return self._goes_on()

    def _show(self, tally: Tally) -> None:
        tally.streaming *= self._goes_on()
        self._journal.update(**self._pace.status(tally, self._deadline - time.monotonic()))

    def _close(self, state: str) -> None:
        self._journal.state("closing", self._stop_reason)
        if self._telemetry is not None:
            self._telemetry.close()  # nobody may write any more
        closing.close_run(
            self._run,
            self._spec,
            state=state,
            started_ns=self._journal.status.started_ns,
            ended_ns=time.time_ns(),
            points=self._points,
            calibration=self._calibration,
            phases=self._phases.seconds,
            secret=self._secret,
            server=None if self._loads is None else encode(self._loads.server),
            search=self._search,
            why=self._stop_reason if self._engine_died else "",
        )

    def _fail(self, message: str) -> None:
        """Save what can be saved, smallest first: the disk may be full."""
        self._stop_reason = message
        with suppress(OSError):
            self._reserve.unlink(missing_ok=True)
        try:
            self._points = closing.close_points(
                self._run, self._spec_as_taken(), self._calibration, self._points, lenient=True
            )
            self._close("failed")
        except Exception as error:  # noqa: BLE001 - there is still the last word to be said
            print(f"The run could not be sealed: {describe(error)}", flush=True)

    def _spec_as_taken(self) -> RunSpec:
        """The spec, less what the server would not have."""
        made = self._loads
        heeded = self._spec.ignore_eos and (made is None or made.server.ignore_eos)
        return replace(self._spec, ignore_eos=heeded)


def _measured(outcome: Outcome, template: int | None) -> Measured:
    tally = outcome.tally
    return Measured(
        started_ns=outcome.started_ns,
        ended_ns=outcome.ended_ns,
        workers=outcome.workers,
        cpu_s=round(tally.cpu_s, 6),
        clock_step_ms=tally.clock_step_ms,
        lost_segments=tally.lost_segments,
        lag_ms=outcome.lag_ms,
        busiest_cpu=round(tally.busiest_cpu, 3),
        stopped=outcome.stopped,
        template=template,
    )
