"""One lab host that runs: what tests do with it."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stacks.outputs import HostOutput
from tests.lab.engine import docker
from tests.lab.machine import HOME, LabError, key
from tests.lab.options import USER, Options

ADDRESS = "127.0.0.1"
BOOT_S = 60.0
_READY = """\
case $(systemctl is-system-running --wait 2>/dev/null) in running | degraded) ;; *) exit 1 ;; esac
test ! -e /run/nologin"""


@dataclass(frozen=True)
class LabHost:
    """A host by its container's name: SSH is 127.0.0.1:`port`; `address` is on the lab's net."""

    name: str
    port: int
    address: str
    options: Options
    user: str = USER

    def ssh(
        self, command: str, *, check: bool = True, timeout_s: float = 120.0, data: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run *command* as the host's user, over SSH."""
        argv = [*self.ssh_argv(), command]
        done = subprocess.run(
            argv, input=data, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check and done.returncode:
            raise LabError(f"{self.name}: {command}: exit {done.returncode}: {done.stderr.strip()}")
        return done

    def ssh_argv(self) -> list[str]:
        """What logs in to the host; a command can follow."""
        known = HOME / "hosts" / self.name / "known_hosts"
        options = {"UserKnownHostsFile": known, "StrictHostKeyChecking": "yes", "BatchMode": "yes"}
        flags = [f"-o{name}={value}" for name, value in options.items()]
        return ["ssh", "-i", str(key()), "-p", str(self.port), *flags, f"{self.user}@{ADDRESS}"]

    def docker_exec(self, command: str, *, check: bool = True, timeout_s: float = 300.0) -> str:
        """What *command* prints, run by root on the host, not over SSH."""
        return docker("exec", self.name, "sh", "-c", command, check=check, timeout_s=timeout_s)

    def write(self, path: str, text: str) -> None:
        """Put *text* at *path*, as root."""
        argv = ["exec", "-i", self.name, "sh", "-c", f"cat > {shlex.quote(path)}"]
        docker(*argv, data=text.encode())

    def host_keys(self) -> tuple[str, ...]:
        """Its public host keys, read not over SSH."""
        lines = self.docker_exec("cat /etc/ssh/ssh_host_*_key.pub").splitlines()
        return tuple(sorted(" ".join(line.split()[:2]) for line in lines))

    def wait(self, patience_s: float = BOOT_S) -> None:
        """Until its services are up and its user can log in.

        Raises:
            LabError: that took longer than *patience_s*.
        """
        self._until(self._ready, patience_s, "does not come up")
        self._pin()

    def _ready(self) -> bool:
        probe = ["docker", "exec", self.name, "sh", "-c", _READY]
        try:
            done = subprocess.run(probe, capture_output=True, timeout=BOOT_S, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def _until(self, is_so: Callable[[], bool], patience_s: float, otherwise: str) -> None:
        deadline = time.monotonic() + patience_s
        while not is_so():
            if time.monotonic() > deadline:
                said = docker("logs", "--tail", "20", self.name, check=False)
                raise LabError(f"{self.name} {otherwise} within {patience_s:g} s: {said}")
            time.sleep(0.05)

    def _pin(self) -> None:
        path = HOME / "hosts" / self.name / "known_hosts"
        path.write_text("".join(f"[{ADDRESS}]:{self.port} {key}\n" for key in self.host_keys()))

    def boot_id(self) -> str:
        """New at each start."""
        return self.docker_exec("cat /proc/sys/kernel/random/boot_id")

    def reboot(self) -> None:
        """As ``systemctl reboot`` does it; up again when this returns."""
        before = self._started()
        self.docker_exec("systemctl --no-block reboot")
        # Not asked by `docker exec`: systemd waits 10 s for processes that are not its children.
        self._until(lambda: self._started() != before, BOOT_S, "does not reboot")
        self.wait()

    def _started(self) -> str:
        return docker("inspect", "--format", "{{.State.StartedAt}}", self.name)

    def kill(self) -> None:
        """Cut its power."""
        docker("kill", self.name)

    def start(self) -> None:
        """Switch it on again; up when this returns."""
        docker("start", self.name)
        self.wait()

    def cut(self) -> None:
        """Drop its SSH connections at once; new ones can be made."""
        self.docker_exec("for p in $(pgrep -f '^sshd: [^/]'); do kill -9 $p; done", check=False)

    def freeze(self) -> None:
        """Let it fall silent, connections open."""
        docker("pause", self.name)

    def thaw(self) -> None:
        """Let it go on."""
        docker("unpause", self.name)

    def fill_disk(self, folder: str, *, leave_mib: int = 1) -> None:
        """Fill a small disk (`Options.small`) but for *leave_mib*."""
        free = int(self.docker_exec(f"df --output=avail -m {folder} | tail -1"))
        if free > 8192:
            raise LabError(f"{folder} of {self.name} is too big to be filled: {free} MiB")
        self.docker_exec(f"fallocate -l {max(1, free - leave_mib)}M {folder}/filler")

    @property
    def private_key(self) -> str:
        """The text of the private key that its user takes."""
        return key().read_text()

    @property
    def key_file(self) -> Path:
        """Where that key lies."""
        return key()

    @property
    def workdir(self) -> str:
        """The folder there that llm-dyno would work in."""
        return f"/home/{self.user}/llm-dyno"

    def stack_host(self, **changes: Any) -> HostOutput:
        """What a stack would tell of this host, with *changes*."""
        told = HostOutput(
            name=self.name,
            roles=("serve", "load"),
            address=ADDRESS,
            port=self.port,
            user=self.user,
            host_keys=self.host_keys(),
            workdir=self.workdir,
        )
        return replace(told, **changes)

    def as_json(self) -> dict[str, Any]:
        """What ``python -m tests.lab up --json`` prints of it."""
        return {
            "name": self.name,
            "ssh_host": ADDRESS,
            "ssh_port": self.port,
            "user": self.user,
            "key_file": str(key()),
            "address": self.address,
            "host_keys": list(self.host_keys()),
        }

    def preset(self) -> str:
        """A stack of it, as stacks/presets/*.yaml has one."""
        keys = "".join(f"  - {key}\n" for key in self.host_keys())
        return (
            f"# The lab's host {self.name}.\ncloud: existing\naddress: {ADDRESS}\n"
            f"port: {self.port}\nuser: {self.user}\nworkdir: {self.workdir}\n"
            f"ssh_private_key_file: {key()}\nhost_keys:\n{keys}"
        )

    def note(self) -> str:
        """How to log in, as a line."""
        return shlex.join(self.ssh_argv())
