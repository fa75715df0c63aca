"""`python -m tools.setup`: the steps in their order."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.setup import activation, backend, engine, environment
from tools.setup.steps import SetupError, step

CHECKOUT = Path(__file__).resolve().parents[2]
INTERRUPTED = 130


def set_up(checkout: Path) -> None:
    """Bring the checkout to the state in which every other command works.

    Raises:
        SetupError: a step cannot be done.
    """
    with step("uv") as say:
        uv = environment.uv(checkout, say)
    with step("packages") as say:
        environment.sync(checkout, uv, say)
    with step("engine") as say:
        found = engine.ensure(checkout, say)
    with step("activate") as say:
        backend.prepare(checkout)
        activation.write(checkout, own_engine=found.folder == engine.folder(checkout), say=say)
    with step("stacks") as say:
        if backend.has_login(os.environ, checkout):
            say("yours: `pulumi stack init NAME` makes one at your Pulumi login")
        else:
            backend.make_stacks(checkout, found.folder, say)


@contextmanager
def _alone(checkout: Path) -> Iterator[None]:
    """One set-up at a time; a second one waits for the first."""
    tools = checkout / ".tools"
    tools.mkdir(exist_ok=True)
    with (tools / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Exit status: 0 fine, 1 a step cannot be done, 130 interrupted."""
    print(f"set-up of {CHECKOUT}", flush=True)
    try:
        with _alone(CHECKOUT):
            set_up(CHECKOUT)
    except SetupError as error:
        if error.log:
            print(error.log, file=sys.stderr)
        print(f"{error.what}\n{error.advice}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing half-made was kept. `make setup` goes on.", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
