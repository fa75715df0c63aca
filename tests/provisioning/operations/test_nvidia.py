"""Driver and modes of GPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioning.facts.gpu_list import Listed, Slice
from provisioning.facts.gpus import Gpu
from provisioning.facts.units import Unit
from provisioning.host_schema import Driver
from provisioning.operations import archives, nvidia
from provisioning.operations.nvidia import _not_loaded
from tests.provisioning.gpu_hosts import DEBIAN_12, NONE, RTX, RTX_2, STOPPED, fresh, lines

OPEN = Driver(install="nvidia-open")
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
    *_, install, load = driven(OPEN, ())
    assert "install linux-headers-6.1.0-30-amd64, nvidia-open" == install
    assert "load nvidia" == load


def test_an_old_driver_is_replaced_and_not_loaded_over() -> None:
    """The old one is in use until the next boot."""
    distribution = Driver(install="nvidia-driver", source="distribution")
    assert ["install nvidia-driver"] == driven(distribution, (replace(RTX, driver="535.1"),))


@pytest.mark.parametrize(
    ("held", "expected"),
    [("535.247.01-1", ["bring nvidia-driver up to date"]), ("580.95.05-1", [])],
    ids=["older", "new enough, after the next boot"],
)
def test_a_package_that_is_there_is_brought_up_to_date(held: str, expected: list[str]) -> None:
    """Only when what it holds is too old itself."""
    host = fresh(Gpus=(replace(RTX, driver="535.1"),), DebPackages={"nvidia-driver": held})
    wanted = Driver(install="nvidia-driver", source="distribution")
    assert expected == lines(nvidia.driven(host, wanted, "570.26", None))


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
        ("modprobe: FATAL: Module nvidia not found in directory /lib/x", "Module nvidia not found"),
    ],
)
def test_a_module_that_does_not_load_is_explained(said: str, what: str) -> None:
    """Secure Boot, or modprobe's own words; None for what is not known."""
    found: Any = _not_loaded(said)
    assert what in found[0]
    assert None is _not_loaded("what?")
