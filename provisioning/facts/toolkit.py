"""NVIDIA Container Toolkit on the host."""

from __future__ import annotations

import re
from dataclasses import dataclass

from provisioning.command import Command, Fact

# Docker looks for the hook once, at its start, and writes its number then: a hook that came
# later is not known to it ("could not select device driver").
_ASK = r"""
command -v nvidia-ctk >/dev/null || exit 127
nvidia-ctk --version
sed -n '/^\[nvidia-container-runtime\]/,/^\[/s/^ *mode *= *"\(.*\)".*/mode \1/p' \
  /etc/nvidia-container-runtime/config.toml 2>/dev/null
hook=$(command -v nvidia-container-runtime-hook) || { echo "no hook"; exit 0; }
find -L "$hook" -newercm /run/docker.pid -printf 'newer than docker\n' 2>/dev/null
exit 0
"""
_VERSION = re.compile(r"version (\S+)")


@dataclass(frozen=True)
class Installed:
    """The toolkit; `mode` of its runtime (empty: not set), and whether it came after Docker.

    `whole`: the hook is there, which is in a package of its own, not with the other programs.
    """

    version: str
    mode: str = ""
    newer_than_docker: bool = False
    whole: bool = True


class Toolkit(Fact[Installed | None]):
    """NVIDIA Container Toolkit; None when it is not installed."""

    command = Command.shell(_ASK, shown="nvidia-ctk --version")
    when_missing = None

    def parse(self, stdout: str) -> Installed | None:
        """Read the version's line, ``mode`` and a word, and what is told of the hook."""
        version = _VERSION.search(stdout)
        modes = [line.split()[1] for line in stdout.splitlines() if line.startswith("mode ")]
        return Installed(
            version=version[1] if version else "unknown",
            mode=modes[0] if modes else "",
            newer_than_docker="newer than docker" in stdout.splitlines(),
            whole="no hook" not in stdout.splitlines(),
        )
