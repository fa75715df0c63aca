"""The local stack's own SSH server behind a wire that a test can cut."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh

from stacks.outputs import HostOutput

USER = "tester"
ROOT = Path(__file__).resolve().parents[2]
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset, as a lost link looks


class Wire:
    """A TCP relay on loopback to *port*; `cut` breaks what is open, `down` refuses what comes."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.port: int = self._listener.getsockname()[1]
        self.down = False
        self._over = False
        self._cut = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Break every open connection; returns when that is done."""
        self._cut.set()
        deadline = time.monotonic() + 5
        while self._cut.is_set() and time.monotonic() < deadline:
            time.sleep(0.01)

    def close(self) -> None:
        """End the relay."""
        self._over = True
        self._thread.join(10)
        self._break()
        self._selector.close()
        self._listener.close()

    def _run(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj in self._pairs:
                    self._relay(key.fileobj)  # type: ignore[arg-type]  # a socket, as registered
            if self._cut.is_set():
                self._break()
                self._cut.clear()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        if self.down:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            near.close()
            return
        far = socket.create_connection(("127.0.0.1", self._target))
        self._pairs |= {near: far, far: near}
        for end in (near, far):
            self._selector.register(end, selectors.EVENT_READ)

    def _relay(self, end: socket.socket) -> None:
        data = b""
        with suppress(OSError):
            data = end.recv(65536)
        if data:
            with suppress(OSError):
                self._pairs[end].sendall(data)
        else:
            self._forget(end)

    def _forget(self, end: socket.socket) -> None:
        other = self._pairs.pop(end)
        self._pairs.pop(other)
        for one in (end, other):
            self._selector.unregister(one)
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            one.close()

    def _break(self) -> None:
        while self._pairs:
            self._forget(next(iter(self._pairs)))


@dataclass
class Server:
    """A running server and what a test needs to talk to it, or to break it."""

    wire: Wire
    workdir: Path
    pid: int
    host_key: str
    private_key: str

    def output(self, **changes: Any) -> HostOutput:
        """The host as a stack would describe it."""
        values: dict[str, Any] = {
            "name": "test-host",
            "roles": ("serve", "load"),
            "address": "127.0.0.1",
            "port": self.wire.port,
            "user": USER,
            "host_keys": (self.host_key,),
            "workdir": str(self.workdir),
        }
        return HostOutput(**(values | changes))


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """A server on loopback whose commands run in *folder*; all it started ends with it."""
    (folder / "work").mkdir(parents=True)
    (folder / "tmp").mkdir()
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    user_key = asyncssh.generate_private_key("ssh-ed25519")
    orders = {
        "host_id": os.urandom(8).hex(),
        "user": USER,
        "port": 0,
        "expires_at": (datetime.now(UTC) + timedelta(minutes=15)).isoformat(),
        "host_private_key": host_key.export_private_key().decode(),
        "authorized_key": user_key.export_public_key().decode(),
    }
    with (folder / "sshd.log").open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-m", "stacks.local_server", str(folder)],
            input=json.dumps(orders).encode(), stdout=subprocess.PIPE, stderr=log,
            cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=30,
        )  # fmt: skip
    port = json.loads(done.stdout)["port"]
    record = json.loads((folder / "host.json").read_text())
    wire = Wire(port)
    try:
        yield Server(
            wire,
            folder / "work",
            record["pid"],
            host_key.export_public_key().decode().strip(),
            user_key.export_private_key().decode(),
        )
    finally:
        wire.close()
        stop(record["pid"])


def stop(pid: int) -> None:
    """End a server and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()
