"""A host of the cloud `local`: a folder, its keys, and the SSH server that is its power.

::

    <home>/hosts/<name>/      0700
        host.json             whose it is, and the server's process and port (no secrets)
        server.log
        work/                 HOME of what runs there; work/tmp is its TMPDIR

A server that is gone while the folder is there is a host that is switched off: its results are
safe, and `switch_on` starts it again with the same keys. Gone is what has no folder.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stacks import local_process as processes
from stacks.failure import Failure

CHECKOUT = Path(__file__).resolve().parents[1]
SERVER_PATIENCE_S = 20.0
PATIENCE_S = 10.0
_START_TIMEOUT_S = 30.0
_PASSED_ON = ("PATH", "LANG")


@dataclass(frozen=True)
class LocalHost:
    """A host as it was made. The private key is the host's own; nothing of it lies on disk.

    `port` 0: the system picks one. `expires_at` is RFC 3339.
    """

    host_id: str
    folder: Path
    user: str
    port: int
    expires_at: str
    host_private_key: str
    authorized_key: str

    @classmethod
    def from_props(cls, props: Mapping[str, Any]) -> LocalHost:
        """As the state holds it (which knows one kind of number)."""
        names = ("host_id", "user", "expires_at", "host_private_key", "authorized_key")
        texts = {name: props[name] for name in names}
        return cls(folder=Path(props["folder"]), port=int(props["port"]), **texts)

    @property
    def work(self) -> Path:
        """The folder that its commands run in."""
        return self.folder / "work"


def key_pair() -> tuple[str, str]:
    """A fresh ed25519 key: private (OpenSSH format) and public (``ssh-ed25519 AAAA…``)."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private.decode(), public.decode()


def create(host: LocalHost) -> int:
    """Make the folder and switch the host on; returns its port.

    Raises:
        Failure: the folder holds runs of an earlier host, or the server did not start.
    """
    _clear_way(host.folder)
    try:
        host.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        host.folder.mkdir(mode=0o700)
        for folder in (host.work, host.work / "tmp"):
            folder.mkdir(mode=0o700)
        return switch_on(host)
    except OSError as error:
        raise Failure(f"The folder {host.folder} could not be made: {error.strerror}.") from None
    except Failure:
        remove(host.folder, host.host_id)
        raise


def switch_on(host: LocalHost) -> int:
    """Start the server, on the port it had if it can; returns the port.

    Raises:
        Failure: it did not start; the message says why.
    """
    told = {
        "host_id": host.host_id,
        "user": host.user,
        "port": host.port or recorded(host.folder).get("port", 0),
        "expires_at": host.expires_at,
        "host_private_key": host.host_private_key,
        "authorized_key": host.authorized_key,
    }
    answer = _start(host, told)
    if "error" in answer and not host.port and told["port"]:
        answer = _start(host, {**told, "port": 0})  # somebody took the port meanwhile
    if "error" in answer:
        raise Failure(f"{answer['error']}")
    return int(answer["port"])


def state(folder: Path, host_id: str) -> str:
    """``on``, ``off`` (the folder is there, its server is not) or ``gone``."""
    record = recorded(folder)
    if record.get("host_id") != host_id:
        return "gone"
    return "on" if server(folder) else "off"


def recorded(folder: Path) -> dict[str, Any]:
    """host.json, or nothing."""
    try:
        record = json.loads((folder / "host.json").read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def server(folder: Path) -> processes.ProcessId | None:
    """The server of *folder* if it runs: a stale or reused number is not taken for it."""
    record = recorded(folder)
    try:
        process = processes.ProcessId(record["pid"], record["pid_started"], record["boot_id"])
    except KeyError:
        return None
    return process if processes.alive(process) else None


def remove(folder: Path, host_id: str) -> None:
    """Stop the server and all that was started under it, then remove the folder.

    Raises:
        Failure: something is left; the message names it.
    """
    if recorded(folder).get("host_id") == host_id and (process := server(folder)):
        # Its server sees even those that shed their environment; let it stop them first.
        processes.stop(lambda: {process} if processes.alive(process) else set(), SERVER_PATIENCE_S)
    left = processes.stop(lambda: processes.marked(host_id), PATIENCE_S)
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise Failure(f"Processes of {folder.name} do not end: {pids}. End them, then try again.")
    if recorded(folder).get("host_id") in (host_id, None):
        _remove_tree(folder)


def _clear_way(folder: Path) -> None:
    """A folder that no stack knows, left by a creation that was cut short, goes; runs stay."""
    if not folder.exists():
        return
    if any((folder / "work/runs").glob("*")):
        raise Failure(
            f"{folder} holds runs of a host that this stack does not know. Keep what you need of "
            f"{folder / 'work/runs'}, remove {folder}, then run `pulumi up` again."
        )
    remove(folder, str(recorded(folder).get("host_id", "")) or secrets.token_hex(8))


def _start(host: LocalHost, told: dict[str, Any]) -> dict[str, Any]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    log = os.open(host.folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "stacks.local_server", str(host.folder)],
            input=json.dumps(told),
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=CHECKOUT,
            env={**environment, processes.MARKER: host.host_id},
            start_new_session=True,
            text=True,
            check=False,
            timeout=_START_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"The SSH server did not start; see {host.folder / 'server.log'}."}
    finally:
        os.close(log)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return {"error": f"The SSH server did not start: {_last_line(host.folder)}."}
    return dict(answer)


def _last_line(folder: Path) -> str:
    lines = (folder / "server.log").read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _remove_tree(folder: Path) -> None:
    if not folder.exists():
        return
    for path, _, _ in os.walk(folder):
        os.chmod(path, stat.S_IRWXU)  # noqa: PTH101 - a folder without write bits keeps its files
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise Failure(f"{folder} could not be removed: {error}. Remove it by hand.") from None
