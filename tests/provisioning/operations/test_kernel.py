"""Kernel settings and huge pages."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from provisioning.errors import HostError
from provisioning.facts.mounts import Mount
from provisioning.facts.paths import AtPath, Found
from provisioning.facts.sysctls import Sysctls
from provisioning.facts.system import Machine
from provisioning.operations import kernel
from tests.provisioning.fakes import FakeHost

MACHINE = Machine("h", "6.1", "x86_64", "Debian", "cpu", 4, 16384, "b")
SETTINGS = {"vm.swappiness": 10, "net.ipv4.tcp_rmem": "4096  131072\t6291456"}
PATHS = ("vm/swappiness", "net/ipv4/tcp_rmem")
FILE = "vm/swappiness = 10\nnet/ipv4/tcp_rmem = 4096 131072 6291456\n"
PAGES = "w /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages - - - - 512\n"
WRITABLE = (Mount("/", "ext4", "/dev/vda1", read_only=False),)


def having(
    values: dict[str, str] | None = None, content: str = "", mounts: Any = WRITABLE, **facts: Any
) -> FakeHost:
    found = Found("file", 0o644, hashlib.sha256(content.encode()).hexdigest()) if content else None
    answers = {
        Sysctls(PATHS): values or {},
        AtPath(kernel.SYSCTL_FILE, sudo=True): found,
        AtPath(kernel.PAGES_FILE, sudo=True): found,
    }
    known = {"HugePages": {"2048kB": 0}, "System": MACHINE, "Mounts": mounts}
    return FakeHost(answers, **(known | facts))


def shown(commands: Any) -> list[str]:
    return [str(command).partition(" (")[0] for command in commands]


def test_settings_are_tried_before_they_are_written_down() -> None:
    """Those that differ; the file holds all."""
    host = having({"vm/swappiness": "60", "net/ipv4/tcp_rmem": "4096 131072 6291456"})
    commands = list(kernel.settings(host, SETTINGS))
    assert ["set vm.swappiness to 10", f"write {kernel.SYSCTL_FILE}"] == shown(commands)
    assert FILE == commands[1].stdin.decode()


def test_settings_that_are_so_need_nothing() -> None:
    """Now and in the file; however blanks stand between numbers."""
    host = having({"vm/swappiness": "10", "net/ipv4/tcp_rmem": "4096 131072 6291456"}, FILE)
    assert [] == list(kernel.settings(host, SETTINGS))


@pytest.mark.parametrize("key", ["../../etc/passwd", "vm..swappiness", "vm.", "/vm/x", "."])
def test_a_setting_is_below_proc_sys(key: str) -> None:
    """A path that leads elsewhere is no name of one."""
    with pytest.raises(HostError, match="is no name of a kernel setting"):
        list(kernel.settings(having(), {key: 1}))


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("vm.swappiness", "vm/swappiness"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ],
)
def test_settings_are_named_as_sysctl_names_them(key: str, path: str) -> None:
    """The first of dot and slash divides; the other stands for a dot in a name."""
    assert path == kernel.as_path(key)


def test_a_setting_that_is_not_there_is_said() -> None:
    """Nothing was tried."""
    with pytest.raises(HostError, match=r"the kernel of fake-host has no setting net\.ipv4"):
        list(kernel.settings(having({"vm/swappiness": "10"}), SETTINGS))


def test_a_kernel_that_is_not_ours_to_set_is_said() -> None:
    """As in a container; unless the value is right already."""
    mounts = (*WRITABLE, Mount("/proc/sys", "proc", "proc", read_only=True))
    host = having({"vm/swappiness": "60", "net/ipv4/tcp_rmem": "1"}, mounts=mounts)
    with pytest.raises(HostError, match=r"host.sysctl: vm.swappiness cannot be set on fake-host"):
        list(kernel.settings(host, SETTINGS))
    mounts = (*WRITABLE, Mount("/sys", "sysfs", "sysfs", read_only=True))
    with pytest.raises(HostError, match=r"host.hugepages cannot be set .*: /sys can only be read"):
        list(kernel.reserved(having(mounts=mounts), {"2048kB": 512}))


def test_huge_pages_are_reserved_and_written_down() -> None:
    """At least as many: more that are there are somebody's."""
    commands = list(kernel.reserved(having(), {"2048kB": 512}))
    expected = ["reserve 512 huge pages of 2048kB", f"write {kernel.PAGES_FILE}"]
    assert (expected, PAGES) == (shown(commands), commands[1].stdin.decode())
    host = having(content=PAGES, HugePages={"2048kB": 600})
    assert [] == list(kernel.reserved(host, {"2048kB": 512}))


def test_pages_of_a_size_that_is_not_there_are_said() -> None:
    """With those that are."""
    with pytest.raises(HostError, match="no pages of 1048576kB") as caught:
        list(kernel.reserved(having(), {"1048576kB": 1}))
    assert "It has: 2048kB." == caught.value.advice
    with pytest.raises(HostError) as caught:
        list(kernel.reserved(having(HugePages={}), {"2048kB": 1}))
    assert "It has: none." == caught.value.advice


def test_more_pages_than_memory_are_refused() -> None:
    """Both figures are told."""
    with pytest.raises(HostError, match="asks for 16384 MiB, and fake-host has 16384 MiB"):
        list(kernel.reserved(having(), {"2048kB": 8192}))


def test_only_what_is_asked_for_is_asked() -> None:
    """No facts for nothing."""
    assert () == kernel.facts({}, {})
    assert Sysctls(PATHS) in kernel.facts(SETTINGS, {})
    assert Sysctls(PATHS) not in kernel.facts({}, {"2048kB": 1})
