"""What lies at a path."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

_ASK = """
[ -e "$1" ] || [ -L "$1" ] || exit 0
if [ -d "$1" ]; then kind=directory
elif [ -f "$1" ]; then kind=file
else kind=other; fi
printf '%s ' $kind
stat -L -c '%a %U:%G' "$1" 2>/dev/null || stat -c '%a %U:%G' "$1"
[ $kind != file ] || sha256sum <"$1" 2>/dev/null || :
"""


@dataclass(frozen=True)
class Found:
    """`kind`: ``directory``, ``file`` or ``other`` (a link that leads nowhere, a device).

    `sha256` of a file's content, empty where we may not read it; `owner` is ``user:group``.
    """

    kind: str
    mode: int
    sha256: str = ""
    owner: str = ""


@dataclass(frozen=True)
class AtPath(Fact[Found | None]):
    """What lies at `path` (links followed); None when nothing does.

    `sudo` where only root may look.
    """

    path: str
    sudo: bool = False

    @property
    def command(self) -> Command:
        """Ask for kind, mode, owner and hash."""
        return Command.shell(_ASK, self.path, sudo=self.sudo, shown=f"look at {self.path}")

    def parse(self, stdout: str) -> Found | None:
        """Read ``file 644 root:root``, a file's hash in the next line; or nothing."""
        if not stdout.strip():
            return None
        kind, mode, owner, *digest = stdout.split()[:4]
        return Found(kind, int(mode, 8), digest[0] if digest else "", owner)
