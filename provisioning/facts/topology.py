"""How the GPUs are joined."""

from __future__ import annotations

import re
from dataclasses import dataclass

from provisioning.command import Command, Fact

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_GPU = re.compile(r"GPU\d+")


@dataclass(frozen=True)
class Topology:
    """`links`: pairs of GPUs and the way between them (``NV18``, ``PIX``, ``NODE``, ``SYS`` …)."""

    links: tuple[tuple[str, str, str], ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The ways there are between GPUs."""
        return tuple(sorted({kind for _, _, kind in self.links}))


class GpuTopology(Fact[Topology]):
    """The ways between all pairs of GPUs; none when there is no driver, or one GPU only."""

    command = Command("nvidia-smi", "topo", "-m")
    when_missing = Topology()
    # The codes of nvidia-smi; and the tool does without a matrix on some virtual machines.
    missing_codes = (127, 2, 3, 6, 9, 12, 14, 15, 18, 255)

    def parse(self, stdout: str) -> Topology:
        """Read the matrix: a row and a column for each GPU, further ones for network cards."""
        rows = [line.split() for line in _COLOUR.sub("", stdout).splitlines() if line.strip()]
        if not rows:
            return Topology()
        columns = [word for word in rows[0] if _GPU.fullmatch(word)]
        links = [
            (row[0], other, kind)
            for row in rows[1:]
            if _GPU.fullmatch(row[0])
            for other, kind in zip(columns, row[1:], strict=False)
            if columns.index(row[0]) < columns.index(other)
        ]
        return Topology(tuple(links))
