"""Which disk holds the data, decided on what is known of all disks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.errors import HostError
from provisioning.facts.block_devices import Device, Disks
from provisioning.volume import Volume, Wanted, choose

SIZE = 10**12
BOOT = Device("/dev/nvme0n1", "disk", SIZE, table="gpt", holds="holds a partition table, gpt")
ROOT = Device("/dev/nvme0n1p1", "part", SIZE, "ext4", mounts=("/",), above=("/dev/nvme0n1",))
BLANK = Device("/dev/nvme1n1", "disk", SIZE, holds="")
BLANK2 = Device("/dev/nvme2n1", "disk", SIZE, holds="")
WANTED = Wanted("/dev/disk/by-id/data", "/data", "ext4")
JOIN = Wanted(None, "/data", "ext4", join=True)


def having(*devices: Device) -> Disks:
    """A host with a boot disk; the stack's name leads to the first of *devices*."""
    names = ((WANTED.device or "", devices[0].path),) if devices else ()
    return Disks((BOOT, ROOT, *devices), names)


def holding(filesystem: str, **more: Any) -> Device:
    return replace(BLANK, filesystem=filesystem, holds=f"holds {filesystem}", **more)


def raid(disk: Device, uuid: str = "u") -> Device:
    return replace(disk, filesystem="linux_raid_member", uuid=uuid, holds="holds linux_raid_member")


def array(filesystem: str = "", **more: Any) -> Device:
    above = (BLANK.path, BLANK2.path)
    holds = f"holds {filesystem}" if filesystem else ""
    return Device("/dev/md127", "raid0", SIZE, filesystem, above=above, holds=holds, **more)


def part(number: int, filesystem: str = "") -> Device:
    path = f"{BLANK.path}p{number}"
    return Device(path, "part", SIZE, filesystem, f"u{number}", above=(BLANK.path,))


def refused(disks: Disks, wanted: Wanted = WANTED) -> str:
    with pytest.raises(HostError) as caught:
        choose(disks, wanted, "gpu-0")
    assert caught.value.advice
    return caught.value.what


def test_a_blank_disk_is_to_be_formatted() -> None:
    """By whatever name it was asked for."""
    assert Volume(BLANK.path, format=True) == choose(having(BLANK), WANTED)
    assert Volume(BLANK.path, format=True) == choose(
        having(BLANK), replace(WANTED, device=BLANK.path)
    )


@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_a_file_system_is_taken_as_it_is(filesystem: str) -> None:
    """Whatever the recipe would have made."""
    disk = holding(filesystem, uuid="u", label="l")
    assert Volume(BLANK.path, "u", "l") == choose(having(disk), WANTED)


@pytest.mark.parametrize(
    ("disk", "says"),
    [
        (holding("LVM2_member"), "holds LVM2_member"),
        (holding("swap"), "holds swap"),
        (replace(BLANK, holds=None), "holds something"),
        (replace(BLANK, holds="is not all zeros (byte 0)"), "is not all zeros (byte 0)"),
        (replace(BLANK, read_only=True), "can only be read"),
        (holding("ext4", read_only=True), "can only be read"),
        (replace(BLANK, table="gpt"), "has a partition table (gpt)"),
    ],
    ids=["LVM", "swap", "not looked at", "garbage", "read-only", "read-only ext4", "table"],
)
def test_nothing_but_a_blank_disk_is_formatted(disk: Device, says: str) -> None:
    """What is on it is said, and that it was not touched."""
    what = refused(having(disk))
    assert (True, True) == (what.startswith(f"The disk {BLANK.path} {says}"), "not touched" in what)


@given(
    st.builds(
        Device,
        st.just(BLANK.path),
        st.just("disk"),
        st.just(SIZE),
        filesystem=st.sampled_from(["", "ext4", "xfs", "swap", "LVM2_member", "zfs_member"]),
        table=st.sampled_from(["", "gpt", "dos"]),
        mounts=st.sampled_from([(), ("/mnt",), ("[SWAP]",)]),
        read_only=st.booleans(),
        holds=st.sampled_from([None, "", "holds ext4", "is not all zeros (byte 0)"]),
    )
)
def test_whatever_is_known_only_a_blank_disk_is_formatted(disk: Device) -> None:
    """Formatting takes a look that found nothing, and nothing that says otherwise."""
    try:
        volume = choose(having(disk), WANTED)
    except HostError:
        return
    if volume.format:
        assert ("", "", "", (), False) == (
            disk.holds,
            disk.filesystem,
            disk.table,
            disk.mounts,
            disk.read_only,
        )


def test_a_single_partition_of_use_is_taken() -> None:
    """One file system of ours among them; none or several are for a person."""
    table = replace(BLANK, table="gpt", holds="holds a partition table, gpt")
    assert Volume("/dev/nvme1n1p2", "u2") == choose(
        having(table, part(1, "vfat"), part(2, "xfs")), WANTED
    )
    assert "several file systems (/dev/nvme1n1p1 and /dev/nvme1n1p2)" in refused(
        having(table, part(1, "xfs"), part(2, "ext4"))
    )
    assert "/dev/nvme1n1p1 without a file system" in refused(having(table, part(1)))


