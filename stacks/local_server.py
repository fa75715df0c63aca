"""The SSH server of a local host: ``python -m stacks.local_server FOLDER``, its keys on stdin.

It answers ``{"port": …}`` or ``{"error": …}`` on stdout once, and is a daemon from then on. It
listens on 127.0.0.1, lets one user in with one key, and ends itself at expiry, when its folder
is gone, or at SIGTERM; what was started under it ends first.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import datetime as dt
import errno
import json
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks import local_process as processes

ADDRESS = "127.0.0.1"
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_EVERY_S = 1.0
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Orders:
    """What the server is told on standard input."""

    host_id: str
    user: str
    port: int
    expires_at: str
    host_private_key: str
    authorized_key: str


def main() -> None:
    """Read the orders, leave the caller, serve."""
    folder, orders = Path(sys.argv[1]), Orders(**json.load(sys.stdin))
    if os.fork():
        os._exit(0)  # the caller waits for its child, not for the daemon
    os.umask(0o077)
    os.chdir(folder)
    # Whatever loses its parent below becomes ours: so it is found, however it detached itself.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    asyncio.run(_serve(folder, orders))


async def _serve(folder: Path, orders: Orders) -> None:
    from stacks import local_login  # noqa: PLC0415 - asyncssh takes its time; fork came first

    children = local_login.Children(folder / "work", orders.host_id)
    try:
        listener = await local_login.listen(
            ADDRESS,
            orders.port,
            children,
            user=orders.user,
            authorized_key=orders.authorized_key,
            host_key=orders.host_private_key,
        )
    except OSError as error:
        _answer({"error": _why(error, orders.port)})
        return
    _record(folder, orders, listener.get_port())
    _answer({"port": listener.get_port()})
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await _until_over(folder, orders, over)
    listener.close()
    stop_all(orders.host_id)


async def _until_over(folder: Path, orders: Orders, over: asyncio.Event) -> None:
    ends = dt.datetime.fromisoformat(orders.expires_at).timestamp()
    while not over.is_set() and _clock() < ends and is_own(folder, orders.host_id):
        # Short looks at the wall clock: a sleep would not notice a suspended machine.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), min(_LOOK_EVERY_S, max(ends - _clock(), 0.0)))


def is_own(folder: Path, host_id: str) -> bool:
    """Whether *folder* is still that of this host."""
    try:
        return bool(json.loads((folder / "host.json").read_text())["host_id"] == host_id)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def stop_all(host_id: str) -> None:
    """Stop everything that was started under this process."""
    own = os.getpid()
    processes.stop(lambda: processes.below(own) | processes.marked(host_id), _PATIENCE_S)


def _clock() -> float:
    return dt.datetime.now(dt.timezone.utc).timestamp()


def _record(folder: Path, orders: Orders, port: int) -> None:
    own = processes.identify(os.getpid())
    assert own is not None  # noqa: S101 - we run
    record = {
        "schema": 1,
        "host_id": orders.host_id,
        "pid": own.pid,
        "pid_started": own.started,
        "boot_id": own.boot_id,
        "port": port,
        "expires_at": orders.expires_at,
    }
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix="host.", delete=False) as file:
        json.dump(record, file)
    os.replace(file.name, folder / "host.json")  # noqa: PTH105 - a name, not a Path


def _answer(answer: dict[str, Any]) -> None:
    """Tell the caller, then let go of its pipes; the log is where stderr goes already."""
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)


def _why(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {ADDRESS} is in use by another program. Choose another one with "
            "`pulumi config set port N`, or 0 for any."
        )
    return f"The SSH server could not listen on {ADDRESS}:{port}: {os.strerror(error.errno or 0)}."


if __name__ == "__main__":
    main()
