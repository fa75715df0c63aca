"""The steps `gpu` and `p2p`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioning.deploys import gpu, python_env
from provisioning.deploys.gpu_checks import words
from provisioning.deploys.step import Step
from provisioning.errors import HostError, UsageError
from provisioning.facts.gpu_list import GpuList, Listed, Slice
from provisioning.facts.nvidia_module import Module
from provisioning.facts.topology import Topology
from stacks.outputs import Accelerator
from tests.provisioning.fakes import FakeHost
from tests.provisioning.gpu_hosts import DEBIAN_12, RTX, RTX_2, fresh, lines, needs

STACK = Accelerator("nvidia-rtx-pro-6000", 1, 97887)
WHOLE = Slice(0, "4g.96gb", "MIG-1")
SLICED = {
    "Gpus": (replace(RTX, mig=True, mig_pending=True),),
    "GpuList": Listed(("GPU-a",), (WHOLE,)),
}
GB10 = replace(
    RTX, name="NVIDIA GB10", memory_mib=None, compute_capability="12.1", ecc=None, mig=None
)
OLD = {"Gpus": (replace(RTX, driver="550.54.15"),)}
BARE = {"Gpus": (), "NvidiaModule": Module(1, None)}


def step(accelerator: Accelerator | None = None, **asked: Any) -> Step:
    return gpu.steps(needs(accelerator, gpu=asked))[0]


def check(host: FakeHost, accelerator: Accelerator | None = None, **asked: Any) -> None:
    found = step(accelerator, **asked).check
    assert found is not None
    found(host)


def would(host: FakeHost, accelerator: Accelerator | None = None, **asked: Any) -> list[str]:
    operations = step(accelerator, **asked).operations
    return [line for operation in operations for line in lines(operation(host))]


def test_gpus_that_are_not_asked_for_are_no_step() -> None:
    """Nothing is asked, whatever the stack has."""
    assert () == gpu.steps(needs(STACK, docker={}))


def test_a_host_as_it_should_be_hears_nothing() -> None:
    """Right GPU, driver, modes; and nothing is asked in the end."""
    asked: dict[str, Any] = {"ecc": True, "driver": {"at_least": "580"}}
    check(fresh(), STACK, **asked)
    assert [] == would(fresh(), STACK, **asked)
    run = step(STACK, **asked).run
    assert run is not None
    run(fresh(), print)


@pytest.mark.parametrize(
    ("changes", "asked", "what"),
    [
        (
            {"Gpus": (), "NvidiaModule": Module(0, None)},
            {},
            "fake-host has no NVIDIA GPU that can be seen.",
        ),
        (BARE, {}, "fake-host has 1 NVIDIA GPUs and no driver for them."),
        (
            {"Gpus": (), "NvidiaModule": Module(1, "580.1")},
            {"driver": {"install": "nvidia-open"}},
            "NVIDIA's driver 580.1 is loaded on fake-host, and nvidia-smi sees no GPU with it.",
        ),
        (
            OLD,
            {},
            (
                "NVIDIA's driver on fake-host is 550.54.15; NVIDIA RTX PRO 6000 Blackwell Server "
                "Edition needs 570.26 or newer here."
            ),
        ),
        ({}, {"driver": {"at_least": "590"}}, "needs 590 or newer here."),
        (
            BARE | {"System": replace(DEBIAN_12, distribution="fedora", os="Fedora 42")},
            {"driver": {"install": "nvidia-open"}},
            "NVIDIA has no package archive for Fedora 42.",
        ),
        ({}, {"count": 2}, "fake-host has 1 of the 2 GPUs that are asked for."),
        (
            {"Gpus": (GB10,)},
            {"ecc": False},
            "GPU 0 of fake-host (NVIDIA GB10) has no ECC to be switched.",
        ),
        (
            {"Gpus": (GB10,)},
            {"mig": "1g.24gb"},
            "GPU 0 of fake-host (NVIDIA GB10) cannot be divided: it has no MIG.",
        ),
        (SLICED | {"GpuList": Listed(("GPU-a",))}, {}, "is in MIG mode and has no slice"),
        (SLICED, {"mig": "1g.24gb"}, "is divided into 4g.96gb, and asked for is one 1g.24gb."),
        (
            {"Gpus": (replace(SLICED["Gpus"][0], driver="570.26"),)},  # type: ignore[index] # of both kinds
            {"mig": "4g.96gb"},
            "needs 575.51.03 or newer here.",
        ),
    ],
)
def test_what_cannot_be_brought_about_is_refused_before_anything_is_changed(
    changes: dict[str, Any], asked: dict[str, Any], what: str
) -> None:
    """One sentence on what is found and what is needed."""
    host = fresh(**changes)
    with pytest.raises(HostError) as caught:
        check(host, **asked)
    assert what in caught.value.what
    assert [] == host.ran


@pytest.mark.parametrize(
    ("accelerator", "what"),
    [
        (
            Accelerator("NVIDIA L40S", 1, 46068),
            (
                "The stack says NVIDIA L40S, and GPU 0 of fake-host is "
                "NVIDIA RTX PRO 6000 Blackwell Server Edition."
            ),
        ),
        (replace(STACK, count=8), "fake-host has 1 of the 8 GPUs that are asked for."),
    ],
)
def test_gpus_that_are_not_those_of_the_stack_are_refused(
    accelerator: Accelerator, what: str
) -> None:
    """Another kind, or fewer of them."""
    with pytest.raises(HostError) as caught:
        check(fresh(), accelerator)
    assert what == caught.value.what


@pytest.mark.parametrize(
    ("stack", "host", "same"),
    [
        ("nvidia-rtx-pro-6000", RTX.name, True),
        ("NVIDIA RTX PRO 6000 Blackwell", "NVIDIA RTX Pro 6000 Blackwell DC-4-96Q", True),
        ("l40s", "NVIDIA L40S", True),
        ("l40", "NVIDIA L40S", False),
        ("GB10", "NVIDIA GB10", True),
        ("rtx-6000-ada", RTX.name, False),
    ],
)
def test_names_of_gpus_are_compared_by_their_words(stack: str, host: str, same: bool) -> None:
    """The stack's words are among those of the driver's name."""
    assert same == (words(stack) <= words(host))


def test_a_missing_driver_is_installed_where_the_recipe_names_one() -> None:
    """Accepted beforehand, and its archive's facts are asked for."""
    asked: dict[str, Any] = {"driver": {"install": "nvidia-open"}}
    check(fresh(**BARE), STACK, **asked)
    found = would(fresh(**BARE), STACK, **asked)
    assert "install linux-headers-6.1.0-30-amd64, nvidia-open" in found
    check(fresh(**OLD), STACK, **asked)
    assert len(step(**asked).facts) > len(step().facts)


