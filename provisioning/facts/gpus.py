"""The GPUs of the host."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact


@dataclass(frozen=True)
class Gpu:
    """One GPU; `memory_mib` is None where it shares the host's memory (GB10)."""

    index: int
    name: str
    memory_mib: int | None
    driver: str
    uuid: str


class Gpus(Fact[tuple[Gpu, ...]]):
    """The GPUs the driver can see; empty when there is no driver."""

    command = Command(
        "nvidia-smi",
        "--query-gpu=index,name,memory.total,driver_version,uuid",
        "--format=csv,noheader,nounits",
    )
    when_missing = ()
    # Not installed; no device found; driver not loaded; its library not found.
    missing_codes = (127, 6, 9, 12)

    def parse(self, stdout: str) -> tuple[Gpu, ...]:
        """Read CSV lines; numbers that the driver does not know stand as ``[N/A]``."""
        return tuple(_gpu(line) for line in stdout.splitlines() if line.strip())


def _gpu(line: str) -> Gpu:
    index, name, memory, driver, uuid = (part.strip() for part in line.split(","))
    mib = int(memory) if memory.isdigit() else 0
    return Gpu(int(index), name, mib or None, driver, uuid)
