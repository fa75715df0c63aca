"""NVIDIA Container Toolkit, and the proof: a container that sees the host's GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioning import docker_trouble
from provisioning.command import Command
from provisioning.deploys.docker import require_settings, require_usable
from provisioning.deploys.origin import Origin, require_version
from provisioning.deploys.step import Step, Teller
from provisioning.errors import HostError, UsageError
from provisioning.facts.docker import Docker
from provisioning.facts.gpu_list import GpuList, Listed
from provisioning.facts.gpus import Gpus
from provisioning.facts.record import Record
from provisioning.facts.toolkit import Toolkit
from provisioning.host import Host
from provisioning.host_schema import Toolkit as Wanted
from provisioning.needs import Needs
from provisioning.operations import archives, docker, images, records, services, toolkit

_PROOF_S = 300.0  # a driver that hangs must not hang `fab`
# A corrupt infoROM (14) is warned of; the GPUs are listed all the same.
_LISTED = '"$@"; code=$?; [ $code = 14 ] || exit $code'
_PROOF = Record("gpu/proof.json")


def steps(needs: Needs) -> tuple[Step, ...]:
    """The toolkit is there and Docker knows it; with an image at hand, that is proven.

    Raises:
        UsageError: it is to come from where there is none.
    """
    wanted = needs.needs.toolkit
    if wanted is None:
        return ()
    if wanted.source == "distribution":
        raise UsageError(
            "Neither Debian nor Ubuntu has a package of NVIDIA's Container Toolkit.",
            "Set `host.toolkit.source` to `vendor`, `mirror` or `present`.",
        )
    first = needs.needs.images[:1]
    return (_toolkit(needs, wanted), *(_proof(image) for image in first))


def about(host: Host, needs: Needs) -> dict[str, Any]:
    """What the manifest should know: what the toolkit is; empty without it."""
    found = host.fact(Toolkit) if needs.needs.toolkit else None
    return {} if found is None else {"version": found.version, "mode": found.mode or "auto"}


def _toolkit(needs: Needs, wanted: Wanted) -> Step:
    origin = Origin(
        wanted, archives.toolkit().name, lambda _: archives.toolkit(), needs.recipe_folder
    )

    def check(host: Host) -> None:
        _check(host, wanted, docker_comes=needs.needs.docker is not None)

    def installed(host: Host) -> Iterator[Command]:
        return toolkit.installed(host, wanted, origin.archive(host))

    def configured(host: Host) -> Iterator[Command]:
        return toolkit.configured(host, wanted.mode)

    return Step(
        "toolkit",
        facts=(*toolkit.facts(*origin.asked()), *docker.facts()),
        check=check,
        operations=(installed, configured, toolkit.known),
        after=("docker",),
    )


def _check(host: Host, wanted: Wanted, *, docker_comes: bool) -> None:
    require_settings(host)
    require_usable(host)
    if not docker_comes and not docker.there(host):
        raise HostError(
            "The recipe asks for NVIDIA's toolkit, and there is no Docker on the host.",
            "Ask for it with `host.docker` in the recipe.",
            host=host.name,
        )
    found, daemon = host.fact(Toolkit), host.fact(Docker)
    if found is not None and found.whole:
        require_version(found.version, wanted, "NVIDIA Container Toolkit", host)
    elif wanted.source == "present":
        raise HostError(
            f"There is {'no' if found is None else 'half an'} NVIDIA Container Toolkit on "
            f"{host.name}, and the recipe installs none (source: present).",
            "Install it there, or say `source: vendor`.",
            host=host.name,
        )
    elif daemon is not None and not toolkit.undisturbed(daemon):
        raise HostError(
            f"Docker must be restarted for NVIDIA's toolkit, and {daemon.running} containers "
            f"run on {host.name}.",
            "Stop them first, or install the toolkit there yourself.",
            host=host.name,
        )


def _proof(image: str) -> Step:
    def run(host: Host, tell: Teller) -> None:
        proven(host, image, tell)

    return Step(
        "gpu-proof",
        facts=(_PROOF, Gpus(), Toolkit(), *docker.facts(), *images.FACTS),
        after=("gpu", "docker", "toolkit", "images"),
        run=run,
    )


def proven(host: Host, image: str, tell: Teller) -> None:
    """A container of *image* has seen all GPUs; not again while nothing has changed.

    Raises:
        HostError: it sees none, or fewer than the host has.
    """
    of = _of(host, image)
    if host.fact(_PROOF) == of:
        return
    options = ("--rm", "--pull=never", "--network=none", "--gpus=all", "--entrypoint=nvidia-smi")
    command = _listing(docker.command(host, "run", *options, image, "-L"))
    if host.dry_run:
        host.execute(command, label="toolkit.proven")
        return
    wanted = host.fact(GpuList)
    (answer,) = host.execute(command, label="toolkit.proven", timeout_s=_PROOF_S)
    _compare(GpuList().parse(answer.stdout), wanted, host)
    host.execute(*records.noted(host, _PROOF, of), label="toolkit.proven")
    tell(f"a container sees {len(wanted.gpus)} GPUs")


def _listing(run: Command) -> Command:
    return Command.shell(
        _LISTED, *run.argv, sudo=run.sudo, shown=str(run), explain=docker_trouble.of_run
    )


def _of(host: Host, image: str) -> dict[str, Any]:
    """What the proof holds for: any change of it asks for another."""
    daemon, found, gpus = host.fact(Docker), host.fact(Toolkit), host.fact(Gpus)
    return {
        "docker": [
            daemon.version if daemon else "",
            services.unit(host, services.DOCKER).invocation,
        ],
        "toolkit": [found.version, found.mode] if found else [],
        "image": images.digests(host, image).get(image, ""),
        "gpus": [[gpu.uuid, gpu.driver, gpu.mig] for gpu in gpus],
    }


def _compare(seen: Listed, wanted: Listed, host: Host) -> None:
    if wanted.gpus and set(wanted.gpus) <= set(seen.gpus) and seen.slices == wanted.slices:
        return
    what = f"A container sees {len(seen.gpus)} of the host's {len(wanted.gpus)} GPUs"
    if wanted.slices:
        what += f" and {len(seen.slices)} of its {len(wanted.slices)} MIG slices"
    raise HostError(
        f"{what}.",
        "Check `nvidia-smi -L` and `nvidia-ctk config` on the host.",
        host=host.name,
    )
