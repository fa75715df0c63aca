"""How old NVIDIA's driver may be, by the generation of the GPU.

Sources, as of November 2026. Which CUDA release knew a generation first: NVIDIA Data Center
Drivers, "CUDA Toolkit, Driver, and Architecture Matrix". Which driver a CUDA release needs: CUDA
Toolkit Release Notes, tables "Minimum Required Driver Version" and "Corresponding Driver
Versions". MIG: MIG User Guide, "Getting Started with MIG", prerequisites.
"""

from __future__ import annotations

from provisioning.facts.gpus import Gpu

#: Oldest driver by compute capability, first match.
_FLOORS = (
    # DGX Spark Porting Guide: CUDA 13.0 at least on the Spark (GB10).
    ("12.1", "580.65.06"),
    # RTX PRO 6000, RTX 50: CUDA 12.8. Google's G4 images with driver 570 serve g4-qwen3-32b-fp8.
    ("12.", "570.26"),
    # GPU Operator, platform support: "HGX B200 requires … 570.133.20 or later".
    ("10.", "570.133.20"),
    # Ada (L40S), Hopper, Ampere and older: what every engine of CUDA 12 needs.
    ("", "525.60.13"),
)
#: The same for MIG.
_MIG_FLOORS = (("12.", "575.51.03"), ("10.", "570.133.20"), ("", "525.60.13"))


def floor(capability: str | None, *, mig: bool = False, at_least: str | None = None) -> str:
    """The oldest driver that will do; *at_least* is a recipe's wish and raises it only."""
    known = [_first(_FLOORS, capability)]
    if mig:
        known.append(_first(_MIG_FLOORS, capability))
    if at_least:
        known.append(at_least)
    return max(known, key=_numbers)


def needed(gpus: tuple[Gpu, ...], *, mig: bool, at_least: str | None) -> str:
    """The oldest driver that will do for all *gpus*; the lowest floor while none is seen."""
    found = [floor(gpu.compute_capability, mig=mig, at_least=at_least) for gpu in gpus]
    return max(found or [floor(None, mig=mig, at_least=at_least)], key=_numbers)


def older(version: str, than: str) -> bool:
    """Whether driver *version* is older *than* another."""
    return _numbers(version) < _numbers(than)


def of_package(version: str) -> str:
    """The driver in a package of *version*: ``1:580.95.05-0ubuntu2`` holds ``580.95.05``."""
    return version.rpartition(":")[2].partition("-")[0]


def _first(floors: tuple[tuple[str, str], ...], capability: str | None) -> str:
    return next(version for start, version in floors if (capability or "").startswith(start))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
