"""What is wrong with a host's GPUs, in one sentence each; on facts alone."""

from __future__ import annotations

import re

from provisioning import drivers, gpu_trouble
from provisioning.errors import HostError
from provisioning.facts.deb_packages import DebPackages
from provisioning.facts.gpu_list import GpuList
from provisioning.facts.gpus import Gpu, Gpus
from provisioning.facts.nvidia_module import NvidiaModule
from provisioning.host import Host
from provisioning.host_schema import Driver
from stacks.outputs import Accelerator

_MAKERS = frozenset({"nvidia", "geforce", "tesla"})


def driver(host: Host, wanted: Driver, floor: str) -> None:
    """See that a driver is there that is new enough, or may be installed.

    Raises:
        HostError: no GPU, no driver, one that does not work, or one that is too old.
    """
    gpus = host.fact(Gpus)
    if not gpus:
        _no_gpus(host, wanted)
    elif drivers.older(gpus[0].driver, floor) and wanted.install is None:
        raise HostError(
            f"NVIDIA's driver on {host.name} is {gpus[0].driver}; "
            f"{gpus[0].name} needs {floor} or newer here.",
            "Take a machine image with a newer driver, or let the recipe install one "
            "(`host.gpu.driver.install`).",
            host=host.name,
        )


def kind(host: Host, of_stack: Accelerator | None) -> None:
    """See that the GPUs are those that the stack names.

    Raises:
        HostError: they are others.
    """
    if of_stack is None:
        return
    for gpu in host.fact(Gpus):
        if not words(of_stack.name) <= words(gpu.name):
            raise HostError(
                f"The stack says {of_stack.name}, and GPU {gpu.index} of {host.name} is "
                f"{gpu.name}.",
                "Correct the accelerator of the stack, or look for the machine that was meant.",
                host=host.name,
            )


def count(host: Host, wanted: int | None, of_stack: Accelerator | None) -> None:
    """See that there are enough GPUs.

    Raises:
        HostError: there are fewer than the recipe asks for, or than the stack says.
    """
    needed = wanted or (of_stack.count if of_stack else 1)
    found = len(host.fact(Gpus))
    if found < needed:
        raise HostError(
            f"{host.name} has {found} of the {needed} GPUs that are asked for.",
            "Take another stack, or look at `nvidia-smi` there: one may have failed.",
            host=host.name,
        )


def modes(host: Host, ecc: bool | None, profile: str | None) -> None:
    """See that the GPUs can be set as asked, with what is there left as it is.

    Raises:
        HostError: they know no ECC or no MIG, or are divided otherwise.
    """
    for gpu in host.fact(Gpus):
        wrong = _wrong_mode(gpu, _profiles(host, gpu), ecc, profile)
        if wrong:
            where = f"GPU {gpu.index} of {host.name} ({gpu.name})"
            raise HostError(f"{where} {wrong[0]}.", wrong[1], host=host.name)


def effective(
    host: Host, wanted: Driver, floor: str, ecc: bool | None, profile: str | None
) -> None:
    """See that what was changed is in effect.

    Raises:
        HostError: it needs a boot; or the package holds no driver that is new enough.
    """
    gpus = host.fact(Gpus)
    if not gpus or drivers.older(gpus[0].driver, floor):
        _require_package(host, wanted.install, floor)
        raise _boot("NVIDIA's driver is installed and not in use yet", host)
    for gpu in gpus:
        if ecc is not None and gpu.ecc != ecc:
            raise _boot(f"ECC is set to {'on' if ecc else 'off'} and not in effect yet", host)
        if profile is not None and not gpu.mig:
            raise _boot("MIG is switched on and not in effect yet", host)


def fabric(host: Host, *, coming: bool) -> None:
    """See that switches between the GPUs have their manager, or that it is *coming*.

    Raises:
        HostError: it is not installed: CUDA would not begin.
    """
    module, gpus = host.fact(NvidiaModule), host.fact(Gpus)
    if gpus and module.switches and not module.fabric and not coming:
        raise HostError(
            f"{host.name} has {module.switches} NVSwitches and no fabric manager: CUDA would not "
            "begin (error 802).",
            f"{gpu_trouble.fabric(gpus[0].driver)} A recipe may name it in `host.packages`.",
            host=host.name,
        )


def words(name: str) -> frozenset[str]:
    """The words of a GPU's name that tell it from others."""
    return frozenset(re.findall(r"[a-z0-9]+", name.lower())) - _MAKERS


def _require_package(host: Host, name: str | None, floor: str) -> None:
    held = drivers.of_package(host.fact(DebPackages).get(name or "", floor))
    if drivers.older(held, floor):
        raise HostError(
            f"The newest {name} that {host.name} can install holds driver {held}; {floor} or "
            "newer is needed.",
            "Name another package or another source in `host.gpu.driver`.",
            host=host.name,
        )


def _profiles(host: Host, gpu: Gpu) -> list[str]:
    if not gpu.mig:  # then nothing has to be asked
        return []
    return [piece.profile for piece in host.fact(GpuList).slices if piece.gpu == gpu.index]


def _wrong_mode(
    gpu: Gpu, there: list[str], ecc: bool | None, profile: str | None
) -> tuple[str, str] | None:
    if ecc is not None and gpu.ecc is None:
        return "has no ECC to be switched", "Take `host.gpu.ecc` out of the recipe."
    if profile is None:
        if gpu.mig and not there:
            advice = "Name the profile of one in the recipe (`host.gpu.mig`)."
            return "is in MIG mode and has no slice: programs see no GPU", advice
        return None
    if gpu.mig is None:
        return "cannot be divided: it has no MIG", "Take `host.gpu.mig` out of the recipe."
    if there not in ([], [profile]):
        return (
            f"is divided into {', '.join(there)}, and asked for is one {profile}",
            "If nobody uses them: `sudo nvidia-smi mig -dci && sudo nvidia-smi mig -dgi` there.",
        )
    return None


def _boot(what: str, host: Host) -> HostError:
    return HostError(
        f"{what} on {host.name}: that takes a reboot.",
        "Reboot it (`sudo reboot`) when nobody uses it, then run this again.",
        host=host.name,
    )


def _no_gpus(host: Host, wanted: Driver) -> None:
    module = host.fact(NvidiaModule)
    if module.version is not None:
        raise HostError(
            f"NVIDIA's driver {module.version} is loaded on {host.name}, and nvidia-smi sees no "
            "GPU with it.",
            "Reboot the host: an update of the driver needs that.",
            host=host.name,
        )
    if wanted.install is not None:
        return
    if module.devices:
        raise HostError(
            f"{host.name} has {module.devices} NVIDIA GPUs and no driver for them.",
            "Take a machine image with a driver, or let the recipe install one "
            "(`host.gpu.driver.install`).",
            host=host.name,
        )
    raise HostError(
        f"{host.name} has no NVIDIA GPU that can be seen.",
        "Choose a stack with one, or leave `host.gpu` out of the recipe.",
        host=host.name,
    )
