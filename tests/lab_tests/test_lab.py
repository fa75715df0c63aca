"""The lab's hosts are what they are taken for, and go without a trace."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from provisioning.remote import SshRemote
from tests.lab import disks, machine, network, start
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab.machine import HOME

pytestmark = [pytest.mark.integration, pytest.mark.lab]


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[LabHost]:
    """One with disks and a small folder, shared."""
    made = lab.host(disks=2, disk_size="300M", small={"/srv": "64m"})
    yield made
    lab.remove(made)


def test_a_host_is_like_a_fresh_vm(host: LabHost) -> None:
    """All services run, the user may become root, and there is no Docker."""
    told = host.ssh("systemctl is-system-running; sudo id -un; command -v docker || echo none")

    assert told.stdout.split() == ["running", "root", "none"]


def test_a_stack_reaches_a_host(host: LabHost) -> None:
    """What a stack would tell of a host is enough to log in, its key pinned."""
    remote = SshRemote(host.stack_host(), host.private_key)
    try:
        assert remote.run("hostname").stdout.strip() == host.name
    finally:
        remote.close()


def test_a_host_shows_its_own_blank_disks(host: LabHost) -> None:
    """Only the disks that it was given, of their size, with nothing on them."""
    listed = host.ssh("lsblk -bnro NAME,SIZE,FSTYPE | grep nvme").stdout.split("\n")

    assert [line.strip() for line in listed if line] == [
        f"nvme{number}n1 {300 * 2**20}" for number in (1, 2)
    ]


def test_a_reboot_and_a_power_cut_keep_what_is_on_disk(host: LabHost) -> None:
    """It comes back on the same port with a new boot id, file systems of fstab mounted."""
    host.docker_exec(
        "mkfs.ext4 -q /dev/nvme2n1 && mkdir /data && "
        "echo /dev/nvme2n1 /data ext4 defaults 0 2 >> /etc/fstab && mount -a && : > /data/kept"
    )
    boots = [host.boot_id()]
    host.reboot()
    boots.append(host.boot_id())
    host.kill()
    host.start()
    boots.append(host.boot_id())

    assert len(set(boots)) == 3
    assert host.ssh("ls /data/kept").stdout.strip() == "/data/kept"


def test_connections_can_be_cut(host: LabHost) -> None:
    """A session ends at once, with ssh's own exit status, and another one can be made."""
    session = subprocess.Popen([*host.ssh_argv(), "echo there; sleep 60"], stdout=subprocess.PIPE)
    with session:
        assert session.stdout
        assert session.stdout.readline() == b"there\n"
        host.cut()
        assert session.wait(timeout=20) == 255
    assert host.ssh("echo back").stdout == "back\n"


def test_a_host_can_fall_silent(host: LabHost) -> None:
    """Nothing comes back while it is frozen; afterwards all goes on."""
    host.freeze()
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            host.ssh("true", timeout_s=1.5)
    finally:
        host.thaw()
    assert host.ssh("echo back").stdout == "back\n"


def test_a_small_disk_can_be_filled(host: LabHost) -> None:
    """Then there is no room for a file of more than what was left."""
    host.fill_disk("/srv", leave_mib=1)

    said = host.docker_exec("dd if=/dev/zero of=/srv/more bs=1M count=3 2>&1", check=False)

    assert "No space left on device" in said


def test_kernel_settings_are_the_hosts_own(host: LabHost) -> None:
    """A host sets them without touching the machine's."""
    path = "/proc/sys/vm/swappiness"
    with open(path) as file:  # noqa: PTH123 # a file of the kernel's
        before = file.read()
    host.ssh("sudo sysctl -q -w vm.swappiness=7")
    with open(path) as file:  # noqa: PTH123 # the same
        assert file.read() == before
    assert host.ssh(f"cat {path}").stdout == "7\n"


def test_hosts_are_not_twins(lab_hosts: Callable[..., list[LabHost]]) -> None:
    """Each has its own name, machine id, boot id and host keys."""
    one, other = lab_hosts(2)
    asked = "hostname; cat /etc/machine-id /proc/sys/kernel/random/boot_id"

    assert not set(one.ssh(asked).stdout.split()) & set(other.ssh(asked).stdout.split())
    assert not set(one.host_keys()) & set(other.host_keys())


def test_a_host_can_lack_what_provisioning_needs(
    lab: Lab, lab_host: Callable[..., LabHost]
) -> None:
    """No sudo, no Python, no way out, and another distribution's name; the lab is still reached."""
    release = 'ID=fedora\nVERSION_ID="42"\nPRETTY_NAME="Fedora Linux 42"\n'
    host = lab_host(sudo=False, python=False, egress=False, release=release)
    route = host.ssh("sudo -n true; python3 -V; ip route show default; . /etc/os-release; echo $ID")

    assert route.stdout == "fedora\n"
    assert "password is required" in route.stderr
    assert "python3: command not found" in route.stderr
    packages = host.ssh(f"curl -sf {lab.archive_url}/Packages").stdout
    assert "Package: nvidia-container-toolkit\n" in packages


def _left(name: str) -> list[str]:
    """Everything on this machine that belongs to the host *name*."""
    names = [label["name"] for label in network.labels()]
    devices = subprocess.run(["losetup", "--list"], check=True, capture_output=True, text=True)
    return [
        *(found for found in names if found == name),
        *(str(path) for path in disks.FOLDER.glob(f"{name}.*")),
        *(str(path) for path in (HOME / "hosts").glob(name)),
        *(line for line in devices.stdout.splitlines() if f"/{name}." in line),
    ]


def test_a_host_goes_without_a_trace(lab: Lab) -> None:
    """Its container, its folder, its disks and their loop devices are gone."""
    made = lab.host(disks=1, disk_size="50M")
    assert len(_left(made.name)) == 4
    lab.remove(made)

    assert _left(made.name) == []


_KILLED = """
import os, signal, sys
from tests.lab.lab import Lab
print(Lab("killed").host(disks=1, disk_size="50M").name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_hosts_of_a_killed_run_are_cleared_away(lab: Lab) -> None:
    """The next one who starts or removes hosts removes them, too."""
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED], capture_output=True, text=True, check=False
    )
    name = killed.stdout.strip()
    assert killed.returncode == -9
    assert len(_left(name)) == 4
    with machine.alone():
        start.remove_leftovers()

    assert _left(name) == []


def test_the_command_makes_and_removes_hosts(lab: Lab) -> None:
    """`up` prints how to log in, `status` lists the host, `down` removes it."""

    def command(*argv: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tests.lab", *argv], capture_output=True, text=True, check=True
        )
        return done.stdout

    began = time.monotonic()
    login = command("up", "--prefix", "command").split("  ")[-1]
    there = command("status")
    said = subprocess.run(
        [*login.split(), "echo hello"], capture_output=True, text=True, check=False
    )
    command("down", "--prefix", "command")

    assert said.stdout == "hello\n"
    assert "command1" in there
    assert _left("command1") == []
    assert time.monotonic() - began < 60
