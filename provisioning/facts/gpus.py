"""The GPUs of the host."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning import gpu_trouble
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
# be named, too. With 14 a GPU's infoROM is corrupt: a warning, where all is told. A GPU that is
# lost may be told in a field of its own, with 0.
_ASK = r"""
ask() { said=$(nvidia-smi "$1" --format=csv,noheader,nounits); code=$?; }
ask "$1"
[ $code != 2 ] || ask "$2"
case $code,$said in
  14,[0-9]*|14,*"
"[0-9]*) code=0 ;;
  0,*"GPU is lost"*|0,*"requires reset"*|0,*"device handle"*) code=15 ;;
esac
printf '%s\n' "$said"
[ $code = 0 ] || echo "nvidia-smi ended with $code"
exit $code
"""
_WARNING = "WARNING:"


@dataclass(frozen=True)
class Gpu:
    """One GPU; `memory_mib` is None where it shares the host's memory (GB10).

    What a GPU has not, or its driver does not tell, is None. A mode that is `…_pending` comes
    with a reset of the GPU. `warning` is what the driver warned of, of this GPU or another.
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
    warning: str = ""


class Gpus(Fact[tuple[Gpu, ...]]):
    """The GPUs the driver can see; empty when there is no driver."""

    command = Command.shell(
        _ASK,
        f"--query-gpu={','.join((*_PLAIN, *_FURTHER))}",
        f"--query-gpu={','.join(_PLAIN)}",
        shown="nvidia-smi --query-gpu",
        explain=gpu_trouble.of_smi,
    )
    when_missing = ()
    # Not installed; no device found; driver not loaded; its library not found, or not its own.
    missing_codes = (127, 6, 9, 12, 18)

    def parse(self, stdout: str) -> tuple[Gpu, ...]:
        """Read CSV lines; numbers that the driver does not know stand as ``[N/A]``."""
        lines = [line.strip() for line in stdout.splitlines()]
        warned = [line.removeprefix(_WARNING) for line in lines if line.startswith(_WARNING)]
        warning = " ".join(" ".join(warned).split())
        return tuple(_gpu(line, warning) for line in lines if line[:1].isdigit())


def _gpu(line: str, warning: str) -> Gpu:
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
        warning,
    )
