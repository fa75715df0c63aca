"""What the kernel knows of NVIDIA's GPUs, whether or not their driver's tools are there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from provisioning.command import Command, Fact

# Display controllers (class 03) of NVIDIA (vendor 10de); no process is started for a device.
_ASK = """
n=0
for d in /sys/bus/pci/devices/*; do
  { read -r v <"$d/vendor" && read -r c <"$d/class"; } 2>/dev/null || continue
  case $v$c in 0x10de0x03*) n=$((n + 1)) ;; esac
done
echo "devices $n"
[ ! -r /proc/driver/nvidia/version ] || cat /proc/driver/nvidia/version
"""
_VERSION = re.compile(r"^NVRM version:.*?\s(\d{3}\.\d+(?:\.\d+)?)\s", re.MULTILINE)


@dataclass(frozen=True)
class Module:
    """`devices` on the PCI bus, and the `version` of the kernel module if it is loaded."""

    devices: int
    version: str | None


class NvidiaModule(Fact[Module]):
    """GPUs on the bus, and NVIDIA's kernel module."""

    command = Command.shell(_ASK, shown="look for NVIDIA's GPUs and kernel module")

    def parse(self, stdout: str) -> Module:
        """Read the number of devices, then what the kernel module says of itself."""
        first, _, rest = stdout.partition("\n")
        version = _VERSION.search(rest)
        return Module(int(first.split()[1]), version[1] if version else None)
