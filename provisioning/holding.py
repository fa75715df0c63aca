"""A host held while it is changed: its lock is leased, and ends soon after us, however we end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from provisioning import controller
from provisioning.command import Command
from provisioning.errors import DynoError, HostError
from provisioning.facts.changing import Changing
from provisioning.facts.lock import LockOwner, Owner
from provisioning.host import Host
from provisioning.operations import lock

_RENEW_S = 8.0
_POLL_S = 1.0
_CHANGES_S = 1800.0
# A disk may have been mounted over the folder, with nothing of ours in it: the lock is put there.
_RENEW = """
umask 077
[ -e "$DYNO_WORKDIR/audit.log" ] || mkdir -p "$DYNO_WORKDIR/lock" || exit
cd "$DYNO_WORKDIR/lock" || exit 0
[ -e ../audit.log ] || cat >owner.json
grep -qsF "\"$1\"" owner.json || exit 0
read -r boot </proc/sys/kernel/random/boot_id
IFS='. ' read -r now rest </proc/uptime
new=$(mktemp beat.XXXXXX) && echo "$boot $now" >"$new" && mv -f "$new" beat
"""
Note = Callable[[str], None]


#: All that are held by this process.
_HELD: set[Hold] = set()


class Hold:
    """The lock of a host, leased for as long as it is held.

    `late`: somebody was waited for, and what was known of the host may be true no more.
    """

    def __init__(self, host: Host, owner: Owner, *, late: bool) -> None:
        self._host = host
        self._owner = owner
        self.late = late
        self.kept = False

    def keep(self) -> None:
        """Make it the run's own: it stays until it is released, whoever lives."""
        self._host.execute(lock.kept(self._owner), label="lock.kept")
        self.kept = True

    def give_back(self) -> None:
        """Return it, unless it was kept; trouble with that ends with the lease."""
        if not self.kept:
            with suppress(DynoError):
                self._host.execute(lock.returned(self._owner.run_id), label="lock.returned")


def give_all_back() -> None:
    """Return whatever this process holds, at once: it is about to end, whatever it is at."""
    givers = [threading.Thread(target=hold.give_back, daemon=True) for hold in list(_HELD)]
    for giver in givers:
        giver.start()
    for giver in givers:
        giver.join()


@contextmanager
def held(host: Host, owner: Owner, note: Note) -> Iterator[Hold]:
    """Hold *host* for *owner*: nobody else changes it meanwhile, and `host` only while it is his.

    What a `fab` that died has begun there is waited for, and its lock taken over; *note* is told.
    The lock is returned in the end, but for one that was kept.

    Raises:
        HostError: somebody else uses the host.
    """
    leased = replace(owner, lease=True, controller=controller.ourselves())
    aside = host.fork()  # what is known of the host stays true: the lock alone changes
    aside.tell = None
    late = _see_signs_of_life(aside, owner.run_id, note)
    lock.require_free(aside, owner.run_id)
    late |= wait_for_changes(aside, note)
    lock.acquire(aside, leased, note)
    host.forget(*((LockOwner, Changing) if not late else ()))
    over = threading.Event()
    renewer = threading.Thread(target=_renew, args=(aside, leased, over), daemon=True)
    host.fence = owner.run_id
    renewer.start()
    hold = Hold(aside, owner, late=late)
    _HELD.add(hold)
    try:
        yield hold
    finally:
        over.set()
        host.fence = ""
        hold.give_back()
        _HELD.discard(hold)


def tidy(host: Host, note: Note) -> None:
    """Take away the lock that a `fab` that is gone has left, if there is one."""
    found = host.fact(LockOwner)
    if found is not None and found.lease and (why := lock.left(found)):
        host.fork().execute(lock.returned(found.run_id), label="lock.returned")
        note(f"Took away the lock of {found.who} (since {found.since}): {why}.")


def _see_signs_of_life(host: Host, run_id: str, note: Note) -> bool:
    """Wait until another's lease is renewed, returned, or has ended; whether there was one."""
    found = host.fact(LockOwner)
    if found is None or found.run_id == run_id or not found.lease:
        return False
    if lock.left(found):
        return True
    note(f"{found.who} was at work there {found.silent_s} s ago: waiting for a sign of life.")
    first = found
    while found is not None and found.beat == first.beat and not lock.left(found):
        time.sleep(_POLL_S)
        host.forget(LockOwner)
        found = host.fact(LockOwner)
    return True


def wait_for_changes(host: Host, note: Note) -> bool:
    """Wait for the commands of a `fab` that is gone: they go on without it. Whether any did.

    Raises:
        HostError: they do not end.
    """
    since, told = time.monotonic(), False
    host.gather(Changing)
    while host.fact(Changing):
        if not told:
            note("What a `fab` that was cut off has begun on the host is still going on: waiting.")
            told = True
        if time.monotonic() - since > _CHANGES_S:
            raise HostError(
                f"What a `fab` that was cut off has begun on {host.name} does not end.",
                f"Look for it there: `fuser -v {host.workdir}` names its processes.",
                host=host.name,
            )
        time.sleep(_POLL_S)
        host.forget(Changing)
    return told


def _renew(host: Host, owner: Owner, over: threading.Event) -> None:
    """Renew the lease now and then; trouble is the business of those who work."""
    said = json.dumps(owner.said()) + "\n"
    renewal = Command.shell(_RENEW, owner.run_id, stdin=said, shown="renew the lock")
    while not over.wait(_RENEW_S):
        with suppress(DynoError):
            host.ask(renewal, timeout_s=lock.TIMEOUT_S)
