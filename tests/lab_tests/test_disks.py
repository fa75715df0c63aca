"""Data disks on a host: only blank ones are formatted, whatever else is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.deploys import disks
from provisioning.errors import DynoError, HostError
from provisioning.operations import disks as operations
from provisioning.volume import Wanted
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests.deploying import deploy, logged_in, needs

pytestmark = [pytest.mark.integration, pytest.mark.lab]

DISK = "/dev/nvme1n1"
LINK = "/dev/disk/by-id/google-data"
TOOLS = "xfsprogs btrfs-progs lvm2 fdisk dosfstools"
LVM = "--config 'devices{obtain_device_list_from_udev=0} activation{udev_sync=0 udev_rules=0}'"
#: What is on a disk, and what is said of it.
OTHERS = {
    "LVM": (f"lvm pvcreate -q {LVM} -y {DISK}", "holds LVM2_member"),
    "swap": (f"mkswap -q {DISK}", "holds swap"),
    "FAT": (f"mkfs.vfat {DISK}", "holds vfat"),
    "GPT": (f"echo 'label: gpt' | sfdisk -q {DISK}", "has a partition table .gpt."),
    "MBR": (f"echo 'label: dos' | sfdisk -q {DISK}", "has a partition table .dos."),
    "garbage": (f"dd if=/dev/urandom of={DISK} bs=4096 count=1 seek=77", "is not all zeros"),
    "one byte at its end": (f"printf x | dd of={DISK} bs=1 seek=335544319", "is not all zeros"),
    "ext4 with its head gone": (
        f"mkfs.ext4 -q {DISK}; dd if=/dev/zero of={DISK} bs=1M count=2",
        "is not all zeros",
    ),
    "XFS with its head gone": (
        f"mkfs.xfs -q {DISK}; dd if=/dev/zero of={DISK} bs=1M count=10",
        "is not all zeros",
    ),
    "a copy of the table at its end": (
        f"echo 'label: gpt' | sfdisk -q {DISK}; dd if=/dev/zero of={DISK} bs=1M count=2",
        "holds a signature",
    ),
}
FSTAB = "# theirs: a comment\t\nproc  /proc\tproc defaults 0 0\n\nLABEL=x /mnt/x ext4 noauto 0 0"


@pytest.fixture(scope="module")
def shared(lab: Lab) -> Iterator[LabHost]:
    made = lab.host(disks=3, disk_size="320M")
    made.docker_exec(f"apt-get update -q && apt-get install -qy --no-install-recommends {TOOLS}")
    yield made
    lab.remove(made)


@pytest.fixture
def host(shared: LabHost) -> LabHost:
    """The host with its first disk blank, nothing mounted, and lines of others in fstab."""
    shared.docker_exec(
        f"umount /data 2>/dev/null; rm -rf /data /home/dyno/llm-dyno; blkdiscard -f {DISK} 2>&1;"
        f"mkdir -p {LINK.rpartition('/')[0]}; ln -sf ../../nvme1n1 {LINK}"
    )
    shared.write("/etc/fstab", FSTAB)
    return shared


def digest(host: LabHost) -> str:
    return host.docker_exec(f"cksum <{DISK}")


def mounted(host: LabHost) -> str:
    return host.docker_exec("findmnt -no SOURCE,FSTYPE /data || echo nothing").strip()


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_on_a_disk_is_never_formatted(host: LabHost, what: str) -> None:
    """Refused in one sentence, with every byte as it was and nothing begun."""
    make, says = OTHERS[what]
    host.docker_exec(f"{{ {make}; }} 2>&1")
    before = digest(host)
    with pytest.raises(HostError, match=rf"/dev/nvme1n1 {says}.* was not touched"):
        deploy(host, needs(host, DISK, data_disk={}), disks)
    assert (before, "nothing") == (digest(host), mounted(host))
    assert FSTAB == host.docker_exec("cat /etc/fstab")


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_file_system_is_mounted_as_it_is(host: LabHost, kind: str) -> None:
    """Whichever the recipe would make: files, UUID and label stay."""
    host.docker_exec(
        f"mkfs.{kind} -q -L theirs {DISK} && mount {DISK} /mnt && echo hello >/mnt/file"
        " && umount /mnt"
    )
    before = host.docker_exec(f"blkid -p {DISK}")
    changes = deploy(host, needs(host, DISK, data_disk={}), disks)
    assert [] == [line for line in changes if "format" in line]
    assert (f"{DISK} {kind}", "hello") == (mounted(host), host.docker_exec("cat /data/file"))
    assert before == host.docker_exec(f"blkid -p {DISK}")


def test_a_blank_disk_is_made_ready_once(host: LabHost) -> None:
    """By whatever name the stack knows it; other lines stay byte for byte; back after a boot."""
    asked = needs(host, LINK, data_disk={})
    changes = deploy(host, asked, disks)
    assert f"format {DISK} as ext4 if it is blank" == changes[0]
    assert f"{DISK} ext4" == mounted(host)
    uuid = host.docker_exec(f"blkid -p -s UUID -o value {DISK}").strip()
    options = "noatime,nofail,x-systemd.device-timeout=30s,x-llm-dyno"
    line = f"UUID={uuid} /data ext4 {options} 0 2"
    assert f"{FSTAB}\n{line}" == host.docker_exec("cat /etc/fstab")
    assert [] == deploy(host, asked, disks)
    host.docker_exec("echo kept >/data/models/file")
    host.reboot()
    assert "kept" == host.docker_exec("cat /data/models/file")
    host.docker_exec(f"mkdir -p {LINK.rpartition('/')[0]}; ln -sf ../../nvme1n1 {LINK}")
    assert [] == deploy(host, asked, disks)


def test_runs_go_to_the_disk(host: LabHost) -> None:
    """The folder of runs leads there, private; those that had run before stay where they are."""
    deploy(host, needs(host, DISK, data_disk={}), disks)
    host.ssh("echo x >llm-dyno/runs/file")
    told = host.docker_exec("stat -c '%a %U' /data/results /data/models; cat /data/results/file")
    assert ["700 dyno", "755 dyno", "x"] == told.splitlines()
    host.ssh("rm llm-dyno/runs && mkdir llm-dyno/runs && echo old >llm-dyno/runs/run")
    assert [] == deploy(host, needs(host, DISK, data_disk={}), disks)
    assert "old\n" == host.ssh("cat llm-dyno/runs/run").stdout


def test_an_xfs_is_made_where_the_recipe_says_so(host: LabHost) -> None:
    """Its tools are there; a second run has nothing to do."""
    asked = needs(host, DISK, data_disk={"filesystem": "xfs"})
    deploy(host, asked, disks)
    assert f"{DISK} xfs" == mounted(host)
    assert [] == deploy(host, asked, disks)


def test_what_drifted_is_put_right(host: LabHost) -> None:
    """Unmounted, taken out of fstab, a folder's mode changed: mended, and nothing formatted."""
    asked = needs(host, DISK, data_disk={}, docker={})
    deploy(host, asked, disks)
    unit = "/etc/systemd/system/docker.service.d/llm-dyno-data.conf"
    assert "[Unit]\nRequiresMountsFor=/data" == host.docker_exec(f"cat {unit}")
    before = host.docker_exec("cat /etc/fstab")
    host.docker_exec(f"chmod 777 /data/models; umount /data; rm {unit}")
    host.write("/etc/fstab", FSTAB)
    changes = deploy(host, asked, disks)
    assert [] == [line for line in changes if "format" in line]
    assert (f"{DISK} ext4", before) == (mounted(host), host.docker_exec("cat /etc/fstab"))
    assert [] == deploy(host, asked, disks)


