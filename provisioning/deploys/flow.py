"""Steps run side by side where nothing says that one must wait for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue

from provisioning.deploys.report import StepReport
from provisioning.deploys.step import Step
from provisioning.deploys.trial import Trial
from provisioning.errors import DynoError
from provisioning.host import Host

#: Below the ten sessions that an SSH server allows on one connection: a step may hold two, and
#: the lock is renewed on another.
AT_ONCE = 4
#: Steps whose long work is no child of ours: it goes on when nobody waits, and is joined.
_GO_ON = frozenset({"images", "model", "python_env"})
#: Hears of a step, and one short line.
Tell = Callable[[str, str], None]
_Over = tuple[Step, StepReport | BaseException]


def run(
    steps: Sequence[Step], host: Host, trials: Mapping[str, Trial], tell: Tell
) -> tuple[StepReport, ...]:
    """Run those of *steps* (in order) that have work, or come after one that changed something.

    Raises:
        DynoError: of the first that failed, with the step in its phase. Those that had not begun
            are not; those that had are over, but for what goes on by itself on the host.
    """
    return _Flow(steps, host, trials, tell).run()


class _LeftError(BaseException):
    """Nobody waits for a step any more: it ends at its next word."""


class _Flow:
    """State of one run; only the thread that calls `run` touches it."""

    def __init__(
        self, steps: Sequence[Step], host: Host, trials: Mapping[str, Trial], tell: Tell
    ) -> None:
        self._host = host
        self._trials = trials
        self._tell = tell
        self._names = {step.name for step in steps}
        self._waiting = list(steps)
        self._running: set[str] = set()
        self._done: dict[str, StepReport] = {}
        self._moved: set[str] = set()  # changed something, or come after one that did
        self._over: SimpleQueue[_Over] = SimpleQueue()
        self._order = [step.name for step in steps]
        self._left = threading.Event()

    def run(self) -> tuple[StepReport, ...]:
        failure: BaseException | None = None
        while True:
            if failure is None:
                self._begin_ready()
            if not self._running or (failure is not None and self._running <= _GO_ON):
                break
            step, outcome = self._over.get()
            self._running.discard(step.name)
            if isinstance(outcome, StepReport):
                self._end(step, outcome)
            else:
                failure = failure or outcome
                self._say_failed(step, outcome)
        if failure is not None:
            self._leave()
            raise failure
        return tuple(self._done[name] for name in self._order)

    def _begin_ready(self) -> None:
        """Begin all that may, as long as there is room; what has no work is over at once."""
        progress = True
        while progress:
            progress = False
            for step in list(self._waiting):
                if not self._before(step) <= self._done.keys():
                    continue
                if self._idle(step):
                    self._waiting.remove(step)
                    self._end(step, StepReport(step.name, after=step.after))
                    progress = True
                elif len(self._running) < AT_ONCE:
                    self._waiting.remove(step)
                    self._begin(step)

    def _before(self, step: Step) -> set[str]:
        return set(step.after) & self._names

    def _idle(self, step: Step) -> bool:
        return not self._trials[step.name].work and not self._before(step) & self._moved

    def _begin(self, step: Step) -> None:
        self._running.add(step.name)
        branch = self._host.fork(fresh=bool(self._before(step) & self._moved))
        # A daemon: Ctrl-C must not wait for a download.
        threading.Thread(target=self._work, args=(step, branch), daemon=True).start()

    def _work(self, step: Step, branch: Host) -> None:
        try:
            outcome: StepReport | BaseException = _run(step, branch, self._hear)
        except BaseException as error:  # noqa: BLE001 - raised again by who waits for it
            outcome = error
        self._over.put((step, outcome))

    def _end(self, step: Step, report: StepReport) -> None:
        self._done[step.name] = report
        if report.changed or self._before(step) & self._moved:
            self._moved.add(step.name)

    def _say_failed(self, step: Step, error: BaseException) -> None:
        if isinstance(error, DynoError):
            error.phase = f"provision.{step.name}"
        what = error.what if isinstance(error, DynoError) else type(error).__name__
        awaited = self._running - _GO_ON
        more = f" Waiting for the end of {', '.join(sorted(awaited))}." if awaited else ""
        self._tell(step.name, f"failed: {what}{more}")

    def _leave(self) -> None:
        self._left.set()
        for name in sorted(self._running):
            self._tell(name, "goes on by itself on the host; the next run joins it")

    def _hear(self, step: str, text: str) -> None:
        if self._left.is_set():
            raise _LeftError
        self._tell(step, text)


def _run(step: Step, branch: Host, tell: Tell) -> StepReport:
    """Apply the operations of one step, each with facts of its own time, then what it runs."""
    begun = time.monotonic()
    branch.tell = lambda text: tell(step.name, text)
    for operation in step.operations:
        branch.gather(*step.facts)
        branch.execute(*operation(branch), label=f"provision.{step.name}")
    if step.run is not None:
        branch.gather(*step.facts)
        step.run(branch, branch.tell)
    took = time.monotonic() - begun
    if branch.ran:
        tell(step.name, f"done in {took:.1f} s")
    commands = tuple(map(str, branch.ran))
    return StepReport(step.name, commands, took, changed=bool(commands), after=step.after)
