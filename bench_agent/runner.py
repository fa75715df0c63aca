"""One run from start to seal: calibrate, warm up, each point in turn, close."""

from __future__ import annotations

import os
import signal
import time
import traceback
from contextlib import suppress
from types import FrameType
from typing import Any

from bench_agent import closing, storage, workloads
from bench_agent.calibration import CalibrationError, calibrate
from bench_agent.journal import STOPPING, Journal
from bench_agent.layout import RunDir, Workdir
from bench_agent.load.plan import Load, LoadError
from bench_agent.load.pool import STREAMS_A_WORKER, Outcome, describe, drive
from bench_agent.load.worker import Tally
from bench_agent.phases import Phases
from bench_agent.protocol import Point, PointSummary, RunSpec
from bench_agent.specs import at_once
from bench_agent.summary import Measured
from bench_agent.telemetry import Telemetry

#: After the planned end, closing may take this long; then the kernel ends the process.
CLOSING_S = 50
_STATUS_EVERY_S = 0.5
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
        self._points: list[PointSummary] = []
        self._calibration: dict[str, Any] | None = None
        self._secret: str | None = None
        self._telemetry: Telemetry | None = None
        self._reserve = run.control / "reserve"
        self._next_status = 0.0
        self._before = Tally()  # of the points that are done
        self._rate: tuple[float, int] | None = None

    def run(self) -> str:
        """Do all of it; returns the state in which the run was closed."""
        self._mind_signals()
        try:
            self._reserve.write_bytes(b"\0" * _RESERVE)
            self._journal.state("starting")
            self._measure()
            state, message = (
                ("incomplete", self._stop_reason) if self._stop_reason else ("done", "")
            )
            self._close(state)
        except Exception as error:  # noqa: BLE001 - whatever it was, the run has to say so and end
            state, message = "failed", describe(error)
            if not isinstance(error, (OSError, LoadError)):
                traceback.print_exc()  # a bug: agent.log has to show where
            self._fail(message)
        with suppress(OSError):
            self._reserve.unlink()
        self._journal.end(state, message)
        return state

    def _mind_signals(self) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(max(0, int(self._deadline - time.monotonic())) + CLOSING_S)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stop_reason = f"Stopped by {signal.Signals(number).name}."

    def _measure(self) -> None:
        self._secret = closing.read_secret(self._spec)
        self._telemetry = Telemetry(self._run, self._spec.target, self._secret)
        if self._spec.calibrate and self._goes_on():
            self._calibrate()
        if self._spec.num_warmups and self._goes_on():
            self._warm_up()
        if self._goes_on():
            self._journal.state("running")
        for point in self._spec.points:
            if self._goes_on():
                self._measure_point(point)

    def _goes_on(self) -> bool:
        if not self._stop_reason and time.monotonic() >= self._deadline:
            self._stop_reason = "The planned end came before the load was through."
        return not self._stop_reason

    def _calibrate(self) -> None:
        self._journal.state("calibrating")
        with self._phases.measure("calibrating"):
            try:
                self._calibration = calibrate(
                    self._spec, self._workers(), self._workdir.calibration, self._idle_tick
                )
            except CalibrationError as error:
                self._journal.event("note", str(error))
        if self._calibration is not None:
            mean = self._calibration["ttft_error_ms"]["mean"]
            streams = self._calibration["streams"]
            self._journal.event(
                "note", f"The client's own TTFT error at {streams} streams: {mean:.3f} ms."
            )

    def _workers(self) -> int:
        if self._spec.workers is not None:
            return self._spec.workers
        most = max(
            min(p.num_prompts, p.max_concurrency or p.num_prompts) for p in self._spec.points
        )
        return max(1, min(os.cpu_count() or 1, -(-most // STREAMS_A_WORKER)))

    def _warm_up(self) -> None:
        self._journal.state("warming")
        first = self._spec.points[0]
        point = Point("warm-up", self._spec.num_warmups, first.max_concurrency)
        with self._phases.measure("warming"):
            outcome = drive(self._load(point), None, self._idle_tick)
        if outcome.tally.failed:
            count = f"{outcome.tally.failed} of {point.num_prompts}"
            self._journal.event("note", f"{count} warm-up requests failed.")

    def _load(self, point: Point) -> Load:
        spec = self._spec
        return Load(
            name=f"{spec.run_id}/{point.name}",
            base_urls=spec.target.base_urls,
            model=spec.target.model,
            api=spec.target.api,
            # A stream of its own: a prompt that was sent before would be in the prefix cache.
            prompt=workloads.prompts(spec.workload, spec.target.api, point.name),
            output_len=spec.workload.output_len,
            num_prompts=point.num_prompts,
            max_concurrency=point.max_concurrency,
            request_rate=point.request_rate,
            api_key=self._secret,
            timeout_s=spec.limits.request_timeout_s,
            ignore_eos=spec.ignore_eos,
            temperature=spec.temperature,
            extra_body=spec.extra_body,
            workers=self._workers(),
        )

    def _measure_point(self, point: Point) -> None:
        self._run.point(point.name).mkdir(parents=True, exist_ok=True)
        self._run.records(point.name).touch()
        self._journal.update(point=point.name)
        self._journal.event("point", point.name)
        self._rate = None
        with self._phases.measure("running"):
            outcome = drive(self._load(point), self._run.records(point.name), self._tick)
        self._add(outcome)
        with self._phases.measure("closing"):
            summary = self._summarise(point, _measured(outcome))
        self._points.append(summary)
        done = self._journal.status.points_done + (not outcome.stopped)
        self._journal.update(points_done=done)
        told = f"{point.name}: {summary.completed} of {point.num_prompts} requests completed"
        self._journal.event("point_done", told)

    def _add(self, outcome: Outcome) -> None:
        tally = outcome.tally
        tally.streaming = 0
        self._show(tally)
        self._before = Tally(
            requested=self._before.requested + tally.requested,
            completed=self._before.completed + tally.completed,
            failed=self._before.failed + tally.failed,
            output_tokens=self._before.output_tokens + tally.output_tokens,
        )

    def _idle_tick(self, _tally: Tally) -> bool:
        """While something goes on that is not counted."""
        if time.monotonic() >= self._next_status:
            self._next_status = time.monotonic() + _STATUS_EVERY_S
            self._journal.update()
        return self._goes_on()

    def _tick(self, tally: Tally) -> bool:
        if time.monotonic() >= self._next_status:
            self._next_status = time.monotonic() + _STATUS_EVERY_S
            self._show(tally)
        if self._telemetry is not None:
            self._telemetry.sample(self._journal.status.point)
        return self._goes_on()

    def _show(self, tally: Tally) -> None:
        before = self._before
        done = before.completed + before.failed + tally.completed + tally.failed
        self._journal.update(
            completed=before.completed + tally.completed,
            failed=before.failed + tally.failed,
            # A chunk is a token, near enough, until the server's count is known.
            output_tokens=before.output_tokens + tally.output_tokens + tally.streaming,
            output_tokens_per_s=self._tokens_per_s(tally.output_tokens + tally.streaming),
            eta_s=self._eta_s(tally, done),
        )

    def _tokens_per_s(self, tokens: int) -> float:
        """Since the load of this point began."""
        now = time.monotonic()
        if self._rate is None:
            self._rate = (now, tokens)
        since, first = self._rate
        return round((tokens - first) / (now - since), 1) if now > since else 0.0

    def _eta_s(self, tally: Tally, done: int) -> float | None:
        """Waves of requests that are still to come, at the pace of those of this point."""
        if self._rate is None or not tally.completed:
            return None
        left, over = 0.0, done
        over_here = tally.completed + tally.failed
        for point in self._spec.points:
            over_of_it = min(over, point.num_prompts)
            over -= over_of_it
            left += (point.num_prompts - over_of_it) / at_once(point)
        here = self._spec.points[len(self._points)]
        wave_s = (time.monotonic() - self._rate[0]) / (over_here / at_once(here))
        return round(min(left * wave_s, max(0.0, self._deadline - time.monotonic())), 1)

    def _close(self, state: str) -> None:
        self._journal.state("closing", self._stop_reason)
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
        )

    def _fail(self, message: str) -> None:
        """Save what can be saved, smallest first: the disk may be full."""
        self._stop_reason = message
        with suppress(OSError):
            self._reserve.unlink(missing_ok=True)
        done = {summary.point.name for summary in self._points}
        try:
            for point in self._spec.points:
                records = self._run.records(point.name)
                if point.name not in done and records.exists():
                    storage.drop_torn_line(records)
                    self._points.append(self._summarise(point, None, lenient=True))
            self._close("failed")
        except Exception as error:  # noqa: BLE001 - there is still the last word to be said
            print(f"The run could not be sealed: {describe(error)}", flush=True)

    def _summarise(
        self, point: Point, measured: Measured | None, *, lenient: bool = False
    ) -> PointSummary:
        return closing.close_point(
            self._run, self._spec, point, measured, self._calibration, lenient=lenient
        )


def _measured(outcome: Outcome) -> Measured:
    tally = outcome.tally
    return Measured(
        started_ns=outcome.started_ns,
        ended_ns=outcome.ended_ns,
        workers=outcome.workers,
        cpu_s=round(tally.cpu_s, 6),
        clock_step_ms=tally.clock_step_ms,
    )
