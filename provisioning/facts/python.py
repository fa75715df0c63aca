"""Which Python the host can run the agent with."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact
from provisioning.errors import HostError
from provisioning.versions import MIN_PYTHON, NEWEST_PYTHON


@dataclass(frozen=True)
class Python:
    """An interpreter: its absolute path, and its version as three numbers."""

    path: str
    version: tuple[int, int, int]


_FIND = """
for name in "$@"; do
  command -v "$name" >/dev/null || continue
  "$name" -I -S -c "$PROGRAM" 2>/dev/null && break
done
exit 0
"""
_PROGRAM = (
    "import sys\n"
    "sys.stdout.write('%d.%d.%d %s\\n' % (sys.version_info[:3] + (sys.executable,)))\n"
    f"sys.exit(sys.version_info[:2] < {MIN_PYTHON!r})"
)
_NAMES = ("python3", *(f"python3.{n}" for n in range(NEWEST_PYTHON[1], MIN_PYTHON[1] - 1, -1)))


class Pythons(Fact[tuple[Python, ...]]):
    """The Pythons tried, in order: ``python3``, then newer ones by name, up to one new enough."""

    lasting = True
    command = Command.shell(_FIND, *_NAMES, env={"PROGRAM": _PROGRAM}, shown="find python3")

    def parse(self, stdout: str) -> tuple[Python, ...]:
        """Read lines of version and path."""
        return tuple(_python(line) for line in stdout.splitlines())


def usable(found: tuple[Python, ...], host: str | None = None) -> Python:
    """The first Python in *found* that is new enough.

    Raises:
        HostError: none is; says which there are, and which is needed.
    """
    for python in found:
        if python.version[:2] >= MIN_PYTHON:
            return python
    wanted = ".".join(map(str, MIN_PYTHON))
    have = " and ".join(f"{p.path} is {'.'.join(map(str, p.version))}" for p in found)
    raise HostError(
        f"The host's Python is too old: {have}, needed is {wanted} or newer."
        if found
        else f"The host has no Python on its PATH; needed is {wanted} or newer.",
        f"Install Python {wanted} or newer there (Debian and Ubuntu: `apt-get install python3`; "
        "elsewhere, a python3.x on PATH is enough).",
        host=host,
    )


def _python(line: str) -> Python:
    version, _, path = line.partition(" ")
    major, minor, micro = map(int, version.split("."))
    return Python(path, (major, minor, micro))
