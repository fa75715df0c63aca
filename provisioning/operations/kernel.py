"""Settings of the kernel and its huge pages: now, and after a boot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from provisioning.command import Command, Fact
from provisioning.errors import HostError
from provisioning.facts.hugepages import FOLDER, HugePages
from provisioning.facts.mounts import Mounts, at
from provisioning.facts.paths import AtPath
from provisioning.facts.sysctls import Sysctls
from provisioning.facts.system import System
from provisioning.host import Host
from provisioning.operations import files
from provisioning.operations.refusal import explained

#: The last one to be read counts, and Debian reads /etc/sysctl.conf as 99-sysctl.conf.
SYSCTL_FILE = "/etc/sysctl.d/99-zz-llm-dyno.conf"
#: systemd-tmpfiles writes it at boot; sysctl knows huge pages of one size only.
PAGES_FILE = "/etc/tmpfiles.d/llm-dyno-hugepages.conf"

_SET = """
said=$( (printf '%s\\n' "$2" >"/proc/sys/$1") 2>&1) || {
  echo "refused: The kernel does not take $2 for $3 (${said##*: }). | Correct host.sysctl."
  exit 65
}
"""
_RESERVE = """
path=/sys/kernel/mm/hugepages/hugepages-$1/nr_hugepages
sync; echo 1 >/proc/sys/vm/compact_memory 2>/dev/null
echo "$2" >"$path" || exit
got=$(cat "$path")
if [ "$got" -lt "$2" ]; then
  echo "refused: The kernel could reserve $got of $2 huge pages of $1 only, for memory is in use or\
 in pieces. | Reboot the host, or ask for fewer in host.hugepages."
  exit 65
fi
"""


def settings(host: Host, wanted: Mapping[str, str | int]) -> Iterator[Command]:
    """The settings *wanted* have their values, now and after a boot.

    They are tried before they are written down: what the kernel does not take is not tried again
    at each boot.

    Raises:
        HostError: there is no such setting, or it cannot be changed on this host.
    """
    values = _by_path(host, wanted)
    have = host.fact(Sysctls(tuple(values)))
    for path, value in values.items():
        _require_setting(host, path, have)
        if have[path] != value:
            _require_writable(host, f"/proc/sys/{path}", f"host.sysctl: {_dotted(path)}")
            shown = f"set {_dotted(path)} to {value}"
            args = (path, value, _dotted(path))
            yield Command.shell(_SET, *args, sudo=True, shown=shown, explain=explained)
    content = "".join(f"{path} = {value}\n" for path, value in values.items())
    yield from files.file(host, SYSCTL_FILE, content, sudo=True)


def reserved(host: Host, wanted: Mapping[Any, int]) -> Iterator[Command]:
    """At least as many huge pages as *wanted* (by size) are reserved, now and after a boot.

    Raises:
        HostError: the kernel knows no pages of that size, or the host has less memory.
    """
    have = host.fact(HugePages)
    _require_memory(host, wanted, have)
    for size, count in wanted.items():
        if have[size] < count:
            path = f"{FOLDER}/hugepages-{size}/nr_hugepages"
            _require_writable(host, path, "host.hugepages")
            shown = f"reserve {count} huge pages of {size}"
            args = (size, str(count))
            yield Command.shell(_RESERVE, *args, sudo=True, shown=shown, explain=explained)
    lines = [f"w {FOLDER}/hugepages-{k}/nr_hugepages - - - - {n}\n" for k, n in wanted.items()]
    yield from files.file(host, PAGES_FILE, "".join(lines), sudo=True)


def facts(sysctl: Mapping[str, str | int], pages: Mapping[Any, int]) -> tuple[Fact[Any], ...]:
    """What the operations here ask; gather it with other facts to save an exchange."""
    found: list[Fact[Any]] = []
    if sysctl:
        found += [Sysctls(tuple(map(as_path, sysctl))), AtPath(SYSCTL_FILE, sudo=True)]
    if pages:
        found += [HugePages(), System(), AtPath(PAGES_FILE, sudo=True)]
    return (*found, Mounts()) if found else ()


def as_path(key: str) -> str:
    """The file of a setting below /proc/sys: dots divide, unless a slash is the first to do so."""
    first = next((letter for letter in key if letter in "./"), ".")
    return key.translate(str.maketrans("./", "/.")) if first == "." else key


def _dotted(path: str) -> str:
    return path.translate(str.maketrans("./", "/."))


def _by_path(host: Host, wanted: Mapping[str, str | int]) -> dict[str, str]:
    for key in wanted:
        if not all(part.strip(".") for part in as_path(key).split("/")):
            raise HostError(
                f"host.sysctl: {key} is no name of a kernel setting.",
                "Write it as sysctl does: vm.swappiness.",
                host=host.name,
            )
    return {as_path(key): " ".join(str(value).split()) for key, value in wanted.items()}


def _require_setting(host: Host, path: str, have: Mapping[str, str]) -> None:
    if path not in have:
        raise HostError(
            f"host.sysctl: the kernel of {host.name} has no setting {_dotted(path)}.",
            "Correct its name; some appear only once a kernel module is loaded.",
            host=host.name,
        )


def _require_writable(host: Host, path: str, what: str) -> None:
    mount = at(host.fact(Mounts), path)
    if mount is not None and mount.read_only:
        raise HostError(
            f"{what} cannot be set on {host.name}: {mount.folder} can only be read there, as in "
            "a container.",
            "Set it on the machine itself, or take it from the recipe.",
            host=host.name,
        )


def _require_memory(host: Host, wanted: Mapping[Any, int], have: Mapping[str, int]) -> None:
    for size in wanted:
        if size not in have:
            raise HostError(
                f"host.hugepages: the kernel of {host.name} has no pages of {size}.",
                f"It has: {', '.join(sorted(have)) or 'none'}.",
                host=host.name,
            )
    asked_mib = sum(int(size.removesuffix("kB")) * count for size, count in wanted.items()) // 1024
    memory_mib = host.fact(System).memory_mib
    if asked_mib >= memory_mib:
        raise HostError(
            f"host.hugepages asks for {asked_mib} MiB, and {host.name} has {memory_mib} MiB.",
            "Ask for fewer.",
            host=host.name,
        )
