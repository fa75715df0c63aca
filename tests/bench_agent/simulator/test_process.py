"""Tests of the simulator as a process."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator

import pytest

from bench_agent.fetch import get
from bench_agent.simulator.options import Options
from bench_agent.simulator.process import start_simulator
from bench_agent.simulator.server import listen

NOFILE = resource.RLIMIT_NOFILE


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    """This process, and what it starts, may have few of them; the number that it could have."""
    soft, hard = resource.getrlimit(NOFILE)
    resource.setrlimit(NOFILE, (min(soft, 256), hard))
    yield hard
    resource.setrlimit(NOFILE, (soft, hard))


def test_it_serves_until_it_is_stopped() -> None:
    """Then nobody listens any more."""
    listener = listen("127.0.0.1", 0)
    address = listener.getsockname()
    stop = start_simulator(Options(), listener)
    url = f"http://127.0.0.1:{address[1]}"
    status = get(url, "/health", timeout_s=10.0)[0]
    stop()

    assert 200 == status
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


@pytest.mark.integration
def test_it_holds_as_many_connections_as_the_system_lets(few_descriptors: int) -> None:
    """More than a process may usually have."""
    count = 600
    assert count * 2 < few_descriptors
    listener = listen("127.0.0.1", 0)
    address = listener.getsockname()
    stop = start_simulator(Options(), listener)
    resource.setrlimit(NOFILE, (few_descriptors, few_descriptors))
    socks = []
    try:
        socks = [socket.create_connection(address, timeout=10.0) for _ in range(count)]
        for sock in socks:
            sock.send(b"GET /health HTTP/1.1\r\n\r\n")
        answers = [sock.recv(15) for sock in socks]
    finally:
        for sock in socks:
            sock.close()
        stop()

    assert [b"HTTP/1.1 200 OK"] * count == answers
