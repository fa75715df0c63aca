"""Who we are on the host, and which groups we are in."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

_ASK = 'u=$(id -un) && echo "$u" && id -Gn "$u"'


@dataclass(frozen=True)
class Membership:
    """Our user, and its groups in the host's books: those of this login may be older."""

    user: str
    groups: frozenset[str]


class Groups(Fact[Membership]):
    """Our user and its groups."""

    command = Command.shell(_ASK, shown="list our groups")

    def parse(self, stdout: str) -> Membership:
        """Read the name, then the groups."""
        user, groups = stdout.splitlines()
        return Membership(user, frozenset(groups.split()))
