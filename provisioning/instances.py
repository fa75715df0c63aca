"""Several engines of one run: waited for at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from provisioning import readiness
from provisioning.errors import DynoError
from provisioning.host import Host
from provisioning.launchers.base import Handle
from provisioning.readiness import Progress, Ready, Teller
from provisioning.recipe_schema import Timeouts


class _OverError(Exception):
    """Another engine has ended: nobody waits for this one any more."""


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
    over = threading.Event()
    failed: list[tuple[int, BaseException]] = []

    def one(wait: _Wait) -> Ready | None:
        try:
            return wait.run(over)
        except _OverError:
            return None
        except BaseException as error:  # noqa: BLE001 - raised again by who waits for all
            failed.append((wait.number, error))
            over.set()
            return None

    with ThreadPoolExecutor(len(waits)) as pool:
        try:
            found = list(pool.map(one, waits))
        finally:  # Ctrl-C, too, ends them within a second
            over.set()
    if failed:
        raise _named(*failed[0], handles)
    return tuple(ready for ready in found if ready)


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
                raise _OverError
            self._teller(now)

        return readiness.wait(self._host, self._handle, self._timeouts, hear)


def _named(number: int, error: BaseException, handles: Sequence[Handle]) -> BaseException:
    if isinstance(error, DynoError):
        which = f"engine {number + 1} of {len(handles)} ({handles[number].run_id})"
        error.what = f"{error.what.rstrip('.')}; it was {which}."
    return error
