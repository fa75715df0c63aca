"""Facts asked of this machine: their commands work in a plain shell."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import socket
import sys
from pathlib import Path

import pytest

from provisioning.errors import HostError
from provisioning.facts.agents import Agents
from provisioning.facts.disk import DiskFree
from provisioning.facts.gpus import Gpus
from provisioning.facts.lock import LockOwner, Owner
from provisioning.facts.paths import AtPath, Found
from provisioning.facts.ports import PortsInUse
from provisioning.facts.python import Python, Pythons, usable
from provisioning.facts.system import System
from provisioning.host import Host
from provisioning.remote import LocalRemote

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(LocalRemote(tmp_path), str(tmp_path))


def program(folder: Path, name: str, script: str) -> None:
    """A program on PATH."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of one folder, with what the exchange itself needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "env", "base64"):
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_this_machine_has_a_python_that_will_do(host: Host) -> None:
    """The first that is found new enough is an interpreter that exists."""
    python = usable(host.fact(Pythons))
    assert os.access(python.path, os.X_OK)


def test_a_newer_python_beside_an_old_one_is_found(host: Host, only: Path) -> None:
    """`python3` too old: python3.x are looked through, newest first, past any that fails."""
    program(only, "python3", "echo 3.9.18 /usr/bin/python3; exit 1")
    program(only, "python3.13", "exit 127")
    program(only, "python3.12", "echo 3.12.1 /opt/python3.12")
    program(only, "python3.11", "echo 3.11.0 /opt/python3.11")
    found = host.fact(Pythons)
    assert (Python("/usr/bin/python3", (3, 9, 18)), Python("/opt/python3.12", (3, 12, 1))) == found
    assert "/opt/python3.12" == usable(found).path


def test_a_real_python_says_whether_it_is_new_enough(host: Host, only: Path) -> None:
    """The program that each is asked with runs, and the search ends with this one."""
    program(only, "python3", f'exec {sys.executable} "$@"')
    program(only, "python3.12", "echo never asked")
    ((version, name),) = [(python.version, python.path) for python in host.fact(Pythons)]
    assert (sys.version_info[:3], True) == (version, Path(name).exists())


def test_a_python_too_old_names_both_versions() -> None:
    """What is there, what is needed, what to do."""
    with pytest.raises(HostError) as caught:
        usable((Python("/usr/bin/python3", (3, 9, 2)),), "gpu-0")
    assert (
        "The host's Python is too old: /usr/bin/python3 is 3.9.2, needed is 3.10 or newer."
        == caught.value.what
    )
    assert ("gpu-0", True) == (caught.value.host, "apt-get install python3" in caught.value.advice)


def test_no_python_at_all_is_said(host: Host, only: Path) -> None:
    """An empty search is an answer, and then an error with advice."""
    with pytest.raises(HostError, match=r"no Python on its PATH; needed is 3\.10"):
        usable(host.fact(Pythons))


def test_the_system_is_the_one_we_run_on(host: Host) -> None:
    """Kernel, boot, cores and memory are the kernel's own."""
    system = host.fact(System)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert (os.uname().release, boot_id) == (system.kernel, system.boot_id)
    assert len(os.sched_getaffinity(0)) == system.cores
    assert system.memory_mib > 0
    assert system.cpu


def test_free_space_is_that_of_the_first_folder_that_exists(tmp_path: Path) -> None:
    """The working folder need not be there yet."""
    host = Host(LocalRemote(tmp_path), f"{tmp_path}/not/yet")
    assert host.fact(DiskFree) == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)


def test_a_listener_is_seen_and_then_is_not(host: Host) -> None:
    """The port of a socket that listens is in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port in host.fact(PortsInUse)
    assert port not in Host(host.remote, host.workdir).fact(PortsInUse)


def test_without_a_driver_there_are_no_gpus(host: Host, only: Path) -> None:
    """nvidia-smi that is not there is no error."""
    assert () == host.fact(Gpus)


@pytest.mark.parametrize("code", [6, 9, 12])
def test_a_driver_that_finds_nothing_has_no_gpus(host: Host, only: Path, code: int) -> None:
    """No device, no driver, no library: told by exit codes."""
    program(only, "nvidia-smi", f"echo 'No devices were found'; exit {code}")
    assert () == host.fact(Gpus)


def test_gpus_are_asked_for_in_the_order_they_are_read(host: Host, only: Path) -> None:
    """The query's columns are those of the parser."""
    program(
        only,
        "nvidia-smi",
        'echo "$1" | { IFS== read -r _ q; echo "$q" >&2; }; echo "0, X, 5, 1.2, U"',
    )
    ((gpu),) = host.fact(Gpus)
    assert (0, "X", 5, "1.2", "U") == (gpu.index, gpu.name, gpu.memory_mib, gpu.driver, gpu.uuid)


def test_agents_are_listed(host: Host, tmp_path: Path) -> None:
    """None without the folder; archives in it by name."""
    assert frozenset() == host.fact(Agents)
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "a.pyz").touch()
    assert frozenset({"a.pyz"}) == Host(host.remote, host.workdir).fact(Agents)


def test_the_lock_is_read(host: Host, tmp_path: Path) -> None:
    """Free, left behind by nobody, held."""
    answers = [host.fact(LockOwner)]
    (tmp_path / "lock").mkdir()
    answers.append(Host(host.remote, host.workdir).fact(LockOwner))
    owner = {"who": "a", "run_id": "r", "since": "s"}
    (tmp_path / "lock" / "owner.json").write_text(json.dumps(owner))
    answers.append(Host(host.remote, host.workdir).fact(LockOwner))
    assert [None, None, Owner("a", "r", "s")] == answers


def test_paths_are_told_by_kind_mode_and_content(host: Host, tmp_path: Path) -> None:
    """Links are followed; a broken one is something, not nothing."""
    (tmp_path / "f 1").touch(mode=0o600)
    (tmp_path / "link").symlink_to(tmp_path / "f 1")
    (tmp_path / "d").mkdir(mode=0o750)
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "broken").symlink_to(tmp_path / "none")
    names = ("f 1", "link", "d", "pipe", "broken", "none")
    asked = [AtPath(str(tmp_path / name)) for name in names]
    ours = f"{pwd.getpwuid(os.getuid()).pw_name}:{grp.getgrgid(os.getgid()).gr_name}"
    file = Found("file", 0o600, EMPTY, ours)
    folder = Found("directory", 0o750, "", ours)
    pipe, broken = (Found("other", mode, "", ours) for mode in (0o600, 0o777))
    expected = [file, file, folder, pipe, broken, None]
    host.gather(*asked)
    assert expected == [host.fact(question) for question in asked]
    assert 1 == host.remote.exchanges
