"""What a stack says of itself, asked from the Pulumi engine's command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from provisioning.errors import StackError
from stacks.outputs import OutputsError, StackOutputs, from_dict

ROOT = Path(__file__).resolve().parent.parent
#: Kept free before a machine goes: results have to come home in it.
RESERVE = timedelta(minutes=10)
_TIMEOUT_S = 120.0


def ahead(stack: str) -> None:
    """Begin to ask for the outputs of *stack*; a `load` of it takes the answer.

    The engine needs some 0.4 s, in which much else can be done.
    """
    with suppress(StackError, OSError):  # `load` says it
        _begun[stack] = _start(_outputs_of(stack))


def load(stack: str) -> StackOutputs:
    """The outputs of *stack*, secrets included.

    Raises:
        StackError: no such stack, not up, or outputs of another release.
    """
    argv = _outputs_of(stack)
    data = _answer(argv, _begun.pop(stack) if stack in _begun else _start(argv))
    if not data:
        raise StackError(f"The stack {stack} is not up.", f"Run `pulumi up --stack {stack}`.")
    try:
        return from_dict(data)
    except OutputsError as error:
        raise StackError(
            f"The outputs of the stack {stack} cannot be read: {error}.",
            f"Run `pulumi up --stack {stack}` with this release.",
        ) from None


def known() -> list[str]:
    """The stacks that Pulumi knows, and the presets that could be one; sorted."""
    presets = {path.stem for path in (ROOT / "stacks" / "presets").glob("*.yaml")}
    try:
        listed = {str(row["name"]) for row in _pulumi_json("stack", "ls", "--json")}
    except StackError:
        listed = set()
    return sorted(presets | listed)


def destroy(stack: str) -> None:
    """``pulumi destroy --yes``, its output shown on standard error as it comes.

    Raises:
        StackError: the engine refused, for instance because results are not home.
    """
    argv = [_pulumi(), "destroy", "--yes", "--stack", stack]
    done = subprocess.run(argv, cwd=ROOT, env=_environment(), stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise StackError(
            f"`pulumi destroy --stack {stack}` did not end well.",
            "Read what it says above; the machine may still be up and billing.",
            phase="destroy",
        )


def time_left(outputs: StackOutputs, now: datetime | None = None) -> timedelta | None:
    """How long the machine still stands; None when nothing ends it."""
    if outputs.expires_at is None:
        return None
    return _parse(outputs.expires_at) - (now or datetime.now(UTC))


def spent_usd(outputs: StackOutputs, now: datetime | None = None) -> float:
    """What the stack has cost so far: hours since its creation times its price."""
    end = now or datetime.now(UTC)
    if outputs.expires_at is not None:
        end = min(end, _parse(outputs.expires_at))
    hours = (end - _parse(outputs.created_at)) / timedelta(hours=1)
    return max(0.0, hours) * outputs.price.usd_per_hour


def require_time(outputs: StackOutputs, planned_s: float) -> None:
    """Refuse a plan that does not fit the time left, less `RESERVE`.

    Raises:
        StackError: it does not fit.
    """
    left = time_left(outputs)
    if left is None or timedelta(seconds=planned_s) <= left - RESERVE:
        return
    usable = max(timedelta(0), left - RESERVE)
    raise StackError(
        f"The run may take {minutes(timedelta(seconds=planned_s))}, but the stack "
        f"{outputs.stack} has {minutes(usable)} left for runs"
        + (
            "; it has expired."
            if left <= timedelta(0)
            else f" (the last {minutes(RESERVE)} are kept for bringing results home)."
        ),
        "Ask for less load (`--set`), or destroy the stack and bring it up again.",
    )


def minutes(span: timedelta) -> str:
    """A span as ``4 h 05 min``, ``12 min`` or ``40 s``."""
    seconds = max(0, round(span.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    hours, rest = divmod(seconds // 60, 60)
    return f"{hours} h {rest:02d} min" if hours else f"{rest} min"


def _parse(moment: str) -> datetime:
    return datetime.fromisoformat(moment)


#: Questions that were begun, by stack.
_begun: dict[str, subprocess.Popen[str]] = {}


def _outputs_of(stack: str) -> tuple[str, ...]:
    return ("stack", "output", "--json", "--show-secrets", "--stack", stack)


def _pulumi_json(*argv: str) -> Any:
    return _answer(argv, _start(argv))


def _start(argv: tuple[str, ...]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [_pulumi(), *argv, "--non-interactive"],
        cwd=ROOT,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _answer(argv: tuple[str, ...], process: subprocess.Popen[str]) -> Any:
    with process:
        try:
            stdout, stderr = process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise _silent(argv) from None
    if process.returncode != 0:
        raise _explain(argv, stderr)
    try:
        return json.loads(stdout or "null")
    except ValueError:
        raise StackError(
            f"`pulumi {' '.join(argv[:2])}` printed what is no JSON.",
            "Run `make setup`: it brings the release of Pulumi that is meant.",
            log=stderr,
        ) from None


def _silent(argv: tuple[str, ...]) -> StackError:
    return StackError(
        f"`pulumi {' '.join(argv[:2])}` did not answer within {_TIMEOUT_S:.0f} s.",
        "See that the place where Pulumi keeps its stacks can be reached (`pulumi whoami -v`), and "
        "try again.",
    )


def _explain(argv: tuple[str, ...], stderr: str) -> StackError:
    stack = argv[-1] if "--stack" in argv else ""
    if stack and "no stack named" in stderr:
        return StackError(
            f"There is no stack {stack}.",
            f"Known: {', '.join(known()) or 'none'}. `pulumi stack init {stack}` makes one.",
        )
    if "PULUMI_ACCESS_TOKEN" in stderr:
        return StackError(
            "Pulumi does not know where its stacks are kept.",
            "Run `source activate`, or log in with `pulumi login`.",
        )
    if "passphrase" in stderr:
        return StackError(
            f"The secrets of the stack {stack} cannot be read: the passphrase is missing or wrong.",
            "Run `source activate`, or set PULUMI_CONFIG_PASSPHRASE_FILE.",
            log=stderr,
        )
    return StackError(
        f"`pulumi {' '.join(argv[:2])}` failed.", "Read what Pulumi says.", log=stderr
    )


def _pulumi() -> str:
    own = ROOT / ".tools" / "bin" / "pulumi"
    found = shutil.which("pulumi") or (str(own) if own.exists() else None)
    if found is None:
        raise StackError("The Pulumi engine is not on PATH.", "Run `make setup; source activate`.")
    return found


def _environment() -> dict[str, str]:
    path = [str(ROOT / ".venv" / "bin"), str(ROOT / ".tools" / "bin"), os.environ.get("PATH", "")]
    return os.environ | {"PATH": os.pathsep.join(path), "PULUMI_SKIP_UPDATE_CHECK": "true"}
