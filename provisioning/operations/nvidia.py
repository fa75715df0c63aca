"""NVIDIA's driver and the modes of its GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from provisioning import drivers
from provisioning.command import Command, Fact
from provisioning.facts.deb_packages import DebPackages
from provisioning.facts.gpu_list import GpuList, Slice
from provisioning.facts.gpus import Gpus
from provisioning.facts.nvidia_module import NvidiaModule
from provisioning.facts.system import System
from provisioning.host import Host
from provisioning.host_schema import Driver
from provisioning.operations import apt, services
from provisioning.operations.apt import Archive

# Its own tool sees whether it drives them, and loads it where modprobe cannot.
_LOAD = "modprobe nvidia; nvidia-smi -L"
# By its file: modprobe calls one that is loaded already, of the driver before, a success. Debian
# gives it another name. A container has no folder for the kernel.
_BUILT = """
cd "/lib/modules/$(uname -r)" 2>/dev/null || exit 0
[ -z "$(find . -name 'nvidia.ko*' -o -name 'nvidia-current*.ko*' -o -name 'nvidia-tesla*.ko*')" ] ||
  exit 0
echo "no module for $(uname -r)" >&2
exit 1
"""
_MANAGER = "nvidia-fabricmanager.service"
_FABRIC = f"""
systemctl enable --now {_MANAGER} && exit
journalctl -u {_MANAGER} -b -n 20 -o cat --no-pager >&2
exit 1
"""
# An instance without a compute instance is of no use to a program: it is given one.
_SLICE = r"""
if nvidia-smi mig -i "$1" -lgi 2>/dev/null | grep -qE "MIG $2 "; then
  exec nvidia-smi mig -i "$1" -cci
fi
exec nvidia-smi mig -i "$1" -cgi "$2" -C
"""


def driven(host: Host, wanted: Driver, floor: str, archive: Archive | None) -> Iterator[Command]:
    """A driver not older than *floor* drives the GPUs; it is installed if *wanted* allows that.

    A new driver in place of one that is loaded drives them after a boot only.
    """
    gpus = host.fact(Gpus)
    if wanted.install is None or (gpus and not drivers.older(gpus[0].driver, floor)):
        return
    held = host.fact(DebPackages).get(wanted.install)
    too_old = held is not None and drivers.older(drivers.of_package(held), floor)
    if gpus and held is not None and not too_old:
        return  # it is in use from the next boot on
    if archive is not None:
        yield from apt.archive(host, archive)
    # The maker's packages always build the module on the host; others may hold it ready-made.
    headers = (f"linux-headers-{host.fact(System).kernel}",)
    strict, also = (headers, ()) if wanted.source == "vendor" else ((), headers)
    if too_old:
        shown = f"bring {wanted.install} up to date"
        yield apt.install(wanted.install, *strict, also=also, removing=True, shown=shown)
    else:
        yield from apt.packages(host, wanted.install, *strict, also=also, removing=True)
    yield Command.shell(_BUILT, sudo=True, shown="look for nvidia's module", explain=_not_loaded)
    if not gpus:
        yield Command.shell(_LOAD, sudo=True, shown="load nvidia", explain=_not_loaded)


def persistent(host: Host) -> Iterator[Command]:
    """The driver stays loaded between programs: they start sooner, and clocks stay set."""
    if all(gpu.persistence is not False for gpu in host.fact(Gpus)):
        return
    daemon = services.unit(host, services.PERSISTENCED)
    if daemon.there and not daemon.running:
        yield Command("systemctl", "enable", "--now", services.PERSISTENCED, sudo=True)
    # The daemon alone does not switch it on: distributions start it with --no-persistence-mode.
    yield Command("nvidia-smi", "-pm", "1", sudo=True)


def joined(host: Host) -> Iterator[Command]:
    """The manager of the switches between the GPUs is at work, where there are both."""
    if host.fact(NvidiaModule).fabric == "installed":
        yield Command.shell(_FABRIC, sudo=True, shown=f"start {_MANAGER}", explain=_not_joined)


def corrected(host: Host, *, ecc: bool) -> Iterator[Command]:
    """Memory of all GPUs is with error correction, or without; from the next boot on."""
    for gpu in host.fact(Gpus):
        if gpu.ecc_pending is not None and gpu.ecc_pending != ecc:
            yield Command("nvidia-smi", "-i", str(gpu.index), "-e", str(int(ecc)), sudo=True)


def divisible(host: Host) -> Iterator[Command]:
    """MIG is on, on all GPUs; on some from their next reset."""
    for gpu in host.fact(Gpus):
        if gpu.mig is False and not gpu.mig_pending:
            yield Command("nvidia-smi", "-i", str(gpu.index), "-mig", "1", sudo=True)


def sliced(host: Host, profile: str) -> Iterator[Command]:
    """Each GPU with MIG has a slice of *profile*; slices that are there stay."""
    listed = host.fact(GpuList)
    for gpu in host.fact(Gpus):
        if gpu.mig and not any(piece.gpu == gpu.index for piece in listed.slices):
            shown = f"make a MIG slice {profile} on GPU {gpu.index}"
            yield Command.shell(_SLICE, str(gpu.index), profile, sudo=True, shown=shown)


def slices(host: Host) -> tuple[Slice, ...]:
    """The MIG slices of the host."""
    return host.fact(GpuList).slices


def mig_uuids(host: Host) -> tuple[str, ...]:
    """The UUIDs of the host's MIG slices, for ``CUDA_VISIBLE_DEVICES``; none without MIG."""
    return tuple(piece.uuid for piece in slices(host))


def facts(*archives: Archive) -> tuple[Fact[Any], ...]:
    """What the operations here ask, but for slices (`GpuList`), which few hosts have."""
    return (Gpus(), NvidiaModule(), System(), services.FACT, *apt.facts(*archives))


def _not_joined(said: str) -> tuple[str, str]:
    words = [line.strip().rstrip(".") for line in said.splitlines() if line.strip()]
    return (
        f"The fabric manager of NVSwitches does not start: {(words or ['it says nothing'])[-1]}.",
        "It must be of the driver's very version; see `journalctl -u nvidia-fabricmanager` there.",
    )


def _not_loaded(said: str) -> tuple[str, str] | None:
    if found := re.search(
        r"no module for (\S+)|Module nvidia not found in directory \S*/lib/modules/(\S+)", said
    ):
        kernel = found[1] or found[2]
        return (
            f"NVIDIA's driver is installed, and its module was not built for the kernel {kernel}.",
            f"Install linux-headers-{kernel} there, or boot its newest kernel; see `dkms status`.",
        )
    if re.search(r"Key was rejected|Required key not available", said):
        return (
            "The kernel refuses NVIDIA's module: Secure Boot does not know its key.",
            "Switch Secure Boot off for this machine, or take packages of signed modules.",
        )
    found = re.search(r"modprobe: (?:\w+: )?(.*)|(NVIDIA-SMI has failed.*|No devices.*)", said)
    if found is None:
        return None
    return (
        f"NVIDIA's driver is installed and does not load: {(found[1] or found[2]).rstrip('. ')}.",
        "Reboot the host and run this again; else look at `sudo dkms status` there.",
    )