@pytest.mark.parametrize(
    ("changes", "asked", "what"),
    [
        (OLD, {"driver": {"install": "x"}}, "NVIDIA's driver is installed and not in use yet"),
        (BARE, {"driver": {"install": "x"}}, "NVIDIA's driver is installed and not in use yet"),
        (
            {"Gpus": (replace(RTX, ecc_pending=False),)},
            {"ecc": False},
            "ECC is set to off and not in effect yet",
        ),
        (
            {"Gpus": (replace(RTX, mig_pending=True),)},
            {"mig": "4g.96gb"},
            "MIG is switched on and not in effect yet",
        ),
    ],
)
def test_what_takes_a_reboot_is_said(
    changes: dict[str, Any], asked: dict[str, Any], what: str
) -> None:
    """In the end, when all that can be done without it is done."""
    run = step(**asked).run
    assert run is not None
    with pytest.raises(HostError) as caught:
        run(fresh(**changes), print)
    assert f"{what} on fake-host: that takes a reboot." == caught.value.what


def test_a_package_that_stays_too_old_is_named() -> None:
    """A reboot would not help."""
    host = fresh(**OLD, DebPackages={"nvidia-driver": "550.54.15-1"})
    run = step(driver={"install": "nvidia-driver"}).run
    assert run is not None
    with pytest.raises(HostError, match="newest nvidia-driver that fake-host can install holds"):
        run(host, print)


def test_a_dry_run_waits_for_no_reboot() -> None:
    """Nothing was set."""
    host = fresh(**BARE)
    host.dry_run = True
    run = step(driver={"install": "x"}).run
    assert run is not None
    run(host, print)


def test_what_the_driver_warns_of_is_told_and_kept() -> None:
    """Once, though it stands beside each GPU; it keeps nobody from serving."""
    warned = tuple(replace(gpu, warning="infoROM is corrupted") for gpu in (RTX, RTX_2))
    host, told = fresh(Gpus=warned, GpuTopology=Topology()), list[str]()
    run = step().run
    assert run is not None
    run(host, told.append)
    assert ["the driver warns: infoROM is corrupted"] == told
    about = gpu.about(host, needs(gpu={}))
    assert ["infoROM is corrupted"] * 2 == [each["warning"] for each in about["gpus"]]


