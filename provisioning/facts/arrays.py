"""Which arrays the host is told to put together at boot."""

from __future__ import annotations

import re

from provisioning.command import Command, Fact

#: Debian's and Ubuntu's.
CONFIG = "/etc/mdadm/mdadm.conf"
_UUID = re.compile(r"^\s*ARRAY\s.*?\bUUID=([0-9a-fA-F:]+)", re.MULTILINE | re.IGNORECASE)


class Arrays(Fact[frozenset[str]]):
    """The UUIDs of the arrays in mdadm's file, as 32 hexadecimal digits."""

    command = Command.shell(f"[ ! -e {CONFIG} ] || cat {CONFIG}", shown=f"read {CONFIG}")

    def parse(self, stdout: str) -> frozenset[str]:
        """Read the ``ARRAY`` lines; mdadm divides a UUID by colons."""
        return frozenset(plain(uuid) for uuid in _UUID.findall(stdout))


def plain(uuid: str) -> str:
    """A UUID without what divides it: blkid does that with dashes, mdadm with colons."""
    return uuid.replace(":", "").replace("-", "").lower()
