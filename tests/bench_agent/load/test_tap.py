"""Tests of the tap, on real connections."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from socket import htons, ntohl, ntohs

import pytest

from bench_agent.load.plan import endpoint
from bench_agent.load.tap import SEGMENT, SYN, Tap, confine, local_ports, open_tap

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listener on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def tap_of(server: socket.socket, ports: tuple[int, int] = (1024, 65535)) -> Tap:
    """A tap of what *server* sends, where this user may have one."""
    found = open_tap(
        [endpoint(f"http://127.0.0.1:{server.getsockname()[1]}", "completions")], ports
    )
    if found is None:
        pytest.skip("needs the right to open a packet socket (root)")
    return found


@contextmanager
def connected(server: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection."""
    with socket.create_connection(server.getsockname()) as ours, server.accept()[0] as theirs:
        theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield ours, theirs


def seen(
    tap: Tap, enough: Callable[[list[tuple[int, ...]]], bool]
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """What it tells until it is *enough*."""
    segments: list[tuple[int, ...]] = []
    endings: list[tuple[int, ...]] = []
    deadline = time.monotonic() + 5.0
    while not enough(segments):
        assert time.monotonic() < deadline
        more, ports, ends = tap.take()
        segments += map(SEGMENT.unpack, more)
        assert [segment[3] for segment in segments[-len(more) :]] == ports or not more
        endings += map(SEGMENT.unpack, ends)
    return segments, endings


def sizes(segments: list[tuple[int, ...]]) -> list[int]:
    """Bytes of payload."""
    return [ntohs(s[2]) - 20 - (s[5] >> 4) * 4 for s in segments]


def test_each_segment_is_told_with_its_time(server: socket.socket) -> None:
    """Its place in the stream, and when it came, though nobody has read it."""
    tap = tap_of(server)
    sent = []
    with connected(server) as (ours, theirs):
        for size in (10, 300, 20):
            sent.append(time.time_ns())
            theirs.send(bytes(size))
            sent.append(time.time_ns())
        segments, _ = seen(tap, lambda found: len(found) == 4)  # the first is the SYN
        mine = {htons(ours.getsockname()[1])}
    tap.close()

    assert [0, 10, 300, 20] == sizes(segments)
    assert mine == {s[3] for s in segments}
    assert [1, 11, 311] == [ntohl(s[4]) - ntohl(segments[0][4]) for s in segments[1:]]
    times = [s[0] * 10**9 + s[1] for s in segments[1:]]
    assert all(sent[2 * n] <= at <= sent[2 * n + 1] for n, at in enumerate(times))


def test_beginnings_and_ends_are_told_apart(server: socket.socket) -> None:
    """The SYN, the last chunk of a reply, [DONE] of one without chunks, and the FIN."""
    tap = tap_of(server)
    with connected(server) as (_ours, theirs):
        for text in (b"data: {}\n\n\r\n", b"0\r\n\r\n", b"x", b"data: [DONE]\n\n"):
            theirs.send(text)
        theirs.shutdown(socket.SHUT_WR)
        segments, endings = seen(tap, lambda found: len(found) == 6)
    tap.close()

    assert [segments[n] for n in (0, 2, 4, 5)] == endings
    assert [True, False, False, False] == [bool(segment[6] & SYN) for segment in endings]


def test_others_are_not_told_of(server: socket.socket) -> None:
    """Neither other servers, nor other ports, nor what we send ourselves."""
    with socket.create_server(("127.0.0.1", 0)) as other, connected(server) as (ours, theirs):
        port = ours.getsockname()[1]
        tap = tap_of(server, (port, port))
        with connected(other) as (_, stranger), connected(server) as (_, second):
            stranger.send(b"stranger")
            second.send(b"second")
            ours.send(b"ours")
            theirs.send(b"theirs")
            segments, _ = seen(tap, bool)
    tap.close()

    assert [6] == sizes(segments)


def test_the_ring_goes_round(server: socket.socket) -> None:
    """More segments than it has room for, in order, when somebody takes them."""
    tap = tap_of(server)
    taken: list[tuple[int, ...]] = []
    with connected(server) as (ours, theirs):
        for _ in range(700):
            _exchange(ours, theirs, 100)
            taken += seen(tap, bool)[0]
        lost = tap.lost()
    tap.close()
    numbers = [ntohl(segment[4]) for segment in taken[1:]]

    assert (0, 70_000) == (lost, len(numbers))
    assert {8} == {(b - a) & 0xFFFFFFFF for a, b in pairwise(numbers)}


def test_what_finds_no_room_is_counted(server: socket.socket) -> None:
    """Nobody looks, and the ring is full: the tap says how much it missed."""
    tap = tap_of(server)
    with connected(server) as (ours, theirs):
        _exchange(ours, theirs, 70_000)
        lost = tap.lost()
        found = len(tap.take()[0])
    tap.close()

    assert (70_001 - 65_536, 65_536) == (lost, found)


def _exchange(ours: socket.socket, theirs: socket.socket, times: int) -> None:
    """Small segments, each read before the next is sent, so that none is joined to another."""
    for _ in range(times):
        theirs.send(b"x" * 8)
        ours.recv(8)


def test_without_the_right_there_is_no_tap(server: socket.socket) -> None:
    """A user like any other does without; nothing is said."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    where = endpoint(f"http://127.0.0.1:{server.getsockname()[1]}", "completions")
    os.seteuid(65534)
    try:
        found = open_tap([where], (1024, 65535))
    finally:
        os.seteuid(0)

    assert found is None


def test_there_is_no_tap_for_tls_and_names_that_are_none() -> None:
    """There the bytes of the stream are not those of the events, or there is no address."""
    urls = ("https://127.0.0.1:1", "http://no.such.name.invalid:1", "http://[::1]:1")
    assert [None] * 3 == [open_tap([endpoint(url, "chat")], (1024, 65535)) for url in urls]


def test_workers_share_the_ports() -> None:
    """Each port belongs to one of them, and a connection begins at one of its own."""
    shares = [local_ports(number, 3) for number in range(3)]
    first, last = shares[1]
    with socket.socket() as sock, socket.create_server(("127.0.0.1", 0)) as server:
        confine(sock, shares[1])
        sock.connect(server.getsockname())
        port = sock.getsockname()[1]

    assert all(a[1] + 1 == b[0] for a, b in pairwise(shares))
    assert first <= port <= last
