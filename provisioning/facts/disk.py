"""How much room the working folder has."""

from __future__ import annotations

from provisioning.command import Command, Fact

_ASK = """
d=$DYNO_WORKDIR
until [ -e "$d" ]; do d=$(dirname "$d"); done
df -Pk "$d"
"""


class DiskFree(Fact[int]):
    """Bytes free for us where the working folder is, or will be."""

    command = Command.shell(_ASK, shown="df of the working folder")

    def parse(self, stdout: str) -> int:
        """Read the fourth column of the last line of ``df -Pk``: KiB, and mounts hold blanks."""
        return int(stdout.splitlines()[-1].partition("% ")[0].split()[-2]) * 1024