def test_a_disk_whose_partitions_nobody_told_of_is_not_formatted() -> None:
    """A partition without its table is enough."""
    assert "not touched" in refused(having(BLANK, part(1)))


def test_what_is_mounted_there_already_is_it() -> None:
    """The disk itself, or its partition."""
    disk = holding("ext4", uuid="u", mounts=("/data",))
    assert Volume(BLANK.path, "u", mounted=True) == choose(having(disk), WANTED)
    inside = replace(part(1, "ext4"), mounts=("/data",))
    found = choose(having(replace(BLANK, table="gpt"), inside), WANTED)
    assert Volume(inside.path, "u1", mounted=True) == found


def test_another_disk_in_the_place_is_said() -> None:
    """Two disks for one folder."""
    other = Device("/dev/sdz", "disk", SIZE, "ext4", mounts=("/data",))
    assert "/dev/sdz is mounted at /data, not the data disk" in refused(having(BLANK, other))


@pytest.mark.parametrize("mount", ["/mnt", "[SWAP]"])
def test_a_disk_in_use_elsewhere_is_said(mount: str) -> None:
    """Where, and what is to be done."""
    disk = holding("ext4", mounts=(mount,))
    assert f"is in use: {BLANK.path} is mounted at {mount}" in refused(having(disk))


def test_the_boot_disk_is_never_the_data_disk() -> None:
    """Its partition is in use."""
    assert "is in use" in refused(having(), replace(WANTED, device=BOOT.path))


def test_a_disk_that_is_not_there_is_named_with_those_that_are() -> None:
    """So that a wrong name can be seen."""
    what = refused(having(BLANK), replace(WANTED, device="/dev/x"))
    assert "/dev/x is not on the host; its disks are: /dev/nvme0n1, /dev/nvme1n1" in what
    assert "its disks are: none" in refused(Disks(()), WANTED)


def test_without_a_disk_the_folder_must_be_mounted() -> None:
    """By whoever did it."""
    nameless = replace(WANTED, device=None)
    assert "names none, and nothing is mounted at /data" in refused(having(BLANK), nameless)
    theirs = holding("ext4", mounts=("/data",))
    assert choose(having(theirs), nameless).mounted


def test_blank_local_disks_are_joined() -> None:
    """In the order of their numbers, to an array with a name that is free."""
    tenth = replace(BLANK, path="/dev/nvme10n1")
    old = Device("/dev/md0", "raid1", SIZE)
    volume = choose(having(tenth, BLANK2, BLANK, old), JOIN)
    assert (BLANK.path, BLANK2.path, tenth.path) == volume.members
    assert ("/dev/md1", True, False) == (volume.path, volume.create, volume.format)


def test_a_lone_local_disk_needs_no_array() -> None:
    """It is formatted as any other."""
    assert Volume(BLANK.path, format=True) == choose(having(BLANK), JOIN)


def test_disks_of_the_network_and_in_use_are_not_joined() -> None:
    """Nor the stack's data disk."""
    remote = replace(BLANK, path="/dev/nvme3n1", model="nvme_card-pd")
    used = replace(BLANK, path="/dev/nvme4n1", filesystem="xfs", mounts=("/scratch",))
    other = replace(BLANK, path="/dev/nvme5n1")
    stacks = replace(JOIN, device=other.path)
    found = choose(having(BLANK, BLANK2, remote, used, other), stacks)
    assert (BLANK.path, BLANK2.path) == found.members


def test_one_disk_with_something_on_it_keeps_all_from_being_joined() -> None:
    """It is named."""
    full = replace(BLANK2, filesystem="ntfs", holds="holds ntfs")
    assert f"The disk {BLANK2.path} holds ntfs" in refused(having(BLANK, full), JOIN)
    assert "not touched" in refused(having(BLANK2, BLANK, part(1)), JOIN)


def test_no_local_disk_is_said() -> None:
    """Nothing to join."""
    assert "no local NVMe disk to join" in refused(having(), JOIN)


def test_an_array_is_never_made_anew() -> None:
    """Put together where it is not, whatever blank disks came since."""
    third = replace(BLANK, path="/dev/nvme3n1")
    found = choose(having(raid(BLANK), raid(BLANK2), third), JOIN)
    assert Volume("/dev/md0", members=(BLANK.path, BLANK2.path)) == found


def test_an_array_that_is_there_is_treated_like_a_disk() -> None:
    """Mounted as it is, formatted if blank, refused otherwise."""
    members = (raid(BLANK), raid(BLANK2))
    full = having(*members, array("xfs", uuid="f"))
    assert Volume("/dev/md127", "f") == choose(full, JOIN)
    assert Volume("/dev/md127", format=True) == choose(having(*members, array()), JOIN)
    assert "holds LVM2_member" in refused(having(*members, array("LVM2_member")), JOIN)
    mounted = having(*members, array("xfs", uuid="f", mounts=("/data",)))
    assert Volume("/dev/md127", "f", mounted=True) == choose(mounted, JOIN)


def test_disks_of_several_arrays_are_for_a_person() -> None:
    """Which one is ours cannot be known."""
    assert "several arrays" in refused(having(raid(BLANK), raid(BLANK2, "other")), JOIN)
