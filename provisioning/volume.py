"""Which disk is to hold the data, and what has to be done to it first; decided on facts alone.

Nothing is ever formatted but a blank disk: one with anything else on it is mounted if it holds
one file system of ours, else it is a person's to decide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from provisioning.errors import HostError
from provisioning.facts.block_devices import Device, Disks

#: File systems that are mounted as they are, whoever made them.
USABLE = frozenset({"ext4", "xfs", "btrfs"})
#: Folders on the data disk: Docker's and containerd's store, models, results, environments.
DOCKER, CONTAINERD = "docker", "containerd"
MODELS, RESULTS, ENVIRONMENTS = "models", "results", "environments"

_MEMBER = "linux_raid_member"
_NVME = re.compile(r"/dev/nvme\d+n\d+")
#: Models of NVMe disks that are not in the machine: Google's, Azure's and Amazon's network disks.
_REMOTE = ("nvme_card-pd", "MSFT NVMe Accelerator", "Amazon Elastic Block Store")


@dataclass(frozen=True)
class Wanted:
    """`device` is None where the stack names none; with `join`, local NVMe disks are taken."""

    device: str | None
    mount: str
    filesystem: str
    join: bool = False


@dataclass(frozen=True)
class Volume:
    """What is mounted at the wanted folder, and what has to be done before it can be.

    `path` is the device; `uuid` is empty while it has no file system. An array is created from
    `members` (all blank) if `create` is true, else put together from them again.
    """

    path: str
    uuid: str = ""
    label: str = ""
    members: tuple[str, ...] = ()
    create: bool = False
    format: bool = False
    mounted: bool = False


def choose(disks: Disks, wanted: Wanted, host: str | None = None) -> Volume:
    """Find the volume for *wanted*.

    Raises:
        HostError: there is none, it is in use elsewhere, or something is on it that is not ours
            to decide about; one sentence each.
    """
    there = disks.mounted_at(wanted.mount)
    if there is not None:
        return _mounted(disks, there, wanted, host)
    if wanted.join:
        return _joined(disks, wanted, host)
    if wanted.device is None:
        raise HostError(
            f"The recipe asks for a data disk, but the stack names none, and nothing is mounted "
            f"at {wanted.mount}.",
            "Give the stack a data disk, mount one there, or take host.data_disk from the recipe.",
            host=host,
        )
    return _prepared(disks, _found(disks, wanted.device, host), host)


def _mounted(disks: Disks, there: Device, wanted: Wanted, host: str | None) -> Volume:
    if wanted.device is not None and not wanted.join:
        device = _found(disks, wanted.device, host)
        if there.path not in {device.path, *(below.path for below in disks.below(device))}:
            raise HostError(
                f"{there.path} is mounted at {wanted.mount}, not the data disk {device.path}.",
                "Unmount it, or set host.data_disk.mount to another folder.",
                host=host,
            )
    return Volume(there.path, there.uuid, there.label, mounted=True)


def _found(disks: Disks, name: str, host: str | None) -> Device:
    device = disks.find(name)
    if device is None:
        have = ", ".join(d.path for d in disks.devices if d.kind == "disk") or "none"
        raise HostError(
            f"The data disk {name} is not on the host; its disks are: {have}.",
            "Check data_disk of the stack, and that the disk is attached.",
            host=host,
        )
    return device


def _prepared(disks: Disks, device: Device, host: str | None) -> Volume:
    """A disk that is not mounted where it should be."""
    inside = disks.below(device)
    for busy in (device, *inside):
        if busy.mounts:
            raise HostError(
                f"The data disk {device.path} is in use: {busy.path} is mounted at "
                f"{busy.mounts[0]}.",
                f"Set host.data_disk.mount to {busy.mounts[0]}, or unmount it."
                if busy.mounts[0].startswith("/")
                else "Choose another disk.",
                host=host,
            )
    usable = [d for d in (device, *inside) if d.filesystem in USABLE and not d.read_only]
    if len(usable) == 1:
        return Volume(usable[0].path, usable[0].uuid, usable[0].label)
    if device.blank and not inside:
        return Volume(device.path, format=True)
    raise _not_ours(device, inside, usable, host)


def _not_ours(
    device: Device, inside: tuple[Device, ...], usable: list[Device], host: str | None
) -> HostError:
    names = " and ".join(d.path for d in usable)
    if usable:
        what = f"holds several file systems ({names})"
    elif device.read_only:
        what = "can only be read"
    elif device.table:
        parts = ", ".join(f"{d.path} {d.filesystem or 'without a file system'}" for d in inside)
        what = f"has a partition table ({device.table}) with no file system of ours: "
        what += parts or "no partitions"
    else:
        what = device.holds or f"holds {device.filesystem or 'something'}"
    return HostError(
        f"The disk {device.path} {what}; it was not touched, for only a blank disk is formatted.",
        "Choose another disk; or, if nothing on it is needed, empty it yourself: "
        f"`sudo blkdiscard -f -z {device.path}`.",
        host=host,
    )


def _joined(disks: Disks, wanted: Wanted, host: str | None) -> Volume:
    """The array of the local NVMe disks; a lone disk needs none."""
    local = _local(disks, wanted.device)
    members = [disk for disk in local if disk.filesystem == _MEMBER]
    if members:
        return _rejoined(disks, members, host)
    if not local:
        raise HostError(
            "There is no local NVMe disk to join on the host that is not in use.",
            "Set host.data_disk.join_nvme to false, or choose a machine type with local disks.",
            host=host,
        )
    if len(local) == 1:
        return _prepared(disks, local[0], host)
    for disk in local:
        if not disk.blank or disks.below(disk):
            raise _not_ours(disk, disks.below(disk), [], host)
    return Volume(_free_name(disks), members=_paths(local), create=True)


def _rejoined(disks: Disks, members: list[Device], host: str | None) -> Volume:
    """An array that was made before is never made anew, whatever other disks there are."""
    if len({member.uuid for member in members}) > 1:
        raise HostError(
            f"The local NVMe disks {', '.join(_paths(members))} belong to several arrays.",
            "Put the one for data together yourself and mount it, or empty the disks.",
            host=host,
        )
    for array in disks.below(members[0]):
        if members[0].path in array.above:
            return _prepared(disks, array, host)
    return Volume(_free_name(disks), members=_paths(members))


def _local(disks: Disks, other: str | None) -> list[Device]:
    """NVMe disks of the machine itself that nothing is mounted from, by number."""
    data_disk = disks.find(other) if other else None
    found = [
        disk
        for disk in disks.devices
        if disk.kind == "disk"
        and _NVME.fullmatch(disk.path)
        and not disk.model.startswith(_REMOTE)
        and disk != data_disk
        and not any(device.mounts for device in (disk, *disks.below(disk)))
    ]
    return sorted(found, key=lambda disk: [int(n) for n in re.findall(r"\d+", disk.path)])


def _free_name(disks: Disks) -> str:
    taken = {device.path for device in disks.devices}
    return next(name for n in range(len(taken) + 1) if (name := f"/dev/md{n}") not in taken)


def _paths(devices: list[Device]) -> tuple[str, ...]:
    return tuple(device.path for device in devices)
