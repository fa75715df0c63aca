"""The GPUs: the right ones, their driver, and how they are set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from provisioning import drivers
from provisioning.command import Command
from provisioning.deploys import gpu_checks, python_env
from provisioning.deploys.origin import Origin
from provisioning.deploys.step import Step, Teller
from provisioning.errors import UsageError
from provisioning.facts.docker import Docker
from provisioning.facts.gpu_list import GpuList
from provisioning.facts.gpus import Gpus
from provisioning.facts.topology import GpuTopology
from provisioning.host import Host
from provisioning.host_schema import Gpu
from provisioning.needs import Needs
from provisioning.operations import archives, nvidia, p2p
from provisioning.operations.apt import Archive
from stacks.outputs import Accelerator


def steps(needs: Needs) -> tuple[Step, ...]:
    """The GPUs are those of the stack, driven and set as the recipe asks.

    Raises:
        UsageError: the driver is to come from a mirror that the recipe does not name; or
            nothing is there to try the GPUs together with.
    """
    asked = needs.needs.gpu
    if asked is None:
        return ()
    return (_gpu(needs, asked), *((_p2p(needs),) if asked.p2p_check else ()))


def profile(needs: Needs) -> str | None:
    """The MIG profile that is asked for, by the recipe or by the stack."""
    asked, of_stack = needs.needs.gpu, needs.host.accelerator if needs.host else None
    wanted = asked.mig if asked else None
    return wanted or (of_stack.mig_profile if of_stack else None)


def about(host: Host, needs: Needs) -> dict[str, Any]:
    """What the manifest should know: GPUs, how they are joined and divided, what engines need."""
    if needs.needs.gpu is None:
        return {}
    gpus = host.fact(Gpus)
    joined, divided = len(gpus) > 1, any(gpu.mig for gpu in gpus)
    return {
        "gpus": [asdict(gpu) for gpu in gpus],
        "links": list(host.fact(GpuTopology).kinds) if joined else [],
        "mig": [asdict(piece) for piece in nvidia.slices(host)] if divided else [],
        "environment": p2p.p2p_environment(host) if joined else {},
    }


@dataclass(frozen=True)
class _Wanted:
    """What the recipe asks of the GPUs, and what the stack says of them."""

    asked: Gpu
    of_stack: Accelerator | None
    mig: str | None
    origin: Origin
    fabric: bool  # the recipe's packages bring the manager of NVSwitches

    def floor(self, host: Host) -> str:
        """The oldest driver that will do."""
        at_least = self.asked.driver.at_least
        return drivers.needed(host.fact(Gpus), mig=self.mig is not None, at_least=at_least)

    def check(self, host: Host) -> None:
        """See that all can be brought about."""
        gpu_checks.driver(host, self.asked.driver, self.floor(host))
        self._archive(host)
        if host.fact(Gpus):
            gpu_checks.kind(host, self.of_stack)
            gpu_checks.count(host, self.asked.count, self.of_stack)
            gpu_checks.modes(host, self.asked.ecc, self.mig)
            gpu_checks.fabric(host, coming=self.fabric)

    def driven(self, host: Host) -> Iterator[Command]:
        """A driver that is new enough is there."""
        return nvidia.driven(host, self.asked.driver, self.floor(host), self._archive(host))

    def adjusted(self, host: Host) -> Iterator[Command]:
        """Persistence, ECC and MIG are as asked; switches are at work."""
        if self.asked.persistence:
            yield from nvidia.persistent(host)
        yield from nvidia.joined(host)
        if self.asked.ecc is not None:
            yield from nvidia.corrected(host, ecc=self.asked.ecc)
        if self.mig is not None:
            yield from nvidia.divisible(host)

    def sliced(self, host: Host) -> Iterator[Command]:
        """The slices are there."""
        if self.mig is not None:
            yield from nvidia.sliced(host, self.mig)

    def run(self, host: Host, tell: Teller) -> None:
        """See that all is in effect, and that a new driver shows the GPUs that were meant."""
        for warning in {gpu.warning for gpu in host.fact(Gpus)} - {""}:
            tell(f"the driver warns: {warning}")
        if not host.dry_run:
            driver, floor = self.asked.driver, self.floor(host)
            gpu_checks.effective(host, driver, floor, self.asked.ecc, self.mig)
            self.check(host)

    def _archive(self, host: Host) -> Archive | None:
        return self.origin.archive(host) if self.asked.driver.install else None


def _gpu(needs: Needs, asked: Gpu) -> Step:
    of_stack = needs.host.accelerator if needs.host else None
    origin = Origin(asked.driver, "nvidia-cuda", archives.cuda, needs.recipe_folder)
    fabric = any(name.startswith("nvidia-fabricmanager") for name in needs.needs.packages)
    wanted = _Wanted(asked, of_stack, profile(needs), origin, fabric)
    return Step(
        "gpu",
        facts=(
            *nvidia.facts(*(origin.asked() if asked.driver.install else ())),
            *((GpuList(),) if wanted.mig else ()),
        ),
        check=wanted.check,
        operations=(wanted.driven, wanted.adjusted, wanted.sliced),
        after=("preflight", "packages", "system"),
        run=wanted.run,
    )


def _p2p(needs: Needs) -> Step:
    """With the engine's own torch: of its image, or of its environment."""
    images = needs.needs.images
    if images:
        probe = p2p.in_container(images[0])
    elif needs.needs.python is not None:
        probe = p2p.in_environment(f"{python_env.path(needs)}/bin/python")
    else:
        raise UsageError(
            "GPUs are to be tried together (p2p_check), and there is no torch to do it with.",
            "Name the engine's image in `host.images`, its packages in `host.python`, or "
            "set `host.gpu.p2p_check: false`.",
        )

    def run(host: Host, tell: Teller) -> None:
        p2p.checked(host, probe, tell, needs.nccl_env)

    after = ("gpu", "gpu-proof", "images", "python_env")
    return Step("p2p", facts=(*p2p.FACTS, Docker()), after=after, run=run)
