"""The GPUs of the host."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

_PLAIN = ("index", "name", "memory.total", "driver_version", "uuid")
_FURTHER = (
    "compute_cap",
    "persistence_mode",
    "ecc.mode.current",
    "ecc.mode.pending",
    "mig.mode.current",
    "mig.mode.pending",
    "power.limit",
)
_MODES = {"Enabled": True, "Disabled": False}
# A driver of long ago knows not all fields, says so (on standard output) and ends with 2: it is to
# be named, too.
_ASK = r"""
said=$(nvidia-smi "$1" --format=csv,noheader,nounits)
code=$?
[ $code != 2 ] || exec nvidia-smi "$2" --format=csv,noheader,nounits
printf '%s\n' "$said"
exit $code
"""


@dataclass(frozen=True)
class Gpu:
    """One GPU; `memory_mib` is None where it shares the host's memory (GB10).

    What a GPU has not, or its driver does not tell, is None. A mode that is `…_pending` comes
    with a reset of the GPU.
    """

    index: int
    name: str
    memory_mib: int | None
    driver: str
    uuid: str
    compute_capability: str | None = None
    persistence: bool | None = None
    ecc: bool | None = None
    ecc_pending: bool | None = None
    mig: bool | None = None
    mig_pending: bool | None = None
    power_limit_w: float | None = None


class Gpus(Fact[tuple[Gpu, ...]]):
    """The GPUs the driver can see; empty when there is no driver."""

    command = Command.shell(
        _ASK,
        f"--query-gpu={','.join((*_PLAIN, *_FURTHER))}",
        f"--query-gpu={','.join(_PLAIN)}",
        shown="nvidia-smi --query-gpu",
    )
    when_missing = ()
    # Not installed; no device found; driver not loaded; its library not found, or not its own.
    missing_codes = (127, 6, 9, 12, 18)

    def parse(self, stdout: str) -> tuple[Gpu, ...]:
        """Read CSV lines; numbers that the driver does not know stand as ``[N/A]``."""
        return tuple(_gpu(line) for line in stdout.splitlines() if line.strip())


def _gpu(line: str) -> Gpu:
    index, name, memory, driver, uuid, *further = (part.strip() for part in line.split(","))
    capability, *modes, power = further or [""] * len(_FURTHER)
    persistence, ecc, ecc_pending, mig, mig_pending = map(_MODES.get, modes)
    mib = int(memory) if memory.isdigit() else 0
    return Gpu(
        int(index),
        name,
        mib or None,
        driver,
        uuid,
        capability if capability[:1].isdigit() else None,
        persistence,
        ecc,
        ecc_pending,
        mig,
        mig_pending,
        float(power) if power[:1].isdigit() else None,
    )