def test_emptiness_is_looked_at_by_what_formats(host: LabHost) -> None:
    """A file system that comes after the facts were gathered is not lost."""
    wanted = Wanted(DISK, "/data", "ext4")
    with logged_in(host) as seen:
        seen.gather(*operations.facts(wanted))
        host.docker_exec(f"mkfs.ext4 -q -L theirs {DISK}")
        before = digest(host)
        with pytest.raises(HostError, match="holds ext4; it was not touched"):
            seen.apply(operations.formatted, wanted)
    assert before == digest(host)


def test_a_disk_in_use_elsewhere_is_left_there(host: LabHost) -> None:
    """It is named where it is mounted."""
    host.docker_exec(f"mkfs.ext4 -q {DISK} && mkdir -p /mnt && mount {DISK} /mnt")
    try:
        with pytest.raises(HostError, match="in use: /dev/nvme1n1 is mounted at /mnt") as caught:
            deploy(host, needs(host, DISK, data_disk={}), disks)
    finally:
        host.docker_exec("umount /mnt")
    assert "host.data_disk.mount to /mnt" in caught.value.advice


def test_files_in_the_folder_are_not_hidden(host: LabHost) -> None:
    """A folder that holds something is not mounted over, and the disk is not formatted for it."""
    host.docker_exec("mkdir /data && touch /data/file")
    before = digest(host)
    with pytest.raises(HostError, match="cannot be mounted at /data, which holds files"):
        deploy(host, needs(host, DISK, data_disk={}), disks)
    assert before == digest(host)