def test_modes_are_set_as_asked() -> None:
    """Persistence unless it is refused; ECC and MIG only when asked for."""
    idle = replace(RTX, persistence=False)
    host = fresh(Gpus=(idle,))
    assert ["sudo -n nvidia-smi -pm 1"] == would(host)
    assert [] == would(host, persistence=False)
    asked: dict[str, Any] = {"persistence": False, "ecc": False, "mig": "4g.96gb"}
    expected = ["sudo -n nvidia-smi -i 0 -e 0", "sudo -n nvidia-smi -i 0 -mig 1"]
    assert expected == would(host, **asked)


def test_the_stacks_slice_is_wanted_unless_the_recipe_names_another() -> None:
    """What the cloud forces need not stand in each recipe; slices are asked for only then."""
    forced = replace(STACK, mig_profile="4g.96gb")
    check(fresh(**SLICED), forced)
    assert [] == would(fresh(**SLICED), forced)
    empty = fresh(**(SLICED | {"GpuList": Listed(("GPU-a",))}))
    check(empty, forced)
    assert ["make a MIG slice 4g.96gb on GPU 0"] == would(empty, forced)
    assert "2g.48gb" == gpu.profile(needs(forced, gpu={"mig": "2g.48gb"}))
    assert (True, False) == (GpuList() in step(forced).facts, GpuList() in step().facts)


def test_slices_of_somebodys_will_do_when_none_is_asked_for() -> None:
    """They are used as they are."""
    check(fresh(**SLICED))


def test_switches_between_gpus_need_their_manager() -> None:
    """Told with the package of the driver's version, unless the recipe brings it."""
    bare = {"NvidiaModule": Module(8, "580.95.05", switches=4)}
    with pytest.raises(HostError) as caught:
        check(fresh(**bare))
    assert "has 4 NVSwitches and no fabric manager" in caught.value.what
    assert "nvidia-fabricmanager-580" in caught.value.advice
    brings = needs(gpu={}, packages=["nvidia-fabricmanager-580"])
    (found,) = gpu.steps(brings)
    assert found.check is not None
    found.check(fresh(**bare))
    stopped = fresh(NvidiaModule=Module(8, "580.95.05", 4, "installed"))
    check(stopped)
    assert ["start nvidia-fabricmanager.service"] == would(stopped)
    check(fresh(NvidiaModule=Module(8, "580.95.05", 4, "active")))


def test_gpus_are_tried_together_in_the_first_image_else_in_the_environment() -> None:
    """After both are there."""
    two = {"Gpus": (RTX, RTX_2), "Docker": None}
    packages = {"python": {"packages": ["vllm==0.13.0"]}}
    python = f"{python_env.path(needs(None, **packages))}/bin/python"
    kinds: list[tuple[Any, str]] = [({"images": ["x:1"]}, "docker"), (packages, python)]
    for asked, program in kinds:
        _, p2p = gpu.steps(needs(gpu={"p2p_check": True}, **asked))
        assert p2p.run is not None
        host = fresh(**two)
        host.dry_run = True
        p2p.run(host, print)
        (command,) = host.ran
        assert program in command.argv


def test_gpus_cannot_be_tried_without_torch() -> None:
    """Said before any host is asked."""
    with pytest.raises(UsageError, match="there is no torch to do it with"):
        gpu.steps(needs(gpu={"p2p_check": True}))


def test_the_manifest_is_told_how_gpus_are_joined_and_divided() -> None:
    """And what an engine over them needs."""
    links = Topology((("GPU0", "GPU1", "NODE"), ("GPU0", "GPU2", "SYS"), ("GPU1", "GPU2", "SYS")))
    gpus = (replace(RTX, mig=True), RTX_2)
    host = fresh(GpuTopology=links, Gpus=gpus, GpuList=SLICED["GpuList"])
    about = gpu.about(host, needs(gpu={}))
    assert ["GPU-a", "GPU-b"] == [each["uuid"] for each in about["gpus"]]
    assert ["NODE", "SYS"] == about["links"]
    assert [{"gpu": 0, "profile": "4g.96gb", "uuid": "MIG-1"}] == about["mig"]
    single = gpu.about(fresh(), needs(gpu={}))
    assert ([], [], {}) == (single["links"], single["mig"], single["environment"])
    assert {} == gpu.about(fresh(), needs())
