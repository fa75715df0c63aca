"""Results before teardown: may this machine go?

``python -m provisioning.guard`` is what the guard resource of a stack runs when it is to be
deleted. JSON on standard input: ``outputs`` (of the stack), ``results`` (the folder at home),
``host_exists`` (what the cloud says). Progress on standard error, one JSON object on standard
output: ``pass``, ``message``, ``collected``, ``lost``. Exit 0: pass; 1: refuse.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench_agent.protocol import ACTIVE_STATES, DIED, HostStatus, RunListing
from provisioning import rundir
from provisioning.agent import Agent
from provisioning.collect import collect, intact
from provisioning.errors import DynoError, HostKeyError, RemoteError
from provisioning.follow import follow
from provisioning.remote import SshRemote
from provisioning.stack import RESERVE, minutes, time_left
from stacks.outputs import StackOutputs, from_dict

_SAY_EVERY_S = 5.0
_PAUSE_S = 1.0

Say = Callable[[str], None]


@dataclass
class Outcome:
    """What the guard says."""

    passed: bool
    message: str = ""
    collected: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def judge(outputs: StackOutputs, results: Path, *, host_exists: bool, say: Say) -> Outcome:
    """Decide whether the stack's machine may be deleted; brings home what is not.

    Raises:
        DynoError: results are on the host and could not be brought home.
    """
    if not outputs.hosts:
        return Outcome(passed=True, message="The stack has no machine of its own.")
    if not host_exists:
        return _vanished(results, outputs.stack, say)
    remote = SshRemote(outputs.hosts[0], outputs.ssh_private_key)
    try:
        agent = Agent(remote, outputs.hosts[0].workdir)
        try:
            status = _ask(agent)
        except RemoteError as error:
            return _unreachable(outputs, results, error, say)
        if status is None:
            return Outcome(passed=True, message="No run was ever started there.")
        return _bring_home(agent, outputs, results, status, say)
    finally:
        remote.close()


def _ask(agent: Agent) -> HostStatus | None:
    """The host's runs; asked once more where it does not answer: a reboot must not cost a run."""
    try:
        return agent.status_if_there()
    except HostKeyError:
        raise
    except RemoteError:
        time.sleep(_PAUSE_S)
    return agent.status_if_there()


def _vanished(results: Path, stack: str, say: Say) -> Outcome:
    lost = [run for run in rundir.runs(results, stack) if not run.settled()]
    for run in lost:
        run.change(state="lost")
        say(f"The machine is gone, and the run {run.run_id} with it: marked as lost.")
    return Outcome(True, "The machine does not exist any more.", lost=[r.run_id for r in lost])


def _unreachable(outputs: StackOutputs, results: Path, error: RemoteError, say: Say) -> Outcome:
    open_runs = [run.run_id for run in rundir.runs(results, outputs.stack) if not _safe(run)]
    if not open_runs:
        say(f"{error.what} No run was ever started there: nothing can be lost.")
        return Outcome(passed=True, message=error.what)
    named = " ".join(open_runs)
    return Outcome(
        passed=False,
        message=(
            f"Results may lie on {outputs.hosts[0].name} only: {', '.join(open_runs)}. "
            f"{error.what} Nothing was deleted. Mend the connection and destroy again, or give "
            f"them up: `fab abandon --stack {outputs.stack} --run {named.split()[0]}`."
        ),
    )


def _safe(run: rundir.RunDir) -> bool:
    """Whether a teardown can lose nothing of the run: what is home is looked at, not believed."""
    return run.settled() and (run.abandoned or not run.whole or intact(run))


def _bring_home(
    agent: Agent, outputs: StackOutputs, results: Path, status: HostStatus, say: Say
) -> Outcome:
    outcome = Outcome(passed=True, message="Every run is home.")
    for listing in status.runs:
        run = rundir.RunDir(results / outputs.stack / listing.run_id)
        if run.abandoned or intact(run):
            continue
        _close(agent, outputs, listing, say)
        say(f"Bringing {listing.run_id} home.")
        run.path.mkdir(parents=True, exist_ok=True)
        collect(agent, run, say)
        outcome.collected.append(listing.run_id)
        say(f"{listing.run_id} is home and verified: {run.path}")
    _mark_never_started(results, outputs.stack, status)
    return outcome


def _close(agent: Agent, outputs: StackOutputs, listing: RunListing, say: Say) -> None:
    if listing.state in ACTIVE_STATES:
        wait_until_closed(agent, outputs, listing.run_id, say)
    elif listing.state == DIED or not listing.sealed:
        agent.seal(listing.run_id)


def wait_until_closed(agent: Agent, outputs: StackOutputs, run_id: str, say: Say) -> None:
    """Wait for an active run to end; ten minutes before expiry it is ended."""
    say(f"The run {run_id} is active: waiting for its end.")
    last = 0.0

    def on_event(event: Any) -> None:
        nonlocal last
        if event.status is None or time.monotonic() - last < _SAY_EVERY_S:
            return
        last = time.monotonic()
        status = event.status
        eta = "" if status.eta_s is None else f", {minutes(timedelta(seconds=status.eta_s))} left"
        say(f"{run_id}: {status.completed + status.failed}/{status.requested} requests{eta}")

    def out_of_time() -> bool:
        left = time_left(outputs)
        return left is not None and left < RESERVE

    end = follow(agent, run_id, on_event, until=out_of_time)
    if end is None:
        say(f"The machine goes in less than {minutes(RESERVE)}: ending {run_id} now.")
        agent.stop(run_id)
    elif end == DIED:
        agent.seal(run_id)


def _mark_never_started(results: Path, stack: str, status: HostStatus) -> None:
    """A run that was asked for while the connection broke, and that the host never got."""
    there = {listing.run_id for listing in status.runs}
    for run in rundir.runs(results, stack):
        if not run.settled() and run.run_id not in there:
            run.change(state="failed")


def _mark_unguarded(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rundir.durable(folder / rundir.UNGUARDED, b"")


def main() -> int:
    """Read the question, print the answer."""

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    question = json.load(sys.stdin)
    try:
        outcome = judge(
            from_dict(question["outputs"]),
            Path(question["results"]),
            host_exists=question["host_exists"],
            say=say,
        )
        if outcome.passed:
            rundir.end_serving(Path(question["results"]), question["outputs"]["stack"])
            _mark_unguarded(Path(question["results"]) / question["outputs"]["stack"])
    except (DynoError, OSError) as error:
        outcome = Outcome(passed=False, message=str(error))
    answer = asdict(outcome)
    print(json.dumps({"pass": answer.pop("passed"), **answer}))
    return 0 if outcome.passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
