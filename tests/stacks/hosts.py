"""Local hosts for tests: made in a temporary folder, removed at the end, spoken to over SSH."""

from __future__ import annotations

import datetime as dt
import io
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import paramiko

from stacks import local_host

T = TypeVar("T")
USER = "tester"


@dataclass(frozen=True)
class Running:
    """A host that is on, and the key that opens it."""

    host: local_host.LocalHost
    port: int
    host_key: str
    private_key: str


@contextmanager
def running(folder: Path, *, lasts_s: float = 600, port: int = 0) -> Iterator[Running]:
    """A host in *folder* that is gone in the end, whatever happens."""
    host_private, host_public = local_host.key_pair()
    user_private, user_public = local_host.key_pair()
    ends = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=lasts_s)
    host = local_host.LocalHost(
        secrets.token_hex(16), folder, USER, port, ends.isoformat(), host_private, user_public
    )
    try:
        yield Running(host, local_host.create(host), host_public, user_private)
    finally:
        local_host.remove(folder, host.host_id)


@contextmanager
def connected(port: int, private_key: str, user: str = USER) -> Iterator[paramiko.Transport]:
    """A login with that key."""
    transport = paramiko.Transport(("127.0.0.1", port))
    try:
        key = paramiko.Ed25519Key.from_private_key(io.StringIO(private_key))
        transport.connect(username=user, pkey=key)
        yield transport
    finally:
        transport.close()


def run(transport: paramiko.Transport, command: str, stdin: bytes = b"") -> tuple[int, bytes]:
    """Exit code and stdout of one command."""
    with transport.open_session() as channel:
        channel.exec_command(command)
        if stdin:
            channel.sendall(stdin)
        channel.shutdown_write()
        output = b"".join(iter(lambda: channel.recv(65536), b""))
        return channel.recv_exit_status(), output


def wait_for(look: Callable[[], T], timeout_s: float = 10.0) -> T:
    """What *look* finds, as soon as it is something; its last answer at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found
