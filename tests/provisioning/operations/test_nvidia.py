"""Driver and modes of GPUs."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provisioning.facts.gpu_list import Listed, Slice
from provisioning.facts.gpus import Gpu
from provisioning.facts.nvidia_module import Module
from provisioning.facts.units import Unit
from provisioning.host_schema import Driver
from provisioning.operations import archives, nvidia
from provisioning.operations.nvidia import _not_loaded
from tests.provisioning.gpu_hosts import DEBIAN_12, NONE, RTX, RTX_2, STOPPED, fresh, lines

OPEN = Driver(install="nvidia-open")
THEIRS = Driver(install="nvidia-driver", source="distribution")
LOOK = "look for nvidia's module"
IDLE = replace(RTX, persistence=False)
PERSIST = "sudo -n nvidia-smi -pm 1"
MIG = replace(RTX, mig=True, mig_pending=True)
SLICE = Slice(0, "4g.96gb", "MIG-1")


def driven(wanted: Driver, gpus: tuple[Gpu, ...], floor: str = "570.26") -> list[str]:
    host = fresh(Gpus=gpus)
    archive = archives.cuda(DEBIAN_12) if wanted.source == "vendor" else None
    return lines(nvidia.driven(host, wanted, floor, archive))


def test_a_driver_that_is_new_enough_is_left_alone() -> None:
    """Whatever could be installed."""
    assert [] == driven(OPEN, (RTX,))


def test_a_missing_driver_is_installed_with_what_builds_it_and_loaded() -> None:
    """The headers of this very kernel; then the GPUs are there without a boot."""
    *_, install, look, load = driven(OPEN, ())
    assert "install linux-headers-6.1.0-30-amd64, nvidia-open" == install
    assert (LOOK, "load nvidia") == (look, load)


def test_an_old_driver_is_replaced_and_not_loaded_over() -> None:
    """The old one is in use until the next boot."""
    install = "install linux-headers-6.1.0-30-amd64, nvidia-driver"
    assert [install, LOOK] == driven(THEIRS, (replace(RTX, driver="535.1"),))


@pytest.mark.parametrize("installed", [{}, {"nvidia-driver": "535.247.01-1"}])
def test_packages_of_others_get_headers_too_where_there_are_some(installed: dict[str, str]) -> None:
    """They may hold the module ready-made; what is in the way of a driver goes."""
    host = fresh(Gpus=(replace(RTX, driver="535.1"),), DebPackages=installed)
    install, _ = nvidia.driven(host, THEIRS, "570.26", None)
    assert ("nvidia-driver",) == install.argv[4:]
    assert {
        "DYNO_APT_ALSO": "linux-headers-6.1.0-30-amd64",
        "DYNO_APT_REMOVE": "true",
    } == dict(install.env)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("module", "there"),
    [
        ("updates/dkms/nvidia.ko.zst", True),
        ("updates/dkms/nvidia-current.ko", True),
        ("kernel/drivers/video/fbdev/nvidia/nvidiafb.ko", False),
        ("kernel/drivers/platform/x86/nvidia-wmi-ec-backlight.ko", False),
    ],
)
def test_a_module_that_was_not_built_is_told(tmp_path: Path, module: str, there: bool) -> None:
    """By its file, for a loaded one may be the old driver's; a container has no such folder."""
    *_, look = nvidia.driven(fresh(Gpus=(replace(RTX, driver="535.1"),)), THEIRS, "570.26", None)
    script = look.argv[2].replace("/lib/modules", str(tmp_path))
    assert 0 == subprocess.run(["sh", "-c", script], check=False).returncode
    path = tmp_path / os.uname().release / module
    path.parent.mkdir(parents=True)
    path.touch()
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
    assert (0 if there else 1) == done.returncode
    told = _not_loaded(done.stderr)
    assert there == (told is None)
    assert there or f"was not built for the kernel {os.uname().release}." in str(told)


@pytest.mark.parametrize(
    ("fabric", "expected"),
    [("", []), ("active", []), ("installed", ["start nvidia-fabricmanager.service"])],
)
def test_the_manager_of_switches_is_started_where_it_is_stopped(
    fabric: Any, expected: list[str]
) -> None:
    """What keeps it from starting is told."""
    host = fresh(NvidiaModule=Module(8, "580.95.05", 4, fabric))
    commands = list(nvidia.joined(host))
    assert expected == lines(commands)
    for command in commands:
        assert command.explain is not None
        what, advice = command.explain("x\nfabric manager version mismatch\n") or ("", "")
        assert "does not start: fabric manager version mismatch." in what
        assert "the driver's very version" in advice


