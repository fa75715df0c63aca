"""Facts about Docker and GPUs asked in a real shell, with stand-ins for the programs they call."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioning.command import Command, Fact
from provisioning.errors import HostError
from provisioning.facts import daemon_json, docker, nvidia_module, stores
from provisioning.facts.compose import Compose, Kinds
from provisioning.facts.daemon_json import DaemonJson, Settings
from provisioning.facts.docker import Daemon, Docker
from provisioning.facts.gpu_list import GpuList, Listed
from provisioning.facts.gpus import Gpus
from provisioning.facts.groups import Groups
from provisioning.facts.images import Images
from provisioning.facts.nvidia_module import Module, NvidiaModule
from provisioning.facts.record import Record
from provisioning.facts.stores import Kept, Stores
from provisioning.facts.toolkit import Installed, Toolkit
from provisioning.facts.topology import GpuTopology, Topology
from provisioning.facts.units import Units
from provisioning.host import Host
from provisioning.remote import LocalRemote

PROGRAMS = ("sh", "env", "base64", "cat", "tr", "head", "sed", "find", "ls", "stat")
INFO = '{"ServerVersion":"28.5.2","DockerRootDir":"/d","Driver":"o","Images":1,"Containers":0,\
"ContainersRunning":0}'
ANSWERS = f"""
case "$1 $2" in
  "info --format") echo '{INFO}' ;;
  "image ls") echo '{{"Repository":"x","Tag":"1","Digest":"<none>","ID":"i"}}' ;;
esac"""
ROOT_ALONE = f'[ -n "$AS_ROOT" ] || {{ echo "permission denied" >&2; exit 1; }}\n{ANSWERS}'


@pytest.fixture
def bin_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of one folder; our user is not root there, and may become it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))
    program(
        folder, "id", 'case "$*" in -u) echo 1000 ;; -un) echo dyno ;; *) echo dyno adm ;; esac'
    )
    program(folder, "sudo", 'shift; AS_ROOT=1 "$@"')
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!{shutil.which('sh') or '/bin/sh'}\n{script}\n")
    (folder / name).chmod(0o755)


def ask(tmp_path: Path, fact: Any) -> Any:
    return Host(LocalRemote(tmp_path), str(tmp_path)).fact(fact)


def asked(tmp_path: Path, fact: Fact[Any], script: str, *args: str) -> Any:
    """What *fact* makes of its own *script*, run on files of ours."""
    answer = Host(LocalRemote(tmp_path), str(tmp_path)).ask(Command.shell(script, *args))
    assert 0 == answer.exit_code, answer.stderr
    return fact.parse(answer.stdout)


def test_a_host_without_any_of_it_has_answers(tmp_path: Path, bin_: Path) -> None:
    """What is not installed is no error."""
    facts: list[Any] = [Docker(), Compose(), Images(), Toolkit(), Gpus(), GpuList(), GpuTopology()]
    host = Host(LocalRemote(tmp_path), str(tmp_path))
    host.gather(*facts, Units(("docker.service",)))
    expected = [None, Kinds(), (), None, (), Listed(), Topology()]
    assert expected == [host.fact(fact) for fact in facts]
    assert () == host.fact(Units(("docker.service",)))


def test_docker_that_answers_our_user_is_not_asked_as_root(tmp_path: Path, bin_: Path) -> None:
    """There is not even a sudo."""
    program(bin_, "docker", ANSWERS)
    (bin_ / "sudo").unlink()
    expected = Daemon("user", version="28.5.2", root="/d", storage="o", images=1)
    assert expected == ask(tmp_path, Docker)
    assert ["x"] == [image.name for image in ask(tmp_path, Images)]


def test_docker_that_answers_root_alone_is_asked_as_root(tmp_path: Path, bin_: Path) -> None:
    """As before our first login in its group."""
    program(bin_, "docker", ROOT_ALONE)
    assert ("root", "28.5.2") == (ask(tmp_path, Docker).access, ask(tmp_path, Docker).version)
    assert ["x"] == [image.name for image in ask(tmp_path, Images)]


@pytest.mark.parametrize(
    "script",
    [
        "echo 'Cannot connect to the Docker daemon. Is it running?' >&2; exit 1",
        # The command of 20.10 ends with 0 and says it in its answer.
        """echo '{"ServerErrors":["Cannot connect to the Docker daemon. Is it running?"]}'""",
        """echo '{"ServerVersion":""}'
        echo 'Cannot connect to the Docker daemon. Is it running?'""",
    ],
)
def test_docker_that_does_not_answer_says_why(tmp_path: Path, bin_: Path, script: str) -> None:
    """However its command tells it; there are no images then."""
    program(bin_, "docker", script)
    expected = Daemon("none", trouble="Cannot connect to the Docker daemon. Is it running?")
    assert expected == ask(tmp_path, Docker)
    program(bin_, "docker", "exit 1")
    assert () == ask(tmp_path, Images)


def test_a_snap_is_seen_though_it_is_not_on_the_path(tmp_path: Path, bin_: Path) -> None:
    """Its server takes the socket that another Docker would need."""
    snap = tmp_path / "snap"
    snap.mkdir()
    program(snap, "docker", ANSWERS.replace('"/d"', '"/var/snap/docker/common/var-lib-docker"'))
    script = docker._ASK.replace("/snap/bin", str(snap))
    assert "snap" == asked(tmp_path, Docker(), script).kind


def test_both_kinds_of_compose_are_found(
    tmp_path: Path, bin_: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plug-in by its own word; a script by its package, a program by its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    plugins = tmp_path / ".docker" / "cli-plugins"
    plugins.mkdir(parents=True)
    program(plugins, "docker-compose", 'echo "{"; echo "\\"Version\\": \\"v2.40.3\\"}"')
    program(bin_, "docker-compose", "exit 1")
    program(bin_, "dpkg-query", "printf 1.29.2-3")
    assert Kinds("2.40.3", "1.29.2-3") == ask(tmp_path, Compose)
    (bin_ / "docker-compose").unlink()
    (bin_ / "docker-compose").symlink_to(str(shutil.which("true", path="/bin:/usr/bin")))
    assert Kinds("2.40.3", "unknown") == ask(tmp_path, Compose)


def test_settings_are_read_absent_or_there(tmp_path: Path, bin_: Path) -> None:
    """An empty file is there, and says nothing."""
    path = tmp_path / "docker" / "daemon.json"
    answers = [asked(tmp_path, DaemonJson(), daemon_json._ASK, str(path))]
    path.parent.mkdir()
    answers.append(asked(tmp_path, DaemonJson(), daemon_json._ASK, str(path)))
    path.touch()
    answers.append(asked(tmp_path, DaemonJson(), daemon_json._ASK, str(path)))
    path.write_text('{"a": 1}\n')
    answers.append(asked(tmp_path, DaemonJson(), daemon_json._ASK, str(path)))
    path.chmod(0o640)
    answers.append(asked(tmp_path, DaemonJson(), daemon_json._ASK, str(path)))
    ours = f"{os.getuid()}:{os.getgid()}"
    empty = Settings(there=True, owner=ours, mode=path.parent.stat().st_mode & 0o666)
    there = replace(empty, values={"a": 1})
    assert [Settings(), Settings(), empty, there, replace(there, mode=0o640)] == answers


def test_we_know_who_we_are(tmp_path: Path, bin_: Path) -> None:
    """The groups are those of the host's books."""
    found = ask(tmp_path, Groups)
    assert ("dyno", frozenset({"dyno", "adm"})) == (found.user, found.groups)


