"""Where Docker and containerd keep what they store, and whether there is anything."""

from __future__ import annotations

import re
from dataclasses import dataclass

from provisioning.command import Command, Fact

CONFIG = "/etc/containerd/config.toml"
DOCKER = "/var/lib/docker"
CONTAINERD = "/var/lib/containerd"
_ASK = """
any() { for f; do [ ! -e "$f" ] || return 0; done; return 1; }
! any "$2"/containers/* "$2"/image/*/imagedb/content/sha256/* "$2"/volumes/*/_data \
  "$2"/swarm/docker-state.json || echo docker
! any "$3"/io.containerd.content.v1.content/blobs/*/* || echo containerd
[ ! -e "$1" ] || { echo config; cat "$1"; }
"""
_ROOT = re.compile(r"""^\s*root\s*=\s*["'](.+?)["']""", re.MULTILINE)
_TABLE = re.compile(r"^\s*\[", re.MULTILINE)


@dataclass(frozen=True)
class Kept:
    """Whether Docker's and containerd's usual folders hold anything, and containerd's file."""

    docker: bool = False
    containerd: bool = False
    config: str | None = None

    @property
    def root(self) -> str | None:
        """The folder that containerd's file names: a key before its first table."""
        top = _TABLE.split(self.config or "", maxsplit=1)[0]
        found = _ROOT.search(top)
        return found[1] if found else None


class Stores(Fact[Kept]):
    """What Docker and containerd keep. Their folders are root's alone."""

    command = Command.shell(
        _ASK, CONFIG, DOCKER, CONTAINERD, sudo=True, shown="look at Docker's folders"
    )

    def parse(self, stdout: str) -> Kept:
        """Read ``docker`` and ``containerd`` where they hold something, ``config`` and a file."""
        head, there, config = f"\n{stdout}".partition("\nconfig\n")
        said = head.split()
        return Kept("docker" in said, "containerd" in said, config if there else None)
