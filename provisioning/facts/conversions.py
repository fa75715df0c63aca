"""Models that were made on the host out of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provisioning.command import Command, Fact
from provisioning.facts.model_cache import receipt

_ASK = r"""
cd "$1" 2>/dev/null || exit 0
for at in */dyno.json; do
  [ -e "$at" ] || continue
  printf 'model %s\nreceipt ' "${at%/*}"
  cat "$at"
  echo
  find "${at%/*}" -type f -printf 'file %s %P\n'
done
"""


@dataclass(frozen=True)
class Conversions(Fact[Mapping[str, Mapping[str, Any]]]):
    """Of each model below *folder* whose files are those of its receipt: the receipt, by name."""

    folder: str

    @property
    def command(self) -> Command:
        """Read the receipts, list the files."""
        return Command.shell(_ASK, self.folder, shown=f"list the models made in {self.folder}")

    def parse(self, stdout: str) -> Mapping[str, Mapping[str, Any]]:
        """Read lines of ``model``, ``receipt`` and ``file``."""
        said: dict[str, dict[str, Any]] = {}
        sizes: dict[str, dict[str, int]] = {}
        name = ""
        for line in stdout.splitlines():
            word, _, rest = line.partition(" ")
            if word == "model":
                name, said[rest], sizes[rest] = rest, {}, {}
            elif word == "receipt":
                said[name] = receipt(rest)
            elif word == "file":
                size, _, path = rest.partition(" ")
                sizes[name] |= {path: int(size)} if path != "dyno.json" else {}
        return {n: s for n, s in said.items() if s.get("files") and s["files"] == sizes[n]}
