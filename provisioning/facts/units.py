"""The state of systemd's units."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

_SHOW = "--property=LoadState,ActiveState,UnitFileState,InvocationID"


@dataclass(frozen=True)
class Unit:
    """A unit as `systemctl show` tells it; `invocation` is another one at each start."""

    load: str = "not-found"
    active: str = "inactive"
    file: str = ""
    invocation: str = ""

    @property
    def there(self) -> bool:
        """Whether systemd knows it."""
        return self.load != "not-found"

    @property
    def running(self) -> bool:
        """Whether it is active now and will be after a boot."""
        starts = self.file in {"enabled", "enabled-runtime", "static", "alias", "indirect"}
        return self.active == "active" and starts


@dataclass(frozen=True)
class Units(Fact[tuple[Unit, ...]]):
    """The states of the units in `names`, in that order; empty where systemd does not run."""

    names: tuple[str, ...]
    when_missing = ()
    missing_codes = (127, 1)

    @property
    def command(self) -> Command:
        """Ask for all of them at once."""
        return Command("systemctl", "show", _SHOW, *self.names)

    def parse(self, stdout: str) -> tuple[Unit, ...]:
        """Read blocks of ``key=value``, one a unit, with an empty line between."""
        return tuple(_unit(block) for block in stdout.strip().split("\n\n") if block)


def _unit(block: str) -> Unit:
    said = dict(line.split("=", 1) for line in block.splitlines())
    keys = ("LoadState", "ActiveState", "UnitFileState", "InvocationID")
    return Unit(*(said.get(key, "") for key in keys))
