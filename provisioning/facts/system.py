"""What kind of machine the host is."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

_ASK = r"""
echo "hostname=$(uname -n)"
echo "kernel=$(uname -r)"
echo "machine=$(uname -m)"
(. /etc/os-release && printf 'os=%s\nid=%s\nrelease=%s\ncodename=%s\n' \
  "$PRETTY_NAME" "$ID" "$VERSION_ID" "$VERSION_CODENAME") 2>/dev/null
cpu=$(sed -n 's/^model name[^:]*: *//p;T;q' /proc/cpuinfo)
echo "cpu=${cpu:-$(lscpu 2>/dev/null | sed -n 's/^Model name: *//p' | head -n 1)}"
echo "cores=$(nproc 2>/dev/null || grep -c ^processor /proc/cpuinfo)"
echo "memory_kib=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)"
echo "boot_id=$(cat /proc/sys/kernel/random/boot_id)"
"""


@dataclass(frozen=True)
class Machine:
    """The machine and what runs on it; `cores` are those that we may use.

    `distribution`, `release` and `codename` are those of /etc/os-release: ``debian``, ``12``,
    ``bookworm``; empty where it does not tell.
    """

    hostname: str
    kernel: str
    machine: str
    os: str
    cpu: str
    cores: int
    memory_mib: int
    boot_id: str
    distribution: str = ""
    release: str = ""
    codename: str = ""


class System(Fact[Machine]):
    """Kernel, distribution, processor, memory, and the id of this boot."""

    lasting = True
    command = Command.shell(_ASK, shown="describe the system")

    def parse(self, stdout: str) -> Machine:
        """Read lines of ``key=value``; what a host does not tell is empty."""
        said = {key: value for key, _, value in (s.partition("=") for s in stdout.splitlines())}
        return Machine(
            hostname=said["hostname"],
            kernel=said["kernel"],
            machine=said["machine"],
            os=said.get("os", ""),
            cpu=said["cpu"],
            cores=int(said["cores"]),
            memory_mib=int(said["memory_kib"]) // 1024,
            boot_id=said["boot_id"],
            distribution=said.get("id", ""),
            release=said.get("release", ""),
            codename=said.get("codename", ""),
        )
