"""Huge pages that the kernel holds ready."""

from __future__ import annotations

import re

from provisioning.command import Command, Fact

FOLDER = "/sys/kernel/mm/hugepages"
_ROW = re.compile(r"/hugepages-(\w+)/nr_hugepages:(\d+)$")


class HugePages(Fact[dict[str, int]]):
    """How many pages are reserved, by size (``2048kB``); no sizes on a kernel without them."""

    command = Command.shell(
        f'grep -H "" {FOLDER}/*/nr_hugepages 2>/dev/null || :', shown="count huge pages"
    )

    def parse(self, stdout: str) -> dict[str, int]:
        """Read lines of ``…/hugepages-2048kB/nr_hugepages:0``."""
        found = filter(None, map(_ROW.search, stdout.splitlines()))
        return {row[1]: int(row[2]) for row in found}
