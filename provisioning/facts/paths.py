"""What lies at a path."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

_ASK = """
[ -e "$1" ] || [ -L "$1" ] || exit 0
if [ -d "$1" ]; then kind=directory
elif [ -f "$1" ]; then kind=file
else kind=other; fi
printf '%s %s ' $kind "$(stat -L -c %a "$1")"
[ $kind != file ] || sha256sum <"$1" | cut -c 1-64
"""


@dataclass(frozen=True)
class Found:
    """`kind`: ``directory``, ``file`` or ``other``; `sha256` of a file's content."""

    kind: str
    mode: int
    sha256: str = ""


@dataclass(frozen=True)
class AtPath(Fact[Found | None]):
    """What lies at `path` (links followed); None when nothing does."""

    path: str

    @property
    def command(self) -> Command:
        """Ask for kind, mode and hash."""
        return Command.shell(_ASK, self.path, shown=f"look at {self.path}")

    def parse(self, stdout: str) -> Found | None:
        """Read ``file 644 <sha256>``, or nothing."""
        if not stdout.strip():
            return None
        kind, mode, *digest = stdout.split()
        return Found(kind, int(mode, 8), *digest)
