"""What a launcher does, and the handle it gives out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from provisioning.engines.base import ProcessSpec
from provisioning.host import Host


@dataclass(frozen=True)
class Handle:
    """An engine that was started: its process, where it answers, and its files on the host.

    Start time and boot tell the process from another that was given its number.
    """

    run_id: str
    pid: int
    pid_started: int
    boot_id: str
    port: int
    ready_path: str
    log: str
    api_key_file: str | None

    @property
    def base_url(self) -> str:
        """The engine's address on the host itself, without ``/v1``."""
        return f"http://127.0.0.1:{self.port}"


class Launcher(Protocol):
    """A module of `provisioning.launchers`. Each call is one exchange."""

    def start(self, host: Host, spec: ProcessSpec, run_id: str) -> Handle:
        """Start the engine of *run_id*.

        Raises:
            LaunchError: it cannot be started: it runs already (and is left alone), or its port
                is in use.
        """
        ...

    def alive(self, host: Host, run_id: str) -> bool:
        """Whether the engine's process is there."""
        ...

    def stop(self, host: Host, run_id: str) -> bool:
        """Stop it, all its processes, and see that they are gone; False if there were none.

        Raises:
            LaunchError: processes are left.
        """
        ...

    def log(self, host: Host, run_id: str, lines: int = 200) -> str:
        """The last *lines* lines of its log; empty when there is none."""
        ...
