"""The archives that packages for GPU hosts come from: their makers', and mirrors."""

from __future__ import annotations

from pathlib import Path

from provisioning.errors import HostError, UsageError
from provisioning.facts.system import Machine
from provisioning.host_schema import Mirror
from provisioning.operations.apt import Archive
from provisioning.versions import DOCKER_KEY, NVIDIA_CUDA_KEY, NVIDIA_TOOLKIT_KEY

_DOCKER = "https://download.docker.com/linux"
_NVIDIA = "https://nvidia.github.io/libnvidia-container"
_CUDA = "https://developer.download.nvidia.com/compute/cuda/repos"
_CUDA_ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "sbsa"}


def docker(machine: Machine) -> Archive:
    """Docker's own archive for the host's distribution.

    Raises:
        HostError: it has none for it.
    """
    where = f"{_DOCKER}/{_distribution(machine, 'Docker')}"
    return Archive(
        "docker", where, machine.codename, ("stable",), f"{where}/gpg", fingerprint=DOCKER_KEY
    )


def toolkit() -> Archive:
    """NVIDIA's own archive of its container toolkit: one for all distributions."""
    return Archive(
        "nvidia-toolkit",
        f"{_NVIDIA}/stable/deb/$(ARCH)",
        "/",
        key_url=f"{_NVIDIA}/gpgkey",
        fingerprint=NVIDIA_TOOLKIT_KEY,
    )


def cuda(machine: Machine) -> Archive:
    """NVIDIA's own archive of drivers for the host's distribution.

    Raises:
        HostError: it has none for it.
    """
    release = _distribution(machine, "NVIDIA") + machine.release.replace(".", "")
    where = f"{_CUDA}/{release}/{_CUDA_ARCHITECTURES.get(machine.machine, machine.machine)}"
    return Archive(
        "nvidia-cuda", where, "/", key_url=f"{where}/3bf863cc.pub", fingerprint=NVIDIA_CUDA_KEY
    )


def mirror(name: str, said: Mirror, folder: Path | None) -> Archive:
    """The archive that a recipe names; its key lies in *folder*, beside the recipe.

    Raises:
        UsageError: the key cannot be read, or there is neither key nor trust.
    """
    if said.key is None and not said.trusted:
        raise UsageError(
            f"The mirror {said.url} has no key.",
            "Name the file of its public key (`key`), or say `trusted: true`.",
        )
    key = "" if said.trusted or said.key is None else _read((folder or Path()) / said.key)
    parts = tuple(said.components)
    return Archive(name, said.url, said.suite, parts, key=key, trusted=said.trusted)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not ASCII armour"
        raise UsageError(
            f"The mirror's key {path} cannot be read: {why}.",
            "Put it beside the recipe, as ASCII armour.",
        ) from None


def _distribution(machine: Machine, whose: str) -> str:
    if machine.distribution in {"debian", "ubuntu"}:
        return machine.distribution
    raise HostError(
        f"{whose} has no package archive for {machine.os or 'this distribution'}.",
        "Take Debian or Ubuntu, or a host where it is installed (source: present).",
        host=machine.hostname,
    )