@pytest.mark.parametrize(
    ("held", "expected"),
    [("535.247.01-1", ["bring nvidia-driver up to date", LOOK]), ("580.95.05-1", [])],
    ids=["older", "new enough, after the next boot"],
)
def test_a_package_that_is_there_is_brought_up_to_date(held: str, expected: list[str]) -> None:
    """Only when what it holds is too old itself."""
    host = fresh(Gpus=(replace(RTX, driver="535.1"),), DebPackages={"nvidia-driver": held})
    assert expected == lines(nvidia.driven(host, THEIRS, "570.26", None))


def test_nothing_is_installed_that_the_recipe_does_not_name() -> None:
    """The check refuses such a host."""
    assert [] == driven(Driver(), ())


@pytest.mark.parametrize(
    ("gpus", "daemon", "expected"),
    [
        ((RTX,), NONE, []),
        ((replace(RTX, persistence=None),), NONE, []),
        ((RTX, IDLE), NONE, [PERSIST]),
        (
            (IDLE,),
            STOPPED,
            ["sudo -n systemctl enable --now nvidia-persistenced.service", PERSIST],
        ),
        ((IDLE,), Unit("loaded", "active", "static"), [PERSIST]),
    ],
    ids=["on", "unknown", "off", "off, with a daemon that is stopped", "off, daemon runs"],
)
def test_persistence_is_switched_on_where_it_is_off(
    gpus: tuple[Gpu, ...], daemon: Unit, expected: list[str]
) -> None:
    """By the driver's own daemon where there is one, which alone does not switch it on."""
    host = fresh(Gpus=gpus, Units=(NONE, NONE, daemon))
    assert expected == lines(nvidia.persistent(host))


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        (RTX, ["sudo -n nvidia-smi -i 0 -e 0"]),
        (replace(RTX, ecc_pending=False), []),
        (replace(RTX, ecc=None, ecc_pending=None), []),
    ],
    ids=["on", "set already", "none"],
)
def test_ecc_is_set_for_the_next_boot(gpu: Gpu, expected: list[str]) -> None:
    """Once: what is pending counts."""
    assert expected == lines(nvidia.corrected(fresh(Gpus=(gpu,)), ecc=False))


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        (RTX, ["sudo -n nvidia-smi -i 0 -mig 1"]),
        (MIG, []),
        (replace(RTX, mig_pending=True), []),
        (replace(RTX, mig=None, mig_pending=None), []),
    ],
    ids=["off", "on", "pending", "none"],
)
def test_mig_is_switched_on_where_it_is_off(gpu: Gpu, expected: list[str]) -> None:
    """A GPU that waits for its reset is not asked twice."""
    assert expected == lines(nvidia.divisible(fresh(Gpus=(gpu,))))


def test_each_gpu_with_mig_gets_one_slice() -> None:
    """One that has a slice keeps it; one that is not in the mode gets none."""
    third = replace(RTX, index=2, uuid="GPU-c")
    gpus = (MIG, replace(RTX_2, mig=True), third)
    host = fresh(Gpus=gpus, GpuList=Listed(("GPU-a", "GPU-b", "GPU-c"), (SLICE,)))
    assert ["make a MIG slice 4g.96gb on GPU 1"] == lines(nvidia.sliced(host, "4g.96gb"))


def test_slices_are_chosen_by_their_uuids() -> None:
    """As CUDA_VISIBLE_DEVICES takes them; none without MIG."""
    host = fresh(GpuList=Listed(("GPU-a",), (SLICE, replace(SLICE, uuid="MIG-2"))))
    assert ("MIG-1", "MIG-2") == nvidia.mig_uuids(host)
    assert () == nvidia.mig_uuids(fresh())


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("modprobe: ERROR: could not insert 'nvidia': Key was rejected by service", "Secure Boot"),
        (
            "modprobe: FATAL: Module nvidia not found in directory /lib/modules/6.1.0-30-amd64",
            "was not built for the kernel 6.1.0-30-amd64.",
        ),
        ("modprobe: ERROR: could not insert 'nvidia': No such device", "No such device"),
    ],
)
def test_a_module_that_does_not_load_is_explained(said: str, what: str) -> None:
    """Secure Boot, or modprobe's own words; None for what is not known."""
    found: Any = _not_loaded(said)
    assert what in found[0]
    assert None is _not_loaded("what?")
