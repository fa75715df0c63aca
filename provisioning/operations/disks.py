"""The data disk: an array where one is asked for, a file system where there is nothing, mounted.

A disk is formatted whole, without a partition table: it can grow, and there is no table to be
wrong about. Its emptiness is looked at again, on the host, by the command that formats it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from provisioning.command import Command, Fact
from provisioning.errors import HostError
from provisioning.facts.arrays import CONFIG, Arrays, plain
from provisioning.facts.block_devices import WHY_NOT_BLANK, BlockDevices, Device, Disks
from provisioning.facts.deb_packages import DebPackages
from provisioning.facts.fstab import OURS, Entry, Fstab
from provisioning.facts.mounts import Mounts
from provisioning.facts.places import Place
from provisioning.host import Host
from provisioning.operations import apt, refusal
from provisioning.volume import Volume, Wanted, choose

_FOLDER = Path(__file__).parent
_FORMAT = WHY_NOT_BLANK + (_FOLDER / "disk_format.sh").read_text(encoding="utf-8")
_LOCKED = (_FOLDER / "disk_locked.sh").read_text(encoding="utf-8")
_CREATE = WHY_NOT_BLANK + (_FOLDER / "disk_array.sh").read_text(encoding="utf-8")
_ASSEMBLE = (_FOLDER / "disk_assemble.sh").read_text(encoding="utf-8")
_MOUNT = (_FOLDER / "disk_mount.sh").read_text(encoding="utf-8")
_FSTAB = (_FOLDER / "disk_fstab.sh").read_text(encoding="utf-8")
_LOST = (
    "See what they are with `sudo mdadm --examine`. An array of which a disk is gone is lost: "
    "empty the other disks yourself to have a new one made."
)
# The file may end in the middle of a line, and others may have their arrays in it.
_RECORD = """
line=$(mdadm --detail --brief "$1") && [ -n "$line" ] || exit 1
mkdir -p "${2%/*}" && touch "$2" || exit
[ -z "$(tail -c 1 "$2")" ] || echo >>"$2"
printf '%s\\n' "$line" >>"$2"
"""


def joined(host: Host, wanted: Wanted) -> Iterator[Command]:
    """The array that *wanted* needs, if any, is there: made of blank disks, or put together again.

    Raises:
        HostError: see `volume.choose`; so do the others here.
    """
    volume = volume_of(host, wanted)
    if volume is None or not volume.members:
        return
    yield from apt.packages(host, "mdadm")
    members = ", ".join(volume.members)
    shown = f"put the array {volume.path} of {members} together again"
    if volume.create:
        shown = f"join {members} to {volume.path} if all are blank"
    yield Command.shell(
        _LOCKED,
        _CREATE if volume.create else _ASSEMBLE,
        volume.path,
        *volume.members,
        sudo=True,
        shown=shown,
        explain=_explained,
    )


def recorded(host: Host, wanted: Wanted) -> Iterator[Command]:
    """The host puts the array of *wanted* together at boot, by a name that stays."""
    volume = volume_of(host, wanted)
    if volume is None or not wanted.join:
        return
    disks = host.fact(_devices(wanted))
    array = disks.find(volume.path)
    parts = [part for path in (array.above if array else ()) if (part := disks.find(path))]
    uuids = {plain(part.uuid) for part in parts if part.filesystem == "linux_raid_member"}
    known: frozenset[str] = host.fact(Arrays)
    if volume.members or uuids - known:
        shown = f"write down the array {volume.path} in {CONFIG}"
        yield Command.shell(_RECORD, volume.path, CONFIG, sudo=True, shown=shown)


def formatted(host: Host, wanted: Wanted) -> Iterator[Command]:
    """The volume of *wanted* has a file system; only a blank one is given one."""
    volume = volume_of(host, wanted)
    if volume is None or not (volume.format or volume.create):
        return
    if wanted.filesystem == "xfs":
        yield from apt.packages(host, "xfsprogs")
    yield Command.shell(
        _FORMAT,
        volume.path,
        wanted.filesystem,
        sudo=True,
        shown=f"format {volume.path} as {wanted.filesystem} if it is blank",
        explain=_explained,
    )


def mounted(host: Host, wanted: Wanted) -> Iterator[Command]:
    """The volume of *wanted* is mounted, now and at boot, by the UUID of its file system.

    A line of somebody else that does that is left alone, as are all other lines.
    """
    volume = volume_of(host, wanted)
    if volume is None:
        return
    args = (volume.path, wanted.mount)
    if not volume.mounted:
        _require_empty(host, wanted.mount)
        shown = f"mount {volume.path} at {wanted.mount}"
        yield Command.shell(_MOUNT, *args, sudo=True, shown=shown, explain=_explained)
    if not _is_in_fstab(host, volume, wanted):
        shown = f"mount {volume.path} at {wanted.mount} at boot, by UUID (/etc/fstab)"
        yield Command.shell(_FSTAB, *args, OURS, sudo=True, shown=shown, explain=_explained)


def checked(host: Host, wanted: Wanted) -> None:
    """All of the above can be done, as far as facts tell.

    Raises:
        HostError: something is in the way.
    """
    for operation in (joined, recorded, formatted, mounted):
        list(operation(host, wanted))
    volume = volume_of(host, wanted)
    below = f"{host.workdir}/".startswith(f"{wanted.mount.rstrip('/')}/")
    if volume is not None and not volume.mounted and below:
        raise HostError(
            f"The working folder {host.workdir} is below {wanted.mount}, where the data disk is to "
            "be mounted: it would be hidden.",
            "Set the stack's workdir, or host.data_disk.mount, to another folder.",
            host=host.name,
        )


def facts(wanted: Wanted) -> tuple[Fact[Any], ...]:
    """What the operations here ask; gather it with other facts to save an exchange."""
    own = (Mounts(), Fstab(), Place(wanted.mount), DebPackages())
    return (_devices(wanted), *own, *((Arrays(),) if wanted.join else ()))


def volume_of(host: Host, wanted: Wanted) -> Volume | None:
    """The volume for *wanted*; None where something that is no disk is mounted there already.

    Raises:
        HostError: see `volume.choose`.
    """
    disks = host.fact(_devices(wanted))
    other = [m for m in host.fact(Mounts) if m.folder == wanted.mount]
    if not other or disks.mounted_at(wanted.mount):
        return choose(disks, wanted, host.name)
    if wanted.device is None and not wanted.join:
        return None  # a network's folder, say
    raise HostError(
        f"{other[-1].source} ({other[-1].filesystem}) is mounted at {wanted.mount}, where the "
        "data disk should be.",
        "Unmount it, or set host.data_disk.mount to another folder.",
        host=host.name,
    )


def device(host: Host, wanted: Wanted, path: str) -> Device | None:
    """The device at *path*."""
    return host.fact(_devices(wanted)).find(path)


def _devices(wanted: Wanted) -> BlockDevices:
    return BlockDevices((wanted.device,) if wanted.device else (), every=wanted.join)


def _require_empty(host: Host, folder: str) -> None:
    found = host.fact(Place(folder))
    if found not in {"nothing", "empty"}:
        kind = "holds files" if found == "filled" else "is no folder"
        raise HostError(
            f"The data disk cannot be mounted at {folder}, which {kind}.",
            "Move away what is there, or set host.data_disk.mount to another folder.",
            host=host.name,
        )


def _is_in_fstab(host: Host, volume: Volume, wanted: Wanted) -> bool:
    disks = host.fact(_devices(wanted))
    lines = [entry for entry in host.fact(Fstab) if entry.folder == wanted.mount]
    if any(_means(entry, volume, disks) for entry in lines):
        return True
    others = [entry for entry in lines if not entry.ours]
    if not others:
        return wanted.device is None and not wanted.join  # whoever mounted it knows how
    raise HostError(
        f"/etc/fstab mounts {others[0].source} at {wanted.mount}, not {volume.path}.",
        "Take that line out, or set host.data_disk.mount to another folder.",
        host=host.name,
    )


def _means(entry: Entry, volume: Volume, disks: Disks) -> bool:
    kind, _, value = entry.source.partition("=")
    value = value.strip('"')
    if kind == "UUID":
        return value == volume.uuid != ""
    if kind == "LABEL":
        return value == volume.label != ""
    found = disks.find(entry.source)
    return found is not None and found.path == volume.path


def _explained(said: str) -> tuple[str, str] | None:
    for line in said.splitlines():
        if line.startswith("mdadm: "):
            what = f"The local NVMe disks could not be joined ({line})."
            return what, _LOST
    return refusal.explained(said)
