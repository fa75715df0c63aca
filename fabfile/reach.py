"""Reaching a host by hand, with the keys that the stack pinned."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fabfile.tasks import require_stack, task
from provisioning import stack as stacks
from provisioning.command import quote
from provisioning.errors import RemoteError, StackError, UsageError
from provisioning.remote import SSH_PORT, SshRemote
from stacks.outputs import StackOutputs

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
    sys.exit(_openssh(outputs, *([command] if command else [])))


@task(
    help={
        "port": "The port here; by default the same as there.",
        "remote-port": "The port on the host's loopback; by default that of the running engine.",
    }
)
def tunnel(
    c: Any, stack: str | None = None, port: str | None = None, remote_port: str | None = None
) -> None:
    """Make a port of the host (the engine's) reachable on this machine until Ctrl-C."""
    del c
    name = require_stack(stack)
    given = [_port(text, flag) for text, flag in ((remote_port, "remote-port"), (port, "port"))]
    outputs = _with_host(name)
    there = given[0] or _engine_port(outputs)
    here = given[1] or there
    _require_free(here)
    name = outputs.hosts[0].name
    print(f"http://127.0.0.1:{here} is port {there} of {name}. Ctrl-C ends it.", flush=True)
    forward = f"127.0.0.1:{here}:127.0.0.1:{there}"
    try:
        code = _openssh(outputs, before=("-N", "-oExitOnForwardFailure=yes", "-L", forward))
    except KeyboardInterrupt:
        print("\nClosed.")
        return
    raise RemoteError(f"The tunnel to {name} ended by itself (ssh: {code}).", "Try again.")


def _openssh(outputs: StackOutputs, *command: str, before: Sequence[str] = ()) -> int:
    program = shutil.which("ssh")
    if program is None:
        raise UsageError("There is no ssh program on PATH.", "Install OpenSSH's client.")
    with _files(outputs) as options:
        argv = [program, *options, *before, outputs.hosts[0].address, *command]
        return subprocess.run(argv, check=False).returncode


def _port(text: str | None, flag: str) -> int | None:
    """The number of a port; invoke hands out text where no default tells the type."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise UsageError(f"--{flag} is {text!r}, which is no port.", "Give a number up to 65535.")


def _require_free(port: int) -> None:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError as error:
        raise UsageError(
            f"Port {port} cannot be used on this machine: {str(error.strerror).lower()}.",
            "Choose another with --port.",
        ) from None


def _engine_port(outputs: StackOutputs) -> int:
    host = outputs.hosts[0]
    remote = SshRemote(host, outputs.ssh_private_key)
    try:
        done = remote.run(quote("sh", "-c", _ENGINE_PORT, "sh", host.workdir), timeout_s=30)
    finally:
        remote.close()
    if not done.stdout.strip().isdigit():
        raise RemoteError(
            "No engine runs on the host.",
            "Say --remote-port, or `fab bench` first.",
            host=host.name,
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
