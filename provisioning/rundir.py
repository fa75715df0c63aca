"""Run directories at home: ``results/<stack>/<run-id>/``.

A run is whole when ``SHA256SUMS`` lies in it, and that file is written last. What the
controller itself knows of a run lives in ``home/run.json``, replaced atomically.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench_agent.protocol import RUN_ID, SCHEMA, SUMS
from provisioning.errors import CollectError, DynoError, UsageError
from provisioning.stack import ROOT

ABANDONED = "ABANDONED"
#: In ``results/<stack>/``: the stack's guard has let the machine go and stands no more. The
#: machine may still be there, when the teardown was interrupted just then. The resource that
#: makes a guard removes it (stacks/guard.py).
UNGUARDED = "UNGUARDED"
#: Home states in which results may lie on the host and nowhere else.
OPEN = ("launched",)
_BEGUN = ("opened", "serving")
_MIN_FREE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class HomeState:
    """``home/run.json``.

    `state`: opened (nothing asked of the host's agent yet), launched (written before the agent
    is asked to start), collected, failed (before launch), lost, abandoned; serving and served (no
    load was put on it, see `serving`). `sums_sha256` is that of SHA256SUMS as the host made it.
    `variant` is which of the recipe's it was; the runs of one series share a `series_id`; a
    `rehearsal` had the simulator in the place of its engine.
    """

    schema: int
    run_id: str
    stack: str
    recipe: str
    owner: str
    opened_at: str
    state: str = "opened"
    phases: dict[str, float] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    collected_at: str | None = None
    sums_sha256: str | None = None
    variant: str | None = None
    series_id: str | None = None
    rehearsal: bool = False


class RunDir:
    """One run directory at home."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run_id = path.name

    @property
    def home(self) -> Path:
        """What the controller adds; outside of the sums."""
        return self.path / "home"

    @property
    def whole(self) -> bool:
        """Whether every file of the run came home and was verified."""
        return (self.path / SUMS).is_file()

    @property
    def abandoned(self) -> bool:
        """Whether somebody said that this run may be lost."""
        return (self.path / ABANDONED).is_file()

    def state(self) -> HomeState | None:
        """The controller's own account; None where it cannot be read."""
        try:
            return HomeState(**json.loads((self.home / "run.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, state: HomeState) -> None:
        """Replace ``home/run.json``, on disk before this returns."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            durable(self.home / "run.json", json.dumps(asdict(state), indent=1).encode())
        except OSError as error:
            raise cannot_write(self.path, error) from None

    def change(self, **values: Any) -> None:
        """Change fields of the controller's account; a missing one is begun anew."""
        now = self.state() or _unknown(self.path)
        self.write(replace(now, **values))

    @contextmanager
    def exclusive(self, *, wait: bool = True) -> Iterator[bool]:
        """Hold the run for pulling: nobody else on this machine writes into it meanwhile.

        Yields whether it is ours; with *wait* it always is.
        """
        with self._locked("pulling.lock", wait=wait) as ours:
            yield ours

    @contextmanager
    def controlled(self) -> Iterator[bool]:
        """Be the controller that prepares and launches the run; yields whether nobody else is."""
        with self._locked("controller.lock", wait=False) as ours:
            yield ours

    @contextmanager
    def _locked(self, name: str, *, wait: bool) -> Iterator[bool]:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            file = (self.home / name).open("w")
        except OSError as error:
            raise cannot_write(self.path, error) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def settled(self) -> bool:
        """Whether no result of this run can be lost by a teardown."""
        if self.whole or self.abandoned:
            return True
        state = self.state()
        return state is not None and state.state not in OPEN


def results_root() -> Path:
    """``$LLM_DYNO_RESULTS``, else ``results/`` of the checkout."""
    return Path(os.environ.get("LLM_DYNO_RESULTS") or ROOT / "results").resolve()


def require_guard(results: Path, stack: str) -> None:
    """Refuse a run whose results nothing would hold back a teardown for.

    Raises:
        UsageError: the guard of the stack is gone.
    """
    if (results / stack / UNGUARDED).exists():
        raise UsageError(
            f"The teardown of the stack {stack} was begun, and its guard is gone: nothing would "
            "keep the results of a run.",
            f"`pulumi up --stack {stack}` puts it back, `pulumi destroy --stack {stack}` ends it.",
        )


def new_run_id(recipe: str, now: datetime | None = None) -> str:
    """``<YYYYMMDDTHHMMSSZ>-<recipe>-<4 hex>``."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    name = re.sub(r"[^a-z0-9]+", "-", recipe.lower()).strip("-") or "run"
    return f"{stamp}-{name}-{secrets.token_hex(2)}"


def open_run(results: Path, stack: str, recipe: str, owner: str, **more: Any) -> RunDir:
    """Make the directory of a new run, before anything is asked of a host.

    *more* are further fields of `HomeState`; a variant is a part of the run's name.

    Raises:
        UsageError: the result folder cannot be written, or has no room.
    """
    title = "-".join(filter(None, (recipe, more.get("variant"))))
    run = RunDir(results / stack / new_run_id(title))
    now = datetime.now(UTC).isoformat()
    state = HomeState(SCHEMA, run.run_id, stack, recipe, owner, now, **more)
    try:
        run.path.mkdir(parents=True)
        free = shutil.disk_usage(run.path).free
        if free < _MIN_FREE_BYTES:
            run.path.rmdir()
            raise _no_room(results, free)
        run.write(state)
    except CollectError as error:
        raise UsageError(
            error.what, "Make room or set LLM_DYNO_RESULTS to another folder."
        ) from None
    except OSError as error:
        raise UsageError(
            f"The result folder {results} cannot be written: {error.strerror}.",
            "Make room or set LLM_DYNO_RESULTS to another folder.",
        ) from None
    return run


def runs(results: Path, stack: str) -> Iterator[RunDir]:
    """The runs of *stack* at home, oldest first."""
    folder = results / stack
    if folder.is_dir():
        yield from (RunDir(p) for p in sorted(folder.iterdir()) if RUN_ID.fullmatch(p.name))


def find_open(results: Path, stack: str, run_id: str | None) -> RunDir:
    """The run *run_id* of *stack*, or the newest that may lie on the host only.

    Where there is none of these: one whose controller died before it launched it, the newest
    that is home, or the newest at all.

    Raises:
        UsageError: there is none.
    """
    every = list(runs(results, stack))
    unsettled = [run for run in every if not run.settled()]
    begun = [run for run in every if (state := run.state()) and state.state in _BEGUN]
    chosen = unsettled or begun or [run for run in every if run.whole]
    return chosen[-1] if run_id is None and chosen else find(results, stack, run_id)


def find(results: Path, stack: str, run_id: str | None) -> RunDir:
    """The run *run_id* of *stack*, or its newest.

    Raises:
        UsageError: there is none.
    """
    every = list(runs(results, stack))
    chosen = [run for run in every if run_id in (None, run.run_id)]
    if not chosen:
        some = ", ".join(run.run_id for run in every[-5:])
        raise UsageError(
            f"There is no run {run_id!r} of the stack {stack}."
            if run_id is not None
            else f"The stack {stack} has no run yet.",
            f"Known: {some}." if some else f"`fab bench --stack {stack}` makes one.",
        )
    return chosen[-1]


def end_serving(results: Path, stack: str) -> None:
    """The machine of *stack* goes, and with it what was only served."""
    for run in runs(results, stack):
        if (state := run.state()) and state.state == "serving":
            run.change(state="served")


def record_error(run: RunDir, error: DynoError) -> None:
    """Keep what went wrong beside the run: a failed launch is a result too."""
    about = {"what": error.what, "advice": error.advice, "phase": error.phase, "log": error.log}
    run.change(error=about)


def durable(path: Path, data: bytes) -> None:
    """Write by temporary file, fsync and rename, the folder's entry included."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def cannot_write(folder: Path, error: OSError) -> CollectError:
    """Say that a folder at home cannot be written, and that nothing is lost by that."""
    why = "no room is left" if error.errno == errno.ENOSPC else str(error.strerror).lower()
    return CollectError(
        f"Results cannot be written to {folder}: {why}.",
        "Mend that, then `fab collect`; nothing is lost on the host.",
    )


def _unknown(path: Path) -> HomeState:
    recipe = path.name.split("-", 1)[1].rsplit("-", 1)[0]
    now = datetime.now(UTC).isoformat()
    return HomeState(SCHEMA, path.name, path.parent.name, recipe, "unknown", now, "launched")


def _no_room(results: Path, free: int) -> UsageError:
    return UsageError(
        f"The result folder {results} has {free // 2**20} MiB of room; "
        f"{_MIN_FREE_BYTES // 2**20} MiB are needed.",
        "Make room or set LLM_DYNO_RESULTS to another folder.",
    )
