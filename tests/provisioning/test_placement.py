"""How many instances a host gets, and with which GPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioning import placement
from provisioning.errors import HostError
from provisioning.facts.gpu_list import GpuList, Listed, Slice
from provisioning.facts.gpus import Gpus
from provisioning.facts.topology import GpuTopology, Topology
from provisioning.needs import Needs
from provisioning.operations import p2p
from provisioning.recipe_schema import Layout
from stacks.outputs import Accelerator
from tests.provisioning import gpu_hosts
from tests.provisioning.fakes import FakeHost
from tests.provisioning.gpu_hosts import RTX

SOCKETS = Topology(
    tuple(
        (f"GPU{a}", f"GPU{b}", "NODE" if a // 2 == b // 2 else "SYS")
        for a in range(4)
        for b in range(a + 1, 4)
    )
)


def asked(*, weights: bool = True, gpu: bool = True, **layout: Any) -> Needs:
    """What a recipe with this layout needs."""
    needs = gpu_hosts.needs(gpu={}) if gpu else gpu_hosts.needs()
    return replace(needs, layout=Layout(**layout), weights=weights)


def with_gpus(count: int, *slices: str) -> FakeHost:
    """A host with so many GPUs, two on each socket."""
    made = tuple(replace(RTX, index=n, uuid=f"GPU-{n}") for n in range(count))
    pieces = tuple(Slice(n, "4g.96gb", uuid) for n, uuid in enumerate(slices))
    listed = Listed(tuple(gpu.uuid for gpu in made), pieces)
    return gpu_hosts.served(Gpus=made, GpuList=listed, GpuTopology=SOCKETS)


@pytest.mark.parametrize(
    ("count", "layout", "expected"),
    [
        (1, {}, [()]),
        (4, {}, [("0",)]),
        (4, {"tensor_parallel": 4}, [()]),
        (4, {"tensor_parallel": 2}, [("0", "1")]),
        (4, {"tensor_parallel": 2, "instances": 2}, [("0", "1"), ("2", "3")]),
        (4, {"pipeline_parallel": 2, "instances": "fill"}, [("0", "1"), ("2", "3")]),
        (4, {"data_parallel": 3, "instances": "fill"}, [("0", "1", "2")]),
        (4, {"instances": "fill"}, [("0",), ("1",), ("2",), ("3",)]),
        (4, {"instances": 3}, [("0",), ("1",), ("2",)]),
    ],
)
def test_instances_share_the_gpus(count: int, layout: dict[str, Any], expected: Any) -> None:
    """By index; one that has all is told of none."""
    assert tuple(expected) == placement.places(with_gpus(count), asked(**layout))


@pytest.mark.parametrize(
    ("count", "layout", "says"),
    [
        (1, {"tensor_parallel": 2}, "needs 2 GPUs for each of one instance, and fake-host has 1"),
        (4, {"tensor_parallel": 2, "instances": 3}, "2 GPUs for each of 3 instances"),
        (4, {"tensor_parallel": 8, "instances": "fill"}, "8 GPUs for each of one instance"),
        (0, {"instances": "fill"}, "needs 1 GPU for each of one instance, and fake-host has 0"),
    ],
)
def test_too_few_gpus_are_told(count: int, layout: dict[str, Any], says: str) -> None:
    """Both numbers, and what to do."""
    with pytest.raises(HostError, match=says) as caught:
        placement.places(with_gpus(count), asked(**layout))
    assert "layout.instances" in caught.value.advice


def test_slices_are_named_by_uuid() -> None:
    """One each; and as many as there are."""
    host = with_gpus(2, "MIG-a", "MIG-b")
    assert (("MIG-a",), ("MIG-b",)) == placement.places(host, asked(instances="fill"))
    assert (("MIG-a",),) == placement.places(host, asked())
    assert ((),) == placement.places(with_gpus(1, "MIG-a"), asked())


def test_slices_do_not_work_together() -> None:
    """There is no way between them."""
    with pytest.raises(HostError, match="MIG slices do not work together"):
        placement.places(with_gpus(2, "MIG-a", "MIG-b"), asked(tensor_parallel=2))


@pytest.mark.parametrize(("instances", "expected"), [(1, 1), (3, 3), ("fill", 4)])
def test_an_engine_without_weights_gets_no_gpus(instances: Any, expected: int) -> None:
    """A rehearsal has as many instances as the stack's GPUs would hold."""
    wanted = asked(weights=False, gpu=False, tensor_parallel=2, instances=instances)
    of_stack = gpu_hosts.needs(Accelerator("RTX", 8, 97887, None)).host
    host = FakeHost()
    assert ((),) * expected == placement.places(host, replace(wanted, host=of_stack))
    assert () == placement.facts(wanted)
    assert {} == placement.environment(host, wanted)


def test_an_engine_on_the_processor_gets_no_gpus() -> None:
    """The recipe asks for none, and there is none."""
    host = with_gpus(0)
    assert ((), ()) == placement.places(host, asked(gpu=False, instances=2))
    assert ((),) == placement.places(host, asked(gpu=False, instances="fill"))


def test_several_gpus_of_one_instance_get_what_they_need() -> None:
    """One of its own needs nothing."""
    host = with_gpus(2)
    gpus = host.fact(Gpus)
    of = {"gpus": [g.uuid for g in gpus], "driver": [RTX.driver], "boot_id": "boot-1"}
    host = gpu_hosts.served(Gpus=gpus, Record={"of": of, "environment": p2p.FALL_BACK})
    assert p2p.FALL_BACK == placement.environment(host, asked(tensor_parallel=2))
    assert {} == placement.environment(host, asked(instances=2))


def test_only_what_matters_is_asked() -> None:
    """The matrix where GPUs work together; nothing of GPUs where the recipe leaves them."""
    assert () == placement.facts(asked(gpu=False))
    assert (Gpus(), GpuList()) == placement.facts(asked(instances=2))
    assert {Gpus(), GpuList(), GpuTopology(), *p2p.FACTS} == set(
        placement.facts(asked(tensor_parallel=2))
    )
