"""What processes on the host may use at most."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from provisioning.command import Command, Fact

#: What new containers inherit their limits from.
SERVICES = ("docker.service", "containerd.service")
_KERNEL_NAMES = {
    "Max locked memory": "memlock",
    "Max open files": "nofile",
    "Max stack size": "stack",
}
_ASK = """
echo "nr_open $(cat /proc/sys/fs/nr_open)"
sed -n 's/^CapBnd:[[:space:]]*/caps /p' /proc/1/status
show() { echo "= $1"; grep -e '^Max locked' -e '^Max open' -e '^Max stack' "/proc/$2/limits"; }
show session self
show init 1
pids=$(systemctl show --value -p MainPID "$@" 2>/dev/null)
for pid in $pids; do
  [ "$pid" = 0 ] || show "$1" "$pid"
  shift
done
"""
_CAP_SYS_RESOURCE = 24
_NUMBER = re.compile(r"(\d+)([KMGTPE]?)")


@dataclass(frozen=True)
class Limit:
    """Bytes, or files; None is no limit."""

    soft: int | None
    hard: int | None

    def allows(self, value: int | None) -> bool:
        """Whether *value* is within both."""
        return _within(value, self.soft) and _within(value, self.hard)


@dataclass(frozen=True)
class Limited:
    """Limits by name (``memlock``, ``nofile``, ``stack``): those of this login, and of others.

    `services` are those of `SERVICES` that run. Nobody may set a ``nofile`` above `nr_open` (0:
    the kernel does not tell), and above those of `init` nobody may go unless `may_raise`. What
    others' processes may use is left out where a host hides them (``hidepid``).
    """

    session: dict[str, Limit]
    init: dict[str, Limit]
    services: dict[str, dict[str, Limit]] = field(default_factory=dict)
    nr_open: int = 0
    may_raise: bool = True


class Limits(Fact[Limited]):
    """The limits of processes."""

    command = Command.shell(_ASK, *SERVICES, shown="list limits of processes")

    def parse(self, stdout: str) -> Limited:
        """Read two lines of facts, then blocks of the kernel's table, each below its owner."""
        head, *blocks = stdout.split("\n= ")
        said = {word: rest for word, _, rest in (line.partition(" ") for line in head.splitlines())}
        owners = {name: _limits(table) for name, _, table in (b.partition("\n") for b in blocks)}
        caps = int(said["caps"], 16) if said.get("caps") else -1  # hidden: the kernel will say
        return Limited(
            session=owners.pop("session"),
            init=owners.pop("init"),
            services={name: limits for name, limits in owners.items() if limits},
            nr_open=int(said["nr_open"] or 0),
            may_raise=bool(caps >> _CAP_SYS_RESOURCE & 1),
        )


def _limits(table: str) -> dict[str, Limit]:
    found = {}
    for line in table.splitlines():
        name = _KERNEL_NAMES.get(line[:25].strip())
        if name:
            soft, hard = line[25:].split()[:2]
            found[name] = Limit(number(soft), number(hard))
    return found


def number(text: str) -> int | None:
    """A limit as the kernel, ``ulimit`` or systemd writes it: ``1024``, ``1M``, ``infinity``.

    None is no limit.

    Raises:
        ValueError: it is none of these.
    """
    if text in {"unlimited", "infinity", "-1"}:
        return None
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no limit")
    return int(found[1]) << 10 * " KMGTPE".index(found[2] or " ")


def _within(value: int | None, limit: int | None) -> bool:
    return limit is None or (value is not None and value <= limit)
