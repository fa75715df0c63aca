"""The stand-in GPUs: what is plugged into a host, and the driver on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.lab.machine import LabError

FOLDER = Path(__file__).with_name("gpus")
#: The stand-in of nvidia-smi.
SMI = Path(__file__).with_name("smi")
#: Hardware at each start: the PCI bus, what nvidia-smi reads, the driver's place in /proc.
EACH_START = """\
install -d -m 1777 /run/lab-gpu
cp /lab/hardware.json /run/lab-gpu/hardware.json
[ ! -e /var/lib/lab-gpu/boards.json ] || cp /var/lib/lab-gpu/boards.json /run/lab-gpu/
mount -t tmpfs -o size=64k,mode=1777 lab /proc/driver
mount -t tmpfs -o size=256k,mode=755 lab /sys/bus/pci/devices
while read -r slot device; do
  d=/sys/bus/pci/devices/$slot
  mkdir "$d"; echo 0x10de >"$d/vendor"; echo "$device" >"$d/device"; echo 0x030200 >"$d/class"
done </lab/pci
[ ! -e /usr/share/lab-gpu/driver ] || nvidia-smi -L >/dev/null
"""
#: The driver that the host's image came with.
DRIVER = """\
mkdir -p /usr/share/lab-gpu/smi
install -m 755 /lab/smi/nvidia-smi /usr/bin/nvidia-smi
cp /lab/smi/*.py /usr/share/lab-gpu/smi/
python3 -m compileall -q /usr/share/lab-gpu/smi
cp /lab/driver /usr/share/lab-gpu/driver
"""


def names() -> list[str]:
    """The GPUs that a host can have."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read(name: str) -> dict[str, Any]:
    """The recorded figures of *name*, every GPU in full.

    Raises:
        LabError: there is no such file.
    """
    if name not in names():
        raise LabError(f"no GPU is called {name}; there are: {', '.join(names())}")
    data: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    data["gpus"] = [data["each"] | gpu for gpu in data["gpus"]]
    return data


def describe(name: str, driver: str) -> dict[str, str]:
    """The files of /lab for that GPU; no file ``driver`` when there is none on the host."""
    data = read(name)
    slots = (f"{gpu['pci.bus_id'][4:].lower()} 0x{gpu['pci.device_id'][2:6].lower()}\n"
             for gpu in data["gpus"])  # fmt: skip
    files = {"hardware.json": json.dumps(data), "pci": "".join(slots)}
    return files if driver == "none" else files | {"driver": f"{driver or data['driver']}\n"}
