"""``start``: a run, detached; its spec comes on standard input."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from bench_agent import storage
from bench_agent.detach import detached
from bench_agent.journal import STOPPING, Journal
from bench_agent.layout import RunDir, Workdir
from bench_agent.liveness import hold
from bench_agent.protocol import RunSpec
from bench_agent.resuming import CannotResume, reopen
from bench_agent.specs import SpecError, read_spec
from bench_agent.wire import encode

BAD_SPEC = 2
EXISTS = 3
#: For the caller, who holds the lock for a moment, too.
_PATIENCE_S = 2.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this command."""
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that ended before it was through"
    )


def run(args: argparse.Namespace) -> int:
    """Start the run, and print its id and pid once its status can be read."""
    try:
        spec = read_spec(sys.stdin.buffer.read())
    except SpecError as error:
        print(error, file=sys.stderr)
        return BAD_SPEC
    workdir = Workdir(Path(args.workdir).resolve())
    folder = workdir.run(spec.run_id)
    workdir.runs_path.mkdir(parents=True, exist_ok=True)
    try:
        _open(folder, spec, resume=args.resume)
    except CannotResume as error:
        print(error, file=sys.stderr)
        return EXISTS
    storage.write_json(folder.spec, encode(spec))
    folder.recipe.write_text(spec.recipe_yaml)
    pid = detached(lambda tell: _live(workdir, folder, spec, tell), folder.agent_log)
    if pid is None:
        print(f"The agent ended at once. Its log: {folder.agent_log}", file=sys.stderr)
        return 1
    print(json.dumps({"run_id": spec.run_id, "pid": int(pid)}))
    return 0


def _open(folder: RunDir, spec: RunSpec, *, resume: bool) -> None:
    """The run's folder, new or again.

    Raises:
        CannotResume: it is there and should not be, or cannot be taken up.
    """
    if resume and folder.path.is_dir():
        held = hold(folder.alive) if folder.control.is_dir() else None
        if held is None:
            raise CannotResume(f"Run {spec.run_id} is at work, or being sealed. Follow it instead.")
        try:
            reopen(folder, spec)
        finally:
            os.close(held)
        return
    try:
        folder.path.mkdir()
    except FileExistsError:
        told = f"Run {spec.run_id} exists already on this host. Follow it instead."
        raise CannotResume(told) from None
    folder.control.mkdir()


def _live(workdir: Workdir, folder: RunDir, spec: RunSpec, tell: Callable[[str], None]) -> None:
    if hold(folder.alive, _PATIENCE_S) is None:
        print("Another process took the run up in the same moment.", flush=True)
        return
    # A stop that comes before the runner is there waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    journal = Journal(folder, spec)
    journal.update()
    tell(str(journal.status.pid))
    from bench_agent.runner import Runner  # noqa: PLC0415 - the caller need not wait for it

    Runner(workdir, folder, spec, journal).run()
