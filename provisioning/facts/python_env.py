"""A virtual environment on the host."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

#: All packages of an environment with their versions, written when it was made.
FROZEN = "dyno-packages.txt"
_ASK = """
"$1/bin/python" -c '' 2>/dev/null || exit 0
sed -n 's/^version_info *= */python /p' "$1/pyvenv.cfg"
[ ! -e "$1/$2" ] || cat "$1/$2"
"""


@dataclass(frozen=True)
class Environment:
    """The version of its Python, and its packages as ``name==version``."""

    python: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class PythonEnv(Fact[Environment | None]):
    """The environment in `folder`; None when there is none, or its Python is gone."""

    folder: str

    @property
    def command(self) -> Command:
        """Start its Python, then read what it holds."""
        shown = f"look at the environment {self.folder}"
        return Command.shell(_ASK, self.folder, FROZEN, shown=shown)

    def parse(self, stdout: str) -> Environment | None:
        """Read ``python 3.11.2``, then a package a line."""
        first, *packages = stdout.splitlines() or [""]
        word, _, version = first.partition(" ")
        return Environment(version, tuple(packages)) if word == "python" else None
