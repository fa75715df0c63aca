"""What a local host leaves on this machine: processes and listening ports, read from /proc."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from stacks import local_process

PROC = Path("/proc")
_LISTEN = "0A"
_SAMPLE_S = 0.5


@dataclass(frozen=True)
class LocalHost:
    """A host of the cloud `local`: its folder, the mark of its processes, its SSH port."""

    folder: Path
    host_id: str
    port: int


def host_in(outputs: dict[str, object]) -> LocalHost | None:
    """The host that a stack's outputs name; None where they name none on this machine."""
    match outputs.get("hosts"):
        case [{"workdir": str() as workdir}, *_]:
            return host_at(Path(workdir).parent)
        case _:
            return None


def host_at(folder: Path) -> LocalHost | None:
    """The host whose folder this is, by its own record; None when it is no host's."""
    try:
        record = json.loads((folder / "host.json").read_text())
        return LocalHost(folder, record["host_id"], int(record["port"]))
    except (OSError, ValueError, KeyError):
        return None


def unknown_hosts(hosts: Path, stack: str) -> list[LocalHost]:
    """Hosts of *stack* below the folder *hosts*: what an `up` that was cut short leaves."""
    name = re.compile(rf"dyno-{re.escape(stack)}-[0-9a-f]{{6}}")
    folders = [path for path in sorted(hosts.glob("*")) if name.fullmatch(path.name)]
    return [host for folder in folders if (host := host_at(folder))]


def processes(host: LocalHost) -> dict[int, str]:
    """The host's processes by number, each with its command line.

    They bear its mark, or work in its folder even if that folder is gone.
    """
    pids = {process.pid for process in local_process.marked(host.host_id)}
    pids |= {pid for pid in _pids() if _works_in(pid, host.folder)}
    return {pid: _command(pid) for pid in sorted(pids)}


def ports_of(pids: Iterable[int]) -> set[int]:
    """The TCP ports on which these processes listen."""
    owned = {inode for pid in pids for inode in _sockets(pid)}
    return {port for inode, port in _listening() if inode in owned}


def open_ports(ports: Iterable[int]) -> set[int]:
    """Those of *ports* on which anything at all listens."""
    return {port for _, port in _listening()} & set(ports)


@dataclass
class Watch:
    """Notes, while it is entered, on which ports the host's processes listen."""

    host: LocalHost
    ports: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.ports.add(self.host.port)
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _at: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()

    def _look(self) -> None:
        over = False
        while not over:
            pids = processes(self.host)
            self.seen.update(pids)
            self.ports |= ports_of(pids)
            over = self._over.wait(_SAMPLE_S)


def left(watch: Watch) -> list[str]:
    """What is left of a host that should be gone, a line each; empty when nothing is."""
    lines = [f"process {pid}: {command}" for pid, command in processes(watch.host).items()]
    lines += [f"port {port}: still open" for port in sorted(open_ports(watch.ports))]
    if watch.host.folder.exists():
        lines.append(f"folder {watch.host.folder}")
    return lines


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def _works_in(pid: int, folder: Path) -> bool:
    try:
        cwd = str((PROC / str(pid) / "cwd").readlink()).removesuffix(" (deleted)")
    except OSError:  # gone, or somebody else's
        return False
    return Path(cwd).is_relative_to(folder)


def _command(pid: int) -> str:
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "(gone meanwhile)"
    return b" ".join(words).decode(errors="replace").strip()


def _sockets(pid: int) -> set[str]:
    found = set()
    try:
        for handle in (PROC / str(pid) / "fd").iterdir():
            match = re.fullmatch(r"socket:\[(\d+)\]", str(handle.readlink()))
            if match:
                found.add(match.group(1))
    except OSError:  # it ended, or the descriptor was closed
        return found
    return found


def _listening() -> list[tuple[str, int]]:
    """Inode and port of every listening TCP socket."""
    rows = []
    for name in ("tcp", "tcp6"):
        table = PROC / "net" / name
        lines = table.read_text().splitlines()[1:] if table.exists() else []
        rows += [line.split() for line in lines]
    return [(row[9], int(row[1].rpartition(":")[2], 16)) for row in rows if row[3] == _LISTEN]
