"""Small packages for `fab provision` to install, and somebody who has apt's lock meanwhile."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Self

from tests.lab.host import LabHost

#: What the recipe asks for here: small packages of the distribution.
PACKAGES = ("ed", "tree")
ASKED = ("--set", f"host.packages=[{','.join(PACKAGES)}]")
MANY = ("--set", "host.packages=[ed,bc,dc,sl,tree]")
#: Holds apt's lock as apt does, and says so, until it is killed.
HOLD = """
import fcntl, os, time
with open("/var/lib/dpkg/lock-frontend", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    open("/run/held", "w").close()
    while os.path.exists("/run/held"):
        time.sleep(0.05)
"""
PATIENCE_S = 60.0
_HOOK = "/etc/apt/apt.conf.d/98stopped"


def begin_bare(host: LabHost) -> LabHost:
    """The host, without what these tests install."""
    host.docker_exec(
        "rm -f /run/held; dpkg --configure -a;"
        " apt-get -qq purge -y ed bc dc sl tree >/dev/null 2>&1 || :"
    )
    return host


def installed(host: LabHost, *names: str) -> list[str]:
    """Those of *names* that are installed as a whole."""
    shown = "dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n' 2>/dev/null"
    rows = [line.split() for line in host.docker_exec(shown).splitlines()]
    there = {row[1] for row in rows if row[0] == "ii"}
    return [name for name in names if name in there]


def audit(host: LabHost) -> list[str]:
    """Lines of the host's audit log."""
    return host.docker_exec(f"cat {host.workdir}/audit.log 2>/dev/null || :").splitlines()


def until(process: subprocess.Popen[str], text: str) -> str:
    """Read what *process* says up to a line with *text*."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"it never said {text!r}, but: {said}")


class Holding:
    """Somebody on the host has apt's lock, for as long as this context lasts."""

    def __init__(self, host: LabHost) -> None:
        self._host = host

    def __enter__(self) -> None:
        self._host.write("/run/hold.py", HOLD)
        self._host.docker_exec("rm -f /run/held; setsid python3 /run/hold.py >/dev/null 2>&1 &")
        _eventually(lambda: "held" in self._host.docker_exec("ls /run"), "nobody holds it")

    def __exit__(self, *_: object) -> None:
        self._host.docker_exec("rm -f /run/held")


class Stopped:
    """apt stands still at a moment of its own (such as ``DPkg::Pre-Invoke``) in this context."""

    def __init__(self, host: LabHost, moment: str) -> None:
        self._host = host
        self._moment = moment

    def __enter__(self) -> Self:
        wait = "touch /run/there; while [ -e /run/held ]; do sleep 0.05; done"
        self._host.docker_exec("rm -f /run/there; touch /run/held")
        self._host.write(_HOOK, f'{self._moment} {{"{wait}";}};\n')
        return self

    def reached(self) -> None:
        """Until apt stands there."""
        there = "ls /run/there 2>/dev/null || :"
        _eventually(lambda: bool(self._host.docker_exec(there)), "apt does not get there")

    def __exit__(self, *_: object) -> None:
        self._host.docker_exec(f"rm -f {_HOOK} /run/held")


def _eventually(is_so: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)