def test_a_toolkit_is_whole_with_its_hook(tmp_path: Path, bin_: Path) -> None:
    """Its version is in the first line of what it says."""
    program(
        bin_, "nvidia-ctk", "echo 'NVIDIA Container Toolkit CLI version 1.17.8'; echo commit: x"
    )
    half = Installed("1.17.8", whole=False)
    assert half == ask(tmp_path, Toolkit)
    program(bin_, "nvidia-container-runtime-hook", "exit 0")
    assert ask(tmp_path, Toolkit).whole


def test_what_docker_and_containerd_hold_is_seen(tmp_path: Path, bin_: Path) -> None:
    """Images, containers or volumes; content; and containerd's file."""
    folders = [tmp_path / "c.toml", tmp_path / "docker", tmp_path / "containerd"]
    asking = (stores._ASK, *map(str, folders))
    answers = [asked(tmp_path, Stores(), *asking)]
    (folders[1] / "image" / "overlay2" / "imagedb" / "content" / "sha256").mkdir(parents=True)
    answers.append(asked(tmp_path, Stores(), *asking))
    (folders[1] / "image" / "overlay2" / "imagedb" / "content" / "sha256" / "1").touch()
    (folders[2] / "io.containerd.content.v1.content" / "blobs" / "sha256" / "2").mkdir(parents=True)
    folders[0].write_text('root = "/x"\n')
    answers.append(asked(tmp_path, Stores(), *asking))
    full = Kept(docker=True, containerd=True, config='root = "/x"\n')
    assert [Kept(), Kept(), full] == answers


def test_gpus_on_the_bus_are_counted(tmp_path: Path, bin_: Path) -> None:
    """NVIDIA's display controllers, not its other devices, nor those of others."""
    kinds = {"a": ("0x10de", "0x030200"), "b": ("0x10de", "0x040300"), "c": ("0x8086", "0x030000")}
    for name, (vendor, kind) in kinds.items():
        (tmp_path / "pci" / name).mkdir(parents=True)
        (tmp_path / "pci" / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / "pci" / name / "class").write_text(f"{kind}\n")
    script = nvidia_module._ASK.replace("/sys/bus/pci/devices", f"{tmp_path}/pci")
    script = script.replace("/proc/driver/nvidia/version", f"{tmp_path}/version")
    answers = [asked(tmp_path, NvidiaModule(), script)]
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.1.2  x\n"
    )
    answers.append(asked(tmp_path, NvidiaModule(), script))
    assert [Module(1, None), Module(1, "550.1.2")] == answers


