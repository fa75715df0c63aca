"""A host on this machine, and engines on it that are gone after the test."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from provisioning.command import Secret
from provisioning.engines.base import API_KEY, PORT, ProcessSpec
from provisioning.host import Host
from provisioning.remote import LocalRemote, SshRemote
from provisioning.site import Site
from tests.provisioning.sshd import Server, serve

KEY = "k3y-that-nobody-sees-0123456789"
FAKE = str(Path(__file__).parent / "fake_server.py")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host with a blank in its path; what was started is killed, by its recorded group."""
    workdir = tmp_path / "w x"
    yield Host(LocalRemote(tmp_path), str(workdir), who="me")
    for pid in workdir.glob("engines/*/pid"):
        with suppress(ProcessLookupError, ValueError):
            os.killpg(int(pid.read_text().split()[0]), signal.SIGKILL)


@pytest.fixture
def fake() -> Callable[..., ProcessSpec]:
    """Specs of the fake server."""

    def spec(mode: str = "serve", **changes: Any) -> ProcessSpec:
        values: dict[str, Any] = {
            "engine": "fake",
            "model": "m",
            "argv": (sys.executable, FAKE, PORT, mode),
            "secret_env": {API_KEY: Secret(KEY)},
            "ready_path": "/v1/models",
            "stop_grace_s": 5.0,
        }
        return ProcessSpec(**(values | changes))

    return spec


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An SSH server, for all tests of a module that ask for it."""
    with serve(tmp_path_factory.mktemp("host") / "h") as running:
        yield running


@pytest.fixture
def site(server: Server) -> Iterator[Site]:
    """Where runs take place behind that server."""
    remote = SshRemote(server.output(), server.private_key)
    yield Site("local", remote, str(server.workdir))
    remote.close()


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def unused_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port
