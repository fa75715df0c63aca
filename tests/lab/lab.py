"""The lab as tests use it: hosts that end with this process, and the lab's services."""

from __future__ import annotations

import sys
from typing import Any

from tests.lab import archive, engine, machine, registry, start
from tests.lab.host import LabHost
from tests.lab.machine import LabError
from tests.lab.options import Options


def say(line: str) -> None:
    """Progress, where pytest -s shows it."""
    print(f"lab: {line}", file=sys.stderr, flush=True)


class Lab:
    """Hosts of this process. `close` removes them, and what was started for them alone.

    Raises:
        LabError: no lab can be on this machine; the message says why.
    """

    def __init__(self, prefix: str) -> None:
        reason = machine.why_not() or machine.why_no_toolkit()
        if reason:
            raise LabError(reason)
        engine.ensure()
        self._prefix = prefix

    def hosts(self, count: int, **options: Any) -> list[LabHost]:
        """*count* fresh hosts, up; *options* as in `Options`."""
        return start.start(self._prefix, count, Options(**options), say, owner=start.me())

    def host(self, **options: Any) -> LabHost:
        """One fresh host, up."""
        return self.hosts(1, **options)[0]

    def remove(self, *hosts: LabHost) -> None:
        """Those hosts are gone."""
        with machine.alone():
            start.remove([host.name for host in hosts])

    @property
    def archive_url(self) -> str:
        """Where hosts find the lab's packages: suite ``./``, or ``lab`` with ``main``."""
        archive.ensure(say)
        self._serve()
        return archive.url()

    @property
    def archive_key(self) -> str:
        """The public key that the archive is signed with, in ASCII armour."""
        return (archive.ensure(say) / archive.KEY_FILE).read_text()

    @property
    def registry(self) -> str:
        """The registry's name on hosts, as in ``insecure-registries``."""
        registry.reference(say)
        self._serve()
        return registry.NAME

    @property
    def image(self) -> str:
        """A small image (python3, sh) in the registry, by its digest."""
        found = registry.reference(say)
        self._serve()
        return found

    def _serve(self) -> None:
        with machine.alone():
            start.serve()

    def close(self) -> None:
        """All hosts of this process are gone; and, with the last of all, the lab's own dockerd."""
        with machine.alone():
            start.remove(start.hosts(self._prefix))
            if not start.hosts():
                engine.stop_if_idle()