def test_a_driver_of_long_ago_is_asked_for_less(tmp_path: Path, bin_: Path) -> None:
    """It ends with 2 for a field it does not know; it is to be named all the same."""
    old = 'case "$1" in *compute_cap*) echo "not a valid field"; exit 2 ;; esac\n'
    program(bin_, "nvidia-smi", f"{old}echo '0, Tesla, 16160, 440.33.01, GPU-e'")
    ((gpu),) = ask(tmp_path, Gpus)
    assert ("440.33.01", None) == (gpu.driver, gpu.compute_capability)


CSV = "0, NVIDIA L40S, 46068, 580.1, GPU-a"
WARNING = "WARNING: infoROM is corrupted at gpu 0000:3B:00.0"


@pytest.mark.parametrize("said", [f"{CSV}\n{WARNING}", f"{WARNING}\n{CSV}"])
def test_a_corrupt_inforom_is_a_warning(tmp_path: Path, bin_: Path, said: str) -> None:
    """The answer counts, though nvidia-smi ends with 14; so does the list."""
    program(bin_, "nvidia-smi", f'[ "$1" != -L ] || exit 14\necho "{said}"; exit 14')
    ((gpu),) = ask(tmp_path, Gpus)
    assert ("GPU-a", "infoROM is corrupted at gpu 0000:3B:00.0") == (gpu.uuid, gpu.warning)
    assert Listed() == ask(tmp_path, GpuList)


@pytest.mark.parametrize(
    ("said", "code", "what"),
    [
        (WARNING, 14, "has a corrupt infoROM"),
        (
            "Unable to determine the device handle for GPU0: 0000:01:00.0: GPU is lost",
            15,
            "is lost",
        ),
        (f"{CSV}\n1, NVIDIA L40S, [GPU is lost], 580.1, GPU-b", 0, "is lost"),
        (f"{CSV}\n1, NVIDIA L40S, [GPU requires reset], 580.1, GPU-b", 0, "needs a reset"),
        ("Failed to initialize NVML: Unknown Error", 255, "fails on the host with 255: Failed to"),
    ],
)
def test_a_gpu_that_does_not_answer_is_told(
    tmp_path: Path, bin_: Path, said: str, code: int, what: str
) -> None:
    """In one sentence, with what to do, and no GPU passes for one without memory of its own."""
    program(bin_, "nvidia-smi", f'echo "{said}"; exit {code}')
    with pytest.raises(HostError) as caught:
        ask(tmp_path, Gpus)
    assert what in caught.value.what
    assert "another machine" in caught.value.advice
    if code in {15, 255}:
        with pytest.raises(HostError, match=what):
            ask(tmp_path, GpuList)


def test_switches_are_counted_and_their_manager_is_looked_for(tmp_path: Path, bin_: Path) -> None:
    """Systemd is asked only where there are some; without it there is no manager."""
    for name, kind in (("a", "0x030200"), ("b", "0x068000"), ("c", "0x068000")):
        (tmp_path / "pci" / name).mkdir(parents=True)
        (tmp_path / "pci" / name / "vendor").write_text("0x10de\n")
        (tmp_path / "pci" / name / "class").write_text(f"{kind}\n")
    script = nvidia_module._ASK.replace("/sys/bus/pci/devices", f"{tmp_path}/pci")
    answers = [asked(tmp_path, NvidiaModule(), script)]
    program(bin_, "systemctl", 'case "$1" in show) echo loaded ;; *) echo active ;; esac')
    answers.append(asked(tmp_path, NvidiaModule(), script))
    assert [(1, 2, ""), (1, 2, "active")] == [(a.devices, a.switches, a.fabric) for a in answers]


def test_a_record_of_ours_is_read(tmp_path: Path, bin_: Path) -> None:
    """None when there is none."""
    assert None is ask(tmp_path, Record("gpu/proof.json"))
    (tmp_path / "gpu").mkdir()
    (tmp_path / "gpu" / "proof.json").write_text('{"of": 1}')
    assert {"of": 1} == ask(tmp_path, Record("gpu/proof.json"))


@pytest.mark.parametrize("newer", [True, False])
def test_a_hook_that_came_after_docker_is_seen(tmp_path: Path, bin_: Path, newer: bool) -> None:
    """By when it was put there, whatever time of making its package gives it."""
    program(bin_, "nvidia-ctk", "echo 'NVIDIA Container Toolkit CLI version 1.17.8'")
    pid = tmp_path / "docker.pid"
    pid.touch()
    program(bin_, "nvidia-container-runtime-hook", "exit 0")
    os.utime(bin_ / "nvidia-container-runtime-hook", (0, 0))
    if not newer:
        os.utime(pid, (2**31, 2**31))
    script = str(Toolkit().command.argv[2]).replace("/run/docker.pid", str(pid))
    assert newer == asked(tmp_path, Toolkit(), script).newer_than_docker
