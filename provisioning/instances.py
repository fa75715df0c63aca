"""Several engines of one run: waited for at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from provisioning import at_once, readiness
from provisioning.at_once import OverError
from provisioning.errors import DynoError
from provisioning.host import Host
from provisioning.launchers.base import Handle
from provisioning.readiness import Progress, Ready, Teller
from provisioning.recipe_schema import Timeouts


def wait(
    host: Host, handles: Sequence[Handle], timeouts: Timeouts, note: Callable[[str], None]
) -> tuple[Ready, ...]:
    """Wait until all answer; the first that does not ends the wait for all.

    Raises:
        DynoError: as `readiness.wait`, of the one that failed first; which is said.
    """
    if len(handles) == 1:
        return (readiness.wait(host, handles[0], timeouts, Teller(note)),)
    waits = [_Wait(host, handle, timeouts, note, number) for number, handle in enumerate(handles)]

    def named(wait: _Wait, over: threading.Event) -> Ready:
        try:
            return wait.run(over)
        except DynoError as error:
            raise _named(wait.number, error, handles) from None

    return at_once.all_or_none([partial(named, wait) for wait in waits])


class _Wait:
    def __init__(
        self,
        host: Host,
        handle: Handle,
        timeouts: Timeouts,
        note: Callable[[str], None],
        number: int,
    ) -> None:
        self.number = number
        self._host = host.fork()
        self._handle = handle
        self._timeouts = timeouts
        self._teller = Teller(note, f"engine {number + 1}")

    def run(self, over: threading.Event) -> Ready:
        def hear(now: Progress) -> None:
            if over.is_set():
                raise OverError
            self._teller(now)

        return readiness.wait(self._host, self._handle, self._timeouts, hear)


def _named(number: int, error: DynoError, handles: Sequence[Handle]) -> DynoError:
    which = f"engine {number + 1} of {len(handles)} ({handles[number].run_id})"
    error.what = f"{error.what.rstrip('.')}; it was {which}."
    return error
