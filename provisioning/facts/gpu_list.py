"""The GPUs and their slices by UUID, as programs choose them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from provisioning import gpu_trouble
from provisioning.command import Command, Fact

# With 14 a GPU's infoROM is corrupt: they are listed all the same.
LIST = """
nvidia-smi -L
code=$?
[ $code != 14 ] || exit 0
[ $code = 0 ] || echo "nvidia-smi ended with $code"
exit $code
"""
_LINE = re.compile(r"^(GPU|\s+MIG) (\S+?):?\s.*\(UUID: *(\S+?)\)")


@dataclass(frozen=True)
class Slice:
    """A MIG device: a compute instance in a GPU instance of `profile` (``4g.96gb``)."""

    gpu: int
    profile: str
    uuid: str


@dataclass(frozen=True)
class Listed:
    """The UUIDs of all GPUs, and the slices in them."""

    gpus: tuple[str, ...] = ()
    slices: tuple[Slice, ...] = ()


class GpuList(Fact[Listed]):
    """What ``nvidia-smi -L`` sees; nothing when there is no driver."""

    command = Command.shell(LIST, shown="nvidia-smi -L", explain=gpu_trouble.of_smi)
    when_missing = Listed()
    missing_codes = (127, 6, 9, 12, 18)

    def parse(self, stdout: str) -> Listed:
        """Read a line for each GPU, its MIG devices indented below it."""
        gpus: list[str] = []
        slices: list[Slice] = []
        for found in filter(None, map(_LINE.match, stdout.splitlines())):
            kind, word, uuid = found.groups()
            if kind == "GPU":
                gpus.append(uuid)
            else:
                slices.append(Slice(len(gpus) - 1, word, uuid))
        return Listed(tuple(gpus), tuple(slices))
