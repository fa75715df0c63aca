"""Reaching a host by hand, with the keys that the stack pinned."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fabfile.tasks import require_stack, task
from provisioning import stack as stacks
from provisioning.errors import DynoError, RemoteError, StackError, UsageError
from provisioning.remote import SSH_PORT, SshRemote
from stacks.outputs import HostOutput, StackOutputs

_ENGINE_PORT = r"""
for pid in "$1"/engines/*/pid; do
  [ -f "$pid" ] && (read -r p started boot port <"$pid"; kill -0 "$p" 2>/dev/null && echo "$port")
done | tail -n 1
"""


@task(help={"command": "Run this instead of a shell."})
def ssh(c: Any, stack: str | None = None, command: str | None = None) -> None:
    """Open a shell on the host; only its pinned key is accepted."""
    del c
    outputs = _with_host(require_stack(stack))
    program = shutil.which("ssh")
    if program is None:
        raise UsageError("There is no ssh program on PATH.", "Install OpenSSH's client.")
    with _files(outputs) as options:
        argv = [program, *options, outputs.hosts[0].address, *([command] if command else [])]
        sys.exit(subprocess.run(argv, check=False).returncode)


@task(
    help={
        "port": "The port here; by default the same as there.",
        "remote-port": "The port on the host's loopback; by default that of the running engine.",
    }
)
def tunnel(
    c: Any, stack: str | None = None, port: int | None = None, remote_port: int | None = None
) -> None:
    """Make a port of the host (the engine's) reachable on this machine until Ctrl-C."""
    del c
    outputs = _with_host(require_stack(stack))
    remote = SshRemote(outputs.hosts[0], outputs.ssh_private_key)
    try:
        there = remote_port or _engine_port(remote, outputs.hosts[0])
        here = port or there
        with _forwarded(remote, here, there):
            print(f"http://127.0.0.1:{here} is port {there} of {remote.name}. Ctrl-C ends it.")
            threading.Event().wait()
    except KeyboardInterrupt:
        print("\nClosed.")
    finally:
        remote.close()


@contextmanager
def _forwarded(remote: SshRemote, here: int, there: int) -> Iterator[None]:
    try:
        with remote.forward(here, there):
            yield
    except DynoError:
        raise
    except Exception as error:  # noqa: BLE001 - fabric re-raises whatever its thread met
        raise UsageError(
            f"Port {here} cannot be used on this machine: {error}.", "Choose another with --port."
        ) from None


def _engine_port(remote: SshRemote, host: HostOutput) -> int:
    from provisioning.command import quote  # noqa: PLC0415 - beside its only use

    done = remote.run(quote("sh", "-c", _ENGINE_PORT, "sh", host.workdir), timeout_s=30)
    if not done.stdout.strip().isdigit():
        raise RemoteError(
            "No engine runs on the host.",
            "Say --remote-port, or `fab bench` first.",
            phase="connect",
            host=remote.name,
        )
    return int(done.stdout)


def _with_host(stack: str) -> StackOutputs:
    outputs = stacks.load(stack)
    if not outputs.hosts:
        raise StackError(f"The stack {stack} has no host to log in to.", "It is URLs only.")
    return outputs


@contextmanager
def _files(outputs: StackOutputs) -> Iterator[list[str]]:
    """Options for OpenSSH, its files in a folder of their own for as long as it runs."""
    host = outputs.hosts[0]
    name = host.address if host.port == SSH_PORT else f"[{host.address}]:{host.port}"
    with tempfile.TemporaryDirectory(prefix="llm-dyno-") as folder:  # 0700
        known = Path(folder) / "known_hosts"
        known.write_text("".join(f"{name} {key}\n" for key in host.host_keys))
        options = {
            "UserKnownHostsFile": str(known),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "Port": str(host.port),
            "User": host.user,
        }
        if host.identity_file:
            options |= {"IdentityFile": host.identity_file, "IdentitiesOnly": "yes"}
        elif outputs.ssh_private_key:
            key = Path(folder) / "key"
            key.touch(0o600)
            key.write_text(outputs.ssh_private_key.rstrip("\n") + "\n")
            options |= {"IdentityFile": str(key), "IdentitiesOnly": "yes", "IdentityAgent": "none"}
        yield ["-F", "/dev/null", *(f"-o{name}={value}" for name, value in options.items())]
