"""The disks of a host: what is on them, and which of them are surely blank."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from provisioning.command import Command, Fact

#: A shell function that prints why a device must not be formatted, and nothing when it is blank:
#: no signature, nothing that lsblk sees, and zeros at both ends and where file systems keep copies
#: of their superblock (ext4 at 128 MiB, btrfs at 64 MiB, XFS at each quarter). Whatever cannot be
#: answered is a reason. The first question ends it on a disk in use: one process.
WHY_NOT_BLANK = r"""
why_not_blank() {
  [ -b "$1" ] || { echo "is no block device"; return; }
  said=$(blkid -p -o export "$1" 2>&1); code=$?
  if [ $code != 2 ] || [ -n "$said" ]; then
    told='s/^TYPE=//p; s/^PTTYPE=/a partition table, /p'
    what=$(printf '%s\n' "$said" | sed -n "$told" | head -n 1)
    echo "holds ${what:-something that blkid does not understand}"; return
  fi
  said=$(wipefs -n "$1" 2>&1); code=$?
  [ $code = 0 ] && [ -z "$said" ] || { echo "holds a signature that wipefs sees"; return; }
  said=$(lsblk -nrpo KNAME,FSTYPE,PTTYPE,LABEL,MOUNTPOINT "$1" 2>&1 | tr -s '[:space:]' ' ')
  [ "${said% }" = "$1" ] || { echo "is in use: lsblk says ${said% }"; return; }
  size=$(blockdev --getsize64 "$1" 2>/dev/null) || size=0
  [ "$size" -ge 2097152 ] || { echo "is smaller than 2 MiB"; return; }
  for at in 0 67108864 134217728 $((size/4)) $((size/2)) $((size/4*3)) $((size-1048576)); do
    [ $((at+1048576)) -gt "$size" ] && continue
    cmp -s -n 1048576 -i "$at:0" "$1" /dev/zero || { echo "is not all zeros (byte $at)"; return; }
  done
}
"""
_COLUMNS = "NAME,KNAME,TYPE,SIZE,FSTYPE,UUID,LABEL,PTTYPE,MOUNTPOINTS,RO,MODEL"
_ASK = f"""{WHY_NOT_BLANK}
probe() {{ printf 'probe %s %s\\n' "$1" "$(why_not_blank "$1")"; }}
every=$1; shift
for name; do
  path=$(readlink -f "$name") && [ -b "$path" ] || continue
  printf 'name %s %s\\n' "$path" "$name"
  probe "$path"
done
[ -z "$every" ] || for path in /sys/block/*; do
  path=/dev/${{path##*/}}
  case $path in /dev/loop*|/dev/ram*|/dev/zram*|/dev/sr*|/dev/fd*|/dev/dm-*) continue;; esac
  [ ! -b "$path" ] || probe "$path"
done
echo --
exec lsblk -J -b -o {_COLUMNS}
"""


@dataclass(frozen=True)
class Device:
    """A disk, a partition or an array.

    `path` is the kernel's name of it, ``/dev/nvme0n1``; `kind` is lsblk's type, such as ``disk``,
    ``part``, ``raid0``; `table` is the kind of its partition table. `above` are the devices that
    it is made from. `holds` says why it is not blank: empty when it is, None when it was not
    looked at.
    """

    path: str
    kind: str
    size: int
    filesystem: str = ""
    uuid: str = ""
    label: str = ""
    table: str = ""
    model: str = ""
    mounts: tuple[str, ...] = ()
    above: tuple[str, ...] = ()
    read_only: bool = False
    holds: str | None = None

    @property
    def blank(self) -> bool:
        """Whether it was looked at closely, and nothing was found."""
        return self.holds == "" and not (
            self.filesystem or self.table or self.mounts or self.read_only
        )


@dataclass(frozen=True)
class Disks:
    """All devices; `names` are pairs of a name that was asked for and the path it leads to."""

    devices: tuple[Device, ...]
    names: tuple[tuple[str, str], ...] = ()

    def find(self, name: str) -> Device | None:
        """The device with that path or name; None when there is none."""
        path = dict(self.names).get(name, name)
        return next((device for device in self.devices if device.path == path), None)

    def below(self, device: Device) -> tuple[Device, ...]:
        """Its partitions, what is made from it, and what those hold in turn."""
        found: list[Device] = []
        for child in self.devices:
            if device.path in child.above:
                found += [child, *self.below(child)]
        return tuple(dict.fromkeys(found))

    def mounted_at(self, folder: str) -> Device | None:
        """What is mounted at *folder*; None when no device is."""
        return next((device for device in self.devices if folder in device.mounts), None)


@dataclass(frozen=True)
class BlockDevices(Fact[Disks]):
    """Disks, partitions and arrays, as root sees them; `names` may be links to some of them.

    Those with a name are looked at closely, and, if `every` is true, all whole disks and arrays.
    """

    names: tuple[str, ...] = ()
    every: bool = False

    @property
    def command(self) -> Command:
        """Look closely, then ask lsblk."""
        args = ("every" if self.every else "", *self.names)
        return Command.shell(_ASK, *args, sudo=True, shown="list disks and what is on them")

    def parse(self, stdout: str) -> Disks:
        """Read lines of ``name`` and ``probe``, then lsblk's tree."""
        said, _, tree = stdout.partition("--\n")
        names: list[tuple[str, str]] = []
        holds: dict[str, str] = {}
        for line in said.splitlines():
            word, path, rest = line.split(" ", 2)
            if word == "name":
                names.append((rest, path))
            else:
                holds[path] = rest
        found: dict[str, Device] = {}
        for item in json.loads(tree)["blockdevices"]:
            _walk(item, (), found)
        looked_at = (replace(d, holds=holds.get(d.path)) for d in found.values())
        return Disks(tuple(looked_at), tuple(names))


def _walk(item: dict[str, Any], above: tuple[str, ...], found: dict[str, Device]) -> None:
    """Put *item* and what is below it into *found*; an array stands below each of its disks."""
    device = _device(item, above)
    known = found.get(device.path)
    if known is not None:
        device = replace(device, above=tuple(dict.fromkeys(known.above + above)))
    found[device.path] = device
    for child in item.get("children", ()):
        _walk(child, (device.path,), found)


def _device(item: dict[str, Any], above: tuple[str, ...]) -> Device:
    return Device(
        path=f"/dev/{item['kname']}",
        kind=item["type"],
        size=int(item["size"]),
        filesystem=item["fstype"] or "",
        uuid=item["uuid"] or "",
        label=item["label"] or "",
        table=item["pttype"] or "",
        model=(item["model"] or "").strip(),
        mounts=tuple(mount for mount in item["mountpoints"] if mount),
        above=above,
        read_only=item["ro"] in {True, "1"},
    )
