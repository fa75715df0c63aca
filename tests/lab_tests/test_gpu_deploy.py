"""GPUs of lab hosts are driven and set as a recipe asks, or refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from provisioning.deploys import gpu
from provisioning.errors import HostError
from provisioning.needs import Needs
from provisioning.operations import nvidia
from stacks.outputs import Accelerator
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests.deploying import deploy, logged_in, needs

pytestmark = [pytest.mark.integration, pytest.mark.lab]


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[LabHost]:
    """One whose GPUs can be divided."""
    made = lab.host(gpu="rtx-pro-6000x8")
    yield made
    lab.remove(made)


def of_stack(wanted: Needs, name: str, count: int) -> Needs:
    """The same, on a stack that says which GPUs it has."""
    assert wanted.host is not None
    accelerator = Accelerator(name, count, 97887)
    return replace(wanted, host=replace(wanted.host, accelerator=accelerator))


def refused(host: LabHost, wanted: Needs) -> str:
    with pytest.raises(HostError) as caught:
        deploy(host, wanted, gpu)
    return caught.value.what


def test_persistence_is_switched_on_once_and_again_after_a_boot(host: LabHost) -> None:
    """The driver forgets it."""
    wanted = of_stack(needs(host, gpu={}), "nvidia-rtx-pro-6000", 8)
    for boots in (True, False):
        assert ["sudo -n nvidia-smi -pm 1"] == deploy(host, wanted, gpu)
        assert [] == deploy(host, wanted, gpu)
        if boots:
            host.reboot()


def test_the_manifest_is_told_of_all_eight_and_how_they_are_joined(host: LabHost) -> None:
    """Over PCIe and the interconnect of the sockets."""
    with logged_in(host) as seen:
        about = gpu.about(seen, needs(host, gpu={}))
    assert 8 == len({each["uuid"] for each in about["gpus"]})
    assert ["NODE", "SYS"] == about["links"]


def test_another_gpu_than_the_stacks_is_refused(host: LabHost) -> None:
    """Which there is, which was meant."""
    said = refused(host, of_stack(needs(host, gpu={}), "l40s", 8))
    assert "The stack says l40s, and GPU 0" in said
    assert "NVIDIA RTX PRO 6000 Blackwell Server Edition" in said
    assert "has 8 of the 16 GPUs" in refused(host, needs(host, gpu={"count": 16}))


def test_error_correction_waits_for_a_boot_and_says_so(host: LabHost) -> None:
    """Set once; refused until then; in effect afterwards."""
    wanted = needs(host, gpu={"ecc": False})
    for _ in range(2):
        assert "ECC is set to off and not in effect yet" in refused(host, wanted)
    host.reboot()
    deploy(host, wanted, gpu)
    asked = "nvidia-smi --query-gpu=ecc.mode.current --format=csv,noheader"
    assert {"Disabled"} == set(host.ssh(asked).stdout.split())


def test_each_gpu_gets_one_slice_and_slices_of_others_are_kept(host: LabHost) -> None:
    """Mode, instance and compute instance; then nothing more, and no other profile over them."""
    wanted = needs(host, gpu={"mig": "4g.96gb"})
    changes = deploy(host, wanted, gpu)
    assert 8 == len([line for line in changes if line.startswith("make a MIG slice 4g.96gb")])
    with logged_in(host) as seen:
        assert 8 == len(set(nvidia.mig_uuids(seen)))
    assert [] == deploy(host, wanted, gpu)
    assert "is divided into 4g.96gb" in refused(host, needs(host, gpu={"mig": "2g.48gb"}))
    host.docker_exec("nvidia-smi mig -i 3 -dci")
    assert ["make a MIG slice 4g.96gb on GPU 3"] == deploy(host, wanted, gpu)


def test_a_driver_is_installed_where_the_recipe_names_one(
    lab: Lab, lab_host: Callable[..., LabHost]
) -> None:
    """Missing: installed and in use. Too old: replaced, and in use from the next boot on."""
    host = lab_host(gpu="l40s-x8", driver="none")
    assert "has 8 NVIDIA GPUs and no driver for them" in refused(host, needs(host, gpu={}))
    mirror = {"url": lab.archive_url, "trusted": True}
    driver: dict[str, Any] = {"source": "mirror", "mirror": mirror}
    old = driver | {"install": "nvidia-driver-standin"}
    host.docker_exec("mkdir -p /etc/apt/preferences.d")
    pin = "Package: nvidia-driver-standin\nPin: version 535.*\nPin-Priority: 1001\n"
    host.write("/etc/apt/preferences.d/lab", pin)
    assert "load nvidia" in deploy(host, needs(host, gpu={"driver": old}), gpu)
    host.docker_exec("rm /etc/apt/preferences.d/lab")

    newer = {"at_least": "570"}
    said = refused(host, needs(host, gpu={"driver": newer}))
    assert "is 535.247.01; NVIDIA L40S needs 570 or newer here." in said
    wanted = needs(host, gpu={"driver": old | newer})
    assert "installed and not in use yet" in refused(host, wanted)
    assert "580.95.05-1" == host.docker_exec("dpkg-query -Wf '${Version}' nvidia-driver-standin")
    host.reboot()
    assert ["sudo -n nvidia-smi -pm 1"] == deploy(host, wanted, gpu)


def test_a_forced_slice_is_used_as_it_is(lab_host: Callable[..., LabHost]) -> None:
    """As a cloud's virtual GPU has it: its UUID is what programs choose."""
    host = lab_host(gpu="rtx-pro-6000-mig")
    wanted = needs(host, gpu={"mig": "4g.96gb"})
    deploy(host, wanted, gpu)
    with logged_in(host) as seen:
        listed = host.ssh("nvidia-smi -L").stdout
        assert [True, True] == [uuid in listed for uuid in nvidia.mig_uuids(seen)]
    assert [] == deploy(host, wanted, gpu)
