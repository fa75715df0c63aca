"""What a cloud does to a machine at its first boot: users, sources, packages, disks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from provisioning.command import Command
from provisioning.facts.cloud_init import CloudInit
from provisioning.host import Host

_WAIT = Path(__file__).with_name("cloud_init.sh").read_text(encoding="utf-8")


def over(host: Host) -> Iterator[Command]:
    """cloud-init has done its work, or had ten minutes for it."""
    if host.fact(CloudInit):
        yield waiting()


def waiting() -> Command:
    """Wait for its end, ten minutes at most; it changes nothing."""
    return Command.shell(_WAIT, shown="wait for cloud-init")
