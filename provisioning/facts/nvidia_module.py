"""What the kernel knows of NVIDIA's GPUs, whether or not their driver's tools are there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from provisioning.command import Command, Fact

# Display controllers (class 03) of NVIDIA (vendor 10de), and its switches between them (bridges of
# class 0680); no process is started for a device, and systemd is asked where there are switches.
_ASK = """
n=0 s=0
for d in /sys/bus/pci/devices/*; do
  { read -r v <"$d/vendor" && read -r c <"$d/class"; } 2>/dev/null || continue
  case $v$c in
    0x10de0x03*) n=$((n + 1)) ;;
    0x10de0x0680*) s=$((s + 1)) ;;
  esac
done
echo "devices $n"
if [ $s != 0 ]; then
  echo "switches $s"
  echo "fabric $(systemctl show -P LoadState nvidia-fabricmanager)" \
    "$(systemctl is-active nvidia-fabricmanager)"
fi
[ ! -r /proc/driver/nvidia/version ] || cat /proc/driver/nvidia/version
"""
_WORDS = re.compile(r"^(devices|switches|fabric) (.*)$", re.MULTILINE)
_VERSION = re.compile(r"^NVRM version:.*?\s(\d{3}\.\d+(?:\.\d+)?)\s", re.MULTILINE)


@dataclass(frozen=True)
class Module:
    """`devices` on the PCI bus, and the `version` of the kernel module if it is loaded.

    `switches` (NVSwitch) join the GPUs on some machines: they need the `fabric` manager, of which
    it is told whether it is installed and ``active``.
    """

    devices: int
    version: str | None
    switches: int = 0
    fabric: Literal["", "installed", "active"] = ""


class NvidiaModule(Fact[Module]):
    """GPUs on the bus, and NVIDIA's kernel module."""

    command = Command.shell(_ASK, shown="look for NVIDIA's GPUs and kernel module")

    def parse(self, stdout: str) -> Module:
        """Read lines of a word and its value, then what the kernel module says of itself."""
        said = dict(_WORDS.findall(stdout))
        version = _VERSION.search(stdout)
        return Module(
            int(said["devices"]),
            version[1] if version else None,
            int(said.get("switches", 0)),
            _fabric(said.get("fabric", "")),
        )


def _fabric(said: str) -> Literal["", "installed", "active"]:
    if not said.startswith("loaded"):
        return ""
    return "active" if said.endswith(" active") else "installed"
