"""How many instances of an engine a host gets, and with which of its GPUs."""

from __future__ import annotations

from typing import Any

from provisioning.command import Fact
from provisioning.errors import HostError
from provisioning.facts.gpu_list import GpuList
from provisioning.facts.gpus import Gpus
from provisioning.facts.topology import GpuTopology
from provisioning.gpu_placing import grouped
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.operations import p2p

#: The GPUs of one instance, by index, or UUID of a MIG slice; empty for all there are, or none.
Place = tuple[str, ...]


def facts(needs: Needs) -> tuple[Fact[Any], ...]:
    """What `places` and `environment` ask."""
    if not _matters(needs):
        return ()
    joined = (GpuTopology(), *p2p.FACTS) if needs.layout.gpus > 1 else ()
    return (Gpus(), GpuList(), *joined)


def places(host: Host, needs: Needs) -> tuple[Place, ...]:
    """The GPUs of each instance.

    GPUs are named by index, for vLLM takes no UUIDs in CUDA_VISIBLE_DEVICES; slices have no
    other name. One instance that gets all GPUs is told of none of them.

    Raises:
        HostError: they are not enough, or slices were to work together.
    """
    layout = needs.layout
    if not _matters(needs) or (needs.needs.gpu is None and not host.fact(Gpus)):
        return ((),) * _without_gpus(needs)
    slices = [piece.uuid for piece in host.fact(GpuList).slices]
    names = slices or [str(gpu.index) for gpu in host.fact(Gpus)]
    if slices and layout.gpus > 1:
        raise HostError(
            f"An instance is to have {layout.gpus} GPUs, and those of {host.name} are divided: "
            "MIG slices do not work together.",
            "Set layout.tensor_parallel, pipeline_parallel and data_parallel to 1, or take a "
            "machine without MIG.",
            host=host.name,
        )
    most = None if layout.instances == "fill" else layout.instances
    found = grouped(names, _links(host) if layout.gpus > 1 else (), layout.gpus, most)
    if len(found) < (most or 1):
        raise _too_few(host, needs, len(names), "MIG slices" if slices else "GPUs")
    return ((),) if len(found) == 1 and len(names) == layout.gpus else found


def environment(host: Host, needs: Needs) -> dict[str, str]:
    """What GPUs that work together need in an engine's environment on this host."""
    together = _matters(needs) and needs.layout.gpus > 1
    return p2p.p2p_environment(host) if together else {}


def _matters(needs: Needs) -> bool:
    """Whether the engine computes on GPUs that it has to be told of."""
    several = needs.layout.instances != 1 or needs.layout.gpus > 1
    return needs.needs.gpu is not None or (needs.weights and several)


def _without_gpus(needs: Needs) -> int:
    """Instances of an engine that needs no GPU; `fill`: as many as the stack's would hold."""
    if needs.layout.instances != "fill":
        return needs.layout.instances
    accelerator = needs.host.accelerator if needs.host else None
    return max(1, (accelerator.count if accelerator else 0) // needs.layout.gpus)


def _links(host: Host) -> tuple[tuple[str, str, str], ...]:
    """By index, as ``GPU3`` has it in its name."""
    links = host.fact(GpuTopology).links
    return tuple((a.removeprefix("GPU"), b.removeprefix("GPU"), way) for a, b, way in links)


def _too_few(host: Host, needs: Needs, have: int, what: str) -> HostError:
    layout = needs.layout
    count = "one instance" if layout.instances in (1, "fill") else f"{layout.instances} instances"
    return HostError(
        f"The layout needs {layout.gpus} GPU{'s' * (layout.gpus > 1)} for each of {count}, and "
        f"{host.name} has {have} {what}.",
        "Take a larger machine, or set layout.instances and layout.tensor_parallel to what fits.",
        host=host.name,
    )
