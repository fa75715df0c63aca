"""GPUs are tried together, and what they need is written down."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from provisioning.command import Command
from provisioning.errors import HostError
from provisioning.facts.gpus import Gpus
from provisioning.facts.system import System
from provisioning.host import Host
from provisioning.operations import p2p
from provisioning.remote import LocalRemote
from tests.provisioning import torch_standin
from tests.provisioning.gpu_hosts import DEBIAN_12, RTX, RTX_2, fresh, served

PYTHON = p2p.in_environment(sys.executable)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """This machine, taken for one with two GPUs and a stand-in for torch; quick."""
    monkeypatch.setattr(p2p, "SECONDS", 0)
    monkeypatch.setattr(p2p, "LIMIT_S", 2)
    host = Host(LocalRemote(tmp_path), f"{tmp_path}/w x")
    know(host)
    return host


def know(host: Host) -> None:
    """Facts that last for this test."""
    gpus, system = Gpus(), System()
    host._known |= {gpus: (RTX, RTX_2), system: DEBIAN_12}
    host._lasting = lambda: {gpus: (RTX, RTX_2), system: DEBIAN_12}  # type: ignore[method-assign]


def having(tmp_path: Path, **env: str) -> p2p.Probe:
    """The probe with the stand-in, in an environment."""
    path = torch_standin.put(tmp_path / "python")

    def probe(host: Host, argv: tuple[str, ...], given: dict[str, str]) -> Command:
        return PYTHON(host, argv, {"PYTHONPATH": path, **env, **given})

    return probe


@pytest.mark.integration
def test_gpus_that_reduce_need_nothing(host: Host, tmp_path: Path) -> None:
    """Said with their speed, written down, and not tried again."""
    told: list[str] = []
    p2p.checked(host, having(tmp_path), told.append)
    assert {} == p2p.p2p_environment(host)
    assert "GB/s" in told[-1]
    before = host.remote.exchanges
    p2p.checked(host, having(tmp_path / "again"), told.append)
    assert (2, before) == (len(told), host.remote.exchanges)


@pytest.mark.integration
def test_they_are_tried_with_what_the_engine_is_told_of_nccl(host: Host, tmp_path: Path) -> None:
    """It decides by which way they go; with another word, they are tried again."""
    told: list[str] = []
    p2p.checked(host, having(tmp_path / "before"), told.append)
    p2p.checked(host, having(tmp_path), told.append, {"HANGS": "1"})
    assert {"NCCL_P2P_DISABLE": "1"} == p2p.p2p_environment(host)
    assert told[-1].endswith("without P2P")


@pytest.mark.integration
def test_gpus_that_hang_go_without_direct_access(host: Host, tmp_path: Path) -> None:
    """Given up after the limit; the engine is told by its environment."""
    told: list[str] = []
    p2p.checked(host, having(tmp_path, HANGS="1"), told.append)
    assert {"NCCL_P2P_DISABLE": "1"} == p2p.p2p_environment(host)
    assert told[-1].endswith("without P2P")
    record = json.loads(Path(host.path("gpu", "p2p.json")).read_text())
    assert ["GPU-a", "GPU-b"] == record["of"]["gpus"]


@pytest.mark.integration
def test_gpus_that_fail_either_way_are_refused(host: Host, tmp_path: Path) -> None:
    """Nothing is written down."""
    with pytest.raises(HostError, match="2 GPUs cannot reduce together, even without direct"):
        p2p.checked(host, having(tmp_path, FAILS="1"), print)
    assert not Path(host.path("gpu")).exists()


@pytest.mark.integration
def test_switches_without_their_manager_are_named(host: Host, tmp_path: Path) -> None:
    """Without direct access they would not begin either."""
    with pytest.raises(HostError, match="error 802") as caught:
        p2p.checked(host, having(tmp_path, UNJOINED="1"), print)
    assert "nvidia-fabricmanager-580" in caught.value.advice


@pytest.mark.integration
def test_a_python_without_torch_says_so(host: Host) -> None:
    """That is no answer about the GPUs."""
    bare = p2p.in_environment(sys.executable)

    def probe(host: Host, argv: tuple[str, ...], env: dict[str, str]) -> Command:
        return bare(host, argv, {"PYTHONSAFEPATH": "1", "PYTHONPATH": "", **env})

    with pytest.raises(HostError, match="there is no torch where the engine is to run"):
        p2p.checked(host, probe, print)


def test_one_gpu_needs_no_trial() -> None:
    """Nobody is there to talk to."""
    host = fresh(Gpus=(RTX,))
    p2p.checked(host, PYTHON, print)
    assert [] == host.ran


@pytest.mark.parametrize(
    "change",
    [{"gpus": ["GPU-a"]}, {"driver": ["1"]}, {"boot_id": "boot-0"}],
    ids=["gpus", "driver", "boot"],
)
def test_a_record_holds_for_these_gpus_this_driver_and_this_boot(change: dict[str, Any]) -> None:
    """Else it says nothing about what an engine needs."""
    host = fresh(Gpus=(RTX, RTX_2))
    of = {"gpus": ["GPU-a", "GPU-b"], "driver": ["580.95.05"], "boot_id": "boot-1"}
    record = {"of": of, "environment": {"NCCL_P2P_DISABLE": "1"}}
    assert p2p.FALL_BACK == p2p.p2p_environment(fresh(Gpus=(RTX, RTX_2), Record=record))
    old = fresh(Gpus=(RTX, RTX_2), Record=record | {"of": of | change})
    assert {} == p2p.p2p_environment(old)
    assert {} == p2p.p2p_environment(host)


def test_a_container_is_ended_from_within() -> None:
    """The limit is its first process; it has all GPUs, no network, and the fall-back if told."""
    command = p2p.in_container("i@sha256:1")(served(), ("2", "30"), {"NCCL_P2P_DISABLE": "1"})
    argv = command.argv[4:]
    assert ("docker", "run") == argv[:2]
    assert {"--gpus=all", "--network=none", "--pull=never", "--ipc=host"} <= set(argv)
    assert "--env=NCCL_P2P_DISABLE=1" in argv
    assert ("i@sha256:1", "-s", "KILL", "120", "python3", "-", "2", "30") == argv[-8:]
    assert b"all_reduce" in command.payload()


def test_a_dry_run_tries_nothing() -> None:
    """The trial is among what would be done."""
    host = fresh(Gpus=(RTX, RTX_2))
    host.dry_run = True
    p2p.checked(host, PYTHON, print)
    assert ["let all GPUs reduce together (timeout -s)"] == [str(c) for c in host.ran]
