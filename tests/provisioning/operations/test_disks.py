"""Commands that make a data disk ready, by what is known of the host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioning.errors import HostError
from provisioning.facts.arrays import Arrays
from provisioning.facts.block_devices import BlockDevices, Device, Disks
from provisioning.facts.fstab import Entry
from provisioning.facts.mounts import Mount
from provisioning.facts.places import Place
from provisioning.operations import disks
from provisioning.volume import Wanted
from tests.provisioning.fakes import FakeHost

BLANK = Device("/dev/vdb", "disk", 10**12, holds="")
EXT4 = replace(BLANK, filesystem="ext4", uuid="u-1", label="l", holds="holds ext4")
WANTED = Wanted("/dev/vdb", "/data", "ext4")
NAMELESS = Wanted(None, "/data", "ext4")
JOIN = Wanted(None, "/data", "ext4", join=True)
OURS = ("noatime", "x-llm-dyno")
LINE = Entry("UUID=u-1", "/data", "ext4", OURS)
ALL = (disks.joined, disks.recorded, disks.formatted, disks.mounted)
MEMBERS = tuple(
    Device(f"/dev/nvme{n}n1", "disk", 10**12, "linux_raid_member", "aa-bb", holds="holds raid")
    for n in (1, 2)
)
ARRAY = Device("/dev/md0", "raid0", 10**12, "ext4", "u-1", above=tuple(m.path for m in MEMBERS))


def having(
    *devices: Device, wanted: Wanted = WANTED, place: str = "empty", **facts: Any
) -> FakeHost:
    """A host with those disks, where they are mounted, and mdadm installed."""
    names = (wanted.device,) if wanted.device else ()
    answers = {
        BlockDevices(names, every=wanted.join): Disks(devices),
        Place("/data"): place,
    }
    mounts = tuple(Mount(m, "ext4", d.path, read_only=False) for d in devices for m in d.mounts)
    known = {"Mounts": mounts, "Fstab": (), "Arrays": frozenset(), "DebPackages": {"mdadm": "4"}}
    return FakeHost(answers, **(known | facts))


def shown(host: FakeHost, wanted: Wanted = WANTED) -> list[str]:
    """What all operations would do, in order."""
    return [str(command) for operation in ALL for command in operation(host, wanted)]


def test_a_blank_disk_is_formatted_and_mounted() -> None:
    """Now and at boot; by root."""
    host = having(BLANK)
    assert [
        "format /dev/vdb as ext4 if it is blank",
        "mount /dev/vdb at /data",
        "mount /dev/vdb at /data at boot, by UUID (/etc/fstab)",
    ] == shown(host)
    assert all(command.sudo for operation in ALL for command in operation(host, WANTED))


def test_a_working_folder_below_the_mount_is_refused() -> None:
    """It would be hidden; told before anything is formatted."""
    wanted = replace(WANTED, mount="/w")
    answers = {Place("/w"): "nothing"}
    host = having(BLANK)
    host._answers |= answers
    with pytest.raises(HostError, match="The working folder /w is below /w"):
        disks.checked(host, wanted)
    disks.checked(having(BLANK), WANTED)


def test_a_disk_in_its_place_needs_nothing() -> None:
    """Mounted, and by UUID in fstab."""
    there = replace(EXT4, mounts=("/data",))
    assert [] == shown(having(there, Fstab=(LINE,)))


@pytest.mark.parametrize("source", ['LABEL="l"', "LABEL=l", "/dev/vdb", 'UUID="u-1"'])
def test_a_line_of_somebody_else_that_means_the_disk_is_enough(source: str) -> None:
    """By label, by device, in quotes."""
    there = replace(EXT4, mounts=("/data",))
    theirs = Entry(source, "/data", "ext4", ("defaults",))
    assert [] == shown(having(there, Fstab=(theirs,)))


def test_a_file_system_is_mounted_and_not_formatted() -> None:
    """Its line is there already."""
    assert ["mount /dev/vdb at /data"] == shown(having(EXT4, Fstab=(LINE,)))


def test_a_line_that_is_gone_is_written_again() -> None:
    """The mount is left alone; so it is with a line of ours for a disk that was there before."""
    there = replace(EXT4, mounts=("/data",))
    expected = ["mount /dev/vdb at /data at boot, by UUID (/etc/fstab)"]
    assert expected == shown(having(there))
    assert expected == shown(having(there, Fstab=(replace(LINE, source="UUID=old"),)))


@pytest.mark.parametrize("source", ["UUID=other", "LABEL=other", "/dev/sdz", "nas:/x"])
def test_a_line_of_somebody_else_for_the_folder_is_not_overwritten(source: str) -> None:
    """It is named."""
    theirs = Entry(source, "/data", "ext4", ("defaults",))
    with pytest.raises(HostError, match=f"/etc/fstab mounts {source} at /data, not /dev/vdb"):
        shown(having(EXT4, Fstab=(theirs,)))


@pytest.mark.parametrize(("place", "says"), [("filled", "holds files"), ("other", "is no folder")])
def test_a_folder_that_is_not_empty_is_not_mounted_over(place: str, says: str) -> None:
    """Its files would be hidden."""
    with pytest.raises(HostError, match=says):
        disks.checked(having(BLANK, place=place), WANTED)
    disks.checked(having(BLANK), WANTED)


def test_a_folder_that_another_mounted_will_do_where_no_disk_is_named() -> None:
    """A network's, or a disk's: nothing is to be done, and nothing is said of fstab."""
    share = (Mount("/data", "nfs4", "nas:/x", read_only=False),)
    assert [] == shown(having(wanted=NAMELESS, Mounts=share), NAMELESS)
    theirs = replace(EXT4, mounts=("/data",))
    assert [] == shown(having(theirs, wanted=NAMELESS), NAMELESS)


@pytest.mark.parametrize("wanted", [WANTED, JOIN], ids=["disk", "array"])
def test_a_share_in_the_disks_place_is_said(wanted: Wanted) -> None:
    """It is not mounted over."""
    share = (Mount("/data", "nfs4", "nas:/x", read_only=False),)
    with pytest.raises(HostError, match=r"nas:/x \(nfs4\) is mounted at /data"):
        shown(having(BLANK, wanted=wanted, Mounts=share), wanted)


def test_what_makes_an_xfs_is_installed() -> None:
    """Only where one is made."""
    wanted = replace(WANTED, filesystem="xfs")
    assert ["install xfsprogs", "format /dev/vdb as xfs if it is blank"] == shown(
        having(BLANK), wanted
    )[:2]
    assert "install xfsprogs" not in shown(having(EXT4), wanted)


def test_local_disks_become_an_array() -> None:
    """With mdadm, which writes it down; then as any disk."""
    blank = [replace(BLANK, path=m.path) for m in MEMBERS]
    assert [
        "install mdadm",
        "join /dev/nvme1n1, /dev/nvme2n1 to /dev/md0 if all are blank",
        "write down the array /dev/md0 in /etc/mdadm/mdadm.conf",
        "format /dev/md0 as ext4 if it is blank",
        "mount /dev/md0 at /data",
        "mount /dev/md0 at /data at boot, by UUID (/etc/fstab)",
    ] == shown(having(*blank, wanted=JOIN, DebPackages={}), JOIN)


def test_an_array_is_put_together_and_never_formatted() -> None:
    """What is on it is not known before; its line is there."""
    assert [
        "put the array /dev/md0 of /dev/nvme1n1, /dev/nvme2n1 together again",
        "write down the array /dev/md0 in /etc/mdadm/mdadm.conf",
        "mount /dev/md0 at /data",
    ] == shown(having(*MEMBERS, wanted=JOIN, Fstab=(LINE,)), JOIN)[:3]
    assert [] == list(disks.formatted(having(*MEMBERS, wanted=JOIN), JOIN))


def test_an_array_in_its_place_needs_nothing() -> None:
    """Mounted, in fstab, in mdadm's file; out of which it may have been taken."""
    there = (*MEMBERS, replace(ARRAY, mounts=("/data",)))
    known = frozenset({"aabb"})
    assert [] == shown(having(*there, wanted=JOIN, Fstab=(LINE,), Arrays=known), JOIN)
    assert ["write down the array /dev/md0 in /etc/mdadm/mdadm.conf"] == shown(
        having(*there, wanted=JOIN, Fstab=(LINE,)), JOIN
    )


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("x\nrefused: The disk is full. | Empty it.\n", "The disk is full."),
        (
            "mdadm: Fail to create md0\n",
            "The local NVMe disks could not be joined (mdadm: Fail to create md0).",
        ),
        ("mount: wrong fs type", None),
    ],
    ids=["refused", "mdadm", "other"],
)
def test_what_failed_is_explained(said: str, what: str | None) -> None:
    """In one sentence, with what to do; what is not known is left as it is."""
    found = disks._explained(said)
    assert what == (found[0] if found else None)
    assert found is None or found[1]


def test_facts_are_those_that_are_asked() -> None:
    """Every disk is looked at closely only where they are to be joined."""
    assert BlockDevices(("/dev/vdb",)) in disks.facts(WANTED)
    assert BlockDevices((), every=True) in disks.facts(JOIN)
    assert (False, True) == (Arrays() in disks.facts(WANTED), Arrays() in disks.facts(JOIN))
    assert BLANK == disks.device(having(BLANK), WANTED, "/dev/vdb")
