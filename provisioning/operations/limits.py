"""Limits of processes: of logins, of the user's services, and of what containers inherit.

A login's limits are set by PAM, which ends the login when it cannot set them: what the kernel
would refuse is never written down, for it would lock everybody out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from provisioning.command import Command, Fact
from provisioning.errors import HostError
from provisioning.facts.limits import Limit, Limited, Limits
from provisioning.facts.paths import AtPath
from provisioning.host import Host
from provisioning.operations import files

FILE = "/etc/security/limits.d/90-llm-dyno.conf"
UNITS = ("docker.service", "containerd.service", "user@.service")
Wanted = Mapping[Any, str | int]

_UNLIMITED = "unlimited"
_NR_OPEN = 1 << 20  # the kernel's own default of fs.nr_open
# Processes that run keep their limits, and so does the login over which we speak: prlimit
# changes those of a process, and what it starts from then on inherits them.
_OF_SERVICE = """
pid=$(systemctl show --value -p MainPID "$1") && shift && exec prlimit --pid "$pid" "$@"
"""
_OF_LOGIN = """
pid=$$
while [ "$pid" -gt 1 ]; do
  case $(cat "/proc/$pid/comm") in sshd*) exec prlimit --pid "$pid" "$@" ;; esac
  pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status")
done
"""


def raised(host: Host, wanted: Wanted, nr_open: int | None = None) -> Iterator[Command]:
    """Processes may use what *wanted* says: those of logins, user services, and containers.

    Values are bytes, of ``nofile`` a number, or ``unlimited``. *nr_open* is what that setting of
    the kernel will be, if it is to be changed.

    Raises:
        HostError: the kernel would refuse it.
    """
    limited = host.fact(Limits)
    values = _values(limited, wanted, nr_open)
    _require_possible(host, limited, values, nr_open)
    yield from files.file(host, FILE, _pam(values), sudo=True)
    changes: list[Command] = []
    for unit in UNITS:
        path = _drop_in(unit)
        changes += files.directory(host, path.rpartition("/")[0], sudo=True)
        changes += files.file(host, path, _systemd(values), sudo=True)
    yield from changes
    if changes:
        yield Command("systemctl", "daemon-reload", sudo=True)
    yield from _of_running(limited, values)


def checked(host: Host, wanted: Wanted, nr_open: int | None = None) -> None:
    """The kernel would allow *wanted*.

    Raises:
        HostError: it would not.
    """
    limited = host.fact(Limits)
    _require_possible(host, limited, _values(limited, wanted, nr_open), nr_open)


def facts() -> tuple[Fact[Any], ...]:
    """What `raised` asks; gather it with other facts to save an exchange."""
    paths = [_drop_in(unit) for unit in UNITS]
    folders = [path.rpartition("/")[0] for path in paths]
    return (Limits(), *(AtPath(path, sudo=True) for path in (FILE, *folders, *paths)))


def _of_running(limited: Limited, values: Mapping[str, int | None]) -> Iterator[Command]:
    for service, have in limited.services.items():
        if changes := _changes(have, values):
            shown = f"raise the limits of {service}: {' '.join(changes)}"
            yield Command.shell(_OF_SERVICE, service, *changes, sudo=True, shown=shown)
    session = limited.session
    if not limited.may_raise:  # then what is above its own hard limit has to wait for the next
        values = {k: v for k, v in values.items() if _hard(session[k]).allows(v)}
    if changes := _changes(session, values):
        shown = f"raise the limits of this login: {' '.join(changes)}"
        # Root without that right may change its own processes only, and we only ours.
        yield Command.shell(_OF_LOGIN, *changes, sudo=limited.may_raise, shown=shown)


def _hard(limit: Limit) -> Limit:
    return Limit(limit.hard, limit.hard)


def _changes(have: Mapping[str, Limit], values: Mapping[str, int | None]) -> list[str]:
    texts = {name: _UNLIMITED if value is None else str(value) for name, value in values.items()}
    return [
        f"--{name}={texts[name]}:{texts[name]}"
        for name, value in values.items()
        if not have[name].allows(value)
    ]


def _values(limited: Limited, wanted: Wanted, nr_open: int | None) -> dict[str, int | None]:
    """Numbers; no number of files is unlimited: the kernel has a highest one."""
    found = {k: None if v == _UNLIMITED else int(v) for k, v in sorted(wanted.items())}
    if "nofile" in found and found["nofile"] is None:
        found["nofile"] = nr_open or limited.nr_open or _NR_OPEN
    return found


def _require_possible(
    host: Host, limited: Limited, values: Mapping[str, int | None], nr_open: int | None
) -> None:
    highest = nr_open or limited.nr_open or _NR_OPEN
    files_ = values.get("nofile")
    if files_ is not None and files_ > highest:
        raise HostError(
            f"host.limits.nofile: {files_} is more than the host's kernel allows ({highest}).",
            "Ask for less, or raise fs.nr_open in host.sysctl too.",
            host=host.name,
        )
    for name, value in values.items():
        most = _hard(limited.init.get(name, limited.session[name]))
        if not limited.may_raise and not most.allows(value):
            raise HostError(
                f"host.limits.{name}: {host.name} cannot raise it above {most.hard}, for its "
                "system lacks the right to (CAP_SYS_RESOURCE; is it a container?).",
                "Ask for less, or raise the limit of the container itself.",
                host=host.name,
            )


def _pam(values: Mapping[str, int | None]) -> str:
    """Lines for all users, and for root, whom the star leaves out; memory is in KiB there."""
    units = {name: 1 if name == "nofile" else 1024 for name in values}
    texts = {k: _UNLIMITED if v is None else str(-(-v // units[k])) for k, v in values.items()}
    return "".join(f"{who} - {k} {text}\n" for who in ("*", "root") for k, text in texts.items())


def _systemd(values: Mapping[str, int | None]) -> str:
    lines = [f"Limit{k.upper()}={'infinity' if v is None else v}\n" for k, v in values.items()]
    return "[Service]\n" + "".join(lines)


def _drop_in(unit: str) -> str:
    return f"/etc/systemd/system/{unit}.d/llm-dyno-limits.conf"