@pytest.mark.parametrize(
    ("disk", "asked", "says"),
    [
        ("/dev/nvme9n1", {}, "The data disk /dev/nvme9n1 is not on the host; its disks are: "),
        (None, {}, "asks for a data disk, but the stack names none"),
        (None, {"mount": "/a/../b"}, "cannot be mounted at '/a/../b'"),
    ],
    ids=["not there", "not named", "no folder"],
)
def test_what_cannot_be_is_said(
    host: LabHost, disk: str | None, asked: dict[str, str], says: str
) -> None:
    """One sentence, before anything is changed."""
    with pytest.raises(DynoError, match=says):
        deploy(host, needs(host, disk, data_disk=asked), disks)
    assert FSTAB == host.docker_exec("cat /etc/fstab")


@pytest.fixture(scope="module")
def array_host(lab: Lab) -> Iterator[LabHost]:
    """Two blank NVMe disks, and a stand-in for mdadm, to which a third disk is the array."""
    made = lab.host(disks=3, disk_size="320M")
    standin = "/usr/local/sbin/mdadm"
    program = (Path(__file__).parent / "mdadm_standin.py").read_text()
    made.write(standin, f"#!/usr/bin/python3\n{program}")
    made.docker_exec(f"chmod 755 {standin}")
    hide_third(made)
    yield made
    lab.remove(made)


def hide_third(host: LabHost) -> None:
    """As the kernel has no arrays, fstab may have mounted the disk that stands for it."""
    host.docker_exec(
        "umount /data 2>/dev/null; number=$(cat /sys/block/nvme3n1/dev);"
        "mv /dev/nvme3n1 /dev/lab-md && rm /sys/block/nvme3n1 /sys/dev/block/$number"
    )


def test_a_disk_that_fills_meanwhile_is_not_joined(array_host: LabHost) -> None:
    """Looked at by what joins; the other is not touched either."""
    wanted = Wanted(None, "/data", "ext4", join=True)
    with logged_in(array_host) as seen:
        seen.gather(*operations.facts(wanted))
        array_host.docker_exec("mkswap -q /dev/nvme2n1")
        with pytest.raises(HostError, match="/dev/nvme2n1 holds swap; no disk was touched"):
            seen.apply(operations.joined, wanted)
    assert "swap" == array_host.docker_exec("blkid -s TYPE -o value /dev/nvme1n1 /dev/nvme2n1")
    array_host.docker_exec("blkdiscard -f /dev/nvme2n1")


def test_local_disks_are_joined_and_put_together_again(array_host: LabHost) -> None:
    """One array, formatted once, in mdadm's file; after a boot it is the same one."""
    asked = needs(array_host, data_disk={"join_nvme": True})
    changes = deploy(array_host, asked, disks)
    assert "join /dev/nvme1n1, /dev/nvme2n1 to /dev/md0 if all are blank" in changes
    assert "/dev/md0 ext4" == mounted(array_host)
    config = array_host.docker_exec("grep ^ARRAY /etc/mdadm/mdadm.conf")
    assert ("ARRAY /dev/md0 ", 1) == (config[:15], len(config.splitlines()))
    assert [] == deploy(array_host, asked, disks)
    array_host.docker_exec("echo kept >/data/file")
    array_host.reboot()
    hide_third(array_host)
    again = deploy(array_host, asked, disks)
    together = "put the array /dev/md0 of /dev/nvme1n1, /dev/nvme2n1 together again"
    assert [together] == again[:1]
    assert ([], "kept") == (
        [line for line in again if "format" in line or "join" in line],
        array_host.docker_exec("cat /data/file"),
    )
    assert [] == deploy(array_host, asked, disks)
    gone = "rm /dev/nvme2n1 /sys/block/nvme2n1"
    array_host.docker_exec(f"umount /data && mdadm --stop /dev/md0 && {gone}")
    with pytest.raises(HostError, match="not enough to start the array") as caught:
        deploy(array_host, asked, disks)
    assert "empty the other disks yourself" in caught.value.advice
