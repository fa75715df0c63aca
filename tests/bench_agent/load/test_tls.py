"""Tests of TLS by hand, against the real one."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from bench_agent import stamps
from bench_agent.load.plan import LoadError
from bench_agent.load.tls import TlsError, TlsSocket, context
from tests.bench_agent.serving import serving
from tests.bench_agent.tls_both_ends import (
    READ,
    Papers,
    Script,
    begun,
    connected,
    fill,
    make_papers,
    receive,
    secured,
    send_all,
    shake,
    wait,
)


def echo(sock: socket.socket) -> None:
    """Say what is said, until the end."""
    while data := sock.recv(READ):
        sock.sendall(data)


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return make_papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture
def trusting(papers: Papers) -> ssl.SSLContext:
    return context(str(papers.authority))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_is_said_comes_back(
    papers: Papers, trusting: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    """In either version, by name and by address."""
    server = papers.server()
    server.minimum_version = server.maximum_version = version
    for name in ("localhost", "127.0.0.1"):
        with (
            serving(secured(server, echo)) as port,
            connected(port, trusting, name) as secure,
        ):
            send_all(secure, b"hello")

            assert b"hello" == receive(secure, 5)


def test_the_stamp_is_that_of_the_ciphertext(papers: Papers, trusting: ssl.SSLContext) -> None:
    """The kernel's, of the arrival: however late it is read."""
    sent: list[int] = []

    def say(sock: ssl.SSLSocket) -> None:
        sock.recv(1)
        sock.sendall(b"token")
        sent.append(time.time_ns())
        sock.recv(1)

    with (
        serving(secured(papers.server(), say)) as port,
        connected(port, trusting) as secure,
    ):
        send_all(secure, b"?")
        while True:
            wait(secure)
            with suppress(BlockingIOError):  # tickets
                before = time.time_ns()
                data, ancillary, _flags, _address = secure.recvmsg(READ, stamps.ANCILLARY)
                break

    level, kind, raw = ancillary[0]
    assert (b"token", socket.SOL_SOCKET, stamps.SO_TIMESTAMPNS) == (data, level, kind)
    assert sent[0] - 1_000_000_000 < stamps.decode(raw) <= before


def test_a_stranger_is_refused(papers: Papers) -> None:
    """With what is missing, and what to do."""
    with (
        serving(secured(papers.server(), echo)) as port,
        begun(port, context()) as secure,
        pytest.raises(TlsError, match=r"of 127\.0\.0\.1 is not trusted \(.+\)\. Name .* ca_file"),
    ):
        shake(secure)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_another_name_is_refused(papers: Papers, trusting: ssl.SSLContext, name: str) -> None:
    """Even if the authority is trusted."""
    with (
        serving(secured(papers.server(papers.other), echo)) as port,
        begun(port, trusting, name) as secure,
        pytest.raises(TlsError, match=f"not one for {name}"),
    ):
        shake(secure)


def test_anybody_is_accepted_when_told_so(papers: Papers) -> None:
    """Neither authority nor name are looked at."""
    with (
        serving(secured(papers.server(papers.other), echo)) as port,
        connected(port, context(insecure=True)) as secure,
    ):
        send_all(secure, b"hello")

        assert b"hello" == receive(secure, 5)


def test_a_server_may_be_trusted_by_its_own_certificate(papers: Papers) -> None:
    """As one does with a self-made one; the same on every Python."""
    with (
        serving(secured(papers.server(), echo)) as port,
        connected(port, context(str(papers.good))) as secure,
    ):
        send_all(secure, b"hello")

        assert b"hello" == receive(secure, 5)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_without_certificates_is_told(tmp_path: Path, content: bytes | None) -> None:
    """By its name."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LoadError, match=r"ca\.pem.*Give a PEM file"):
        context(str(path))


def test_a_peer_that_reads_late_blocks_and_loses_nothing(
    papers: Papers, trusting: ssl.SSLContext
) -> None:
    """Sending stops while the way is full; each byte arrives, once and in order."""
    data = b"".join(struct.pack("I", number) for number in range(300_000))
    go, got = threading.Event(), bytearray()

    def slow(sock: ssl.SSLSocket) -> None:
        go.wait(10)
        while len(got) < len(data) and (more := sock.recv(READ)):
            got.extend(more)
        sock.sendall(b"thanks")

    with (
        serving(secured(papers.server(), slow)) as port,
        connected(port, trusting) as secure,
    ):
        secure.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
        taken = fill(secure, data)
        go.set()
        send_all(secure, data[taken:])
        answer = receive(secure, 6)

    assert (True, b"thanks") == (0 < taken < len(data), answer)
    assert data == bytes(got)


def test_waiting_bytes_go_with_a_send_of_nothing(papers: Papers, trusting: ssl.SSLContext) -> None:
    """So a caller whose bytes are all taken can still push."""
    go, got = threading.Event(), bytearray()

    def slow(sock: ssl.SSLSocket) -> None:
        go.wait(10)
        while more := sock.recv(READ):
            got.extend(more)

    server = papers.server()
    server.num_tickets = 0  # a socket that is closed with unread bytes resets the connection
    with serving(secured(server, slow)) as port, connected(port, trusting) as secure:
        secure.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
        taken = fill(secure, bytes(2_000_000))
        go.set()
        send_all(secure, b"")
        secure.close()

    assert taken == len(got)


def test_several_records_of_one_read_come_together(
    papers: Papers, trusting: ssl.SSLContext
) -> None:
    """Nothing is left behind that no event would tell of."""
    expected = b"a" * 20_000 + b"bc"

    def say(sock: ssl.SSLSocket) -> None:
        sock.recv(1)
        for piece in (b"a" * 20_000, b"b", b"c"):
            sock.sendall(piece)
        sock.recv(1)

    server = papers.server()
    server.num_tickets = 0
    with serving(secured(server, say)) as port, connected(port, trusting) as secure:
        send_all(secure, b"?")
        deadline = time.monotonic() + 10
        there = 0
        while there <= len(expected) + 3 * 22 and time.monotonic() < deadline:  # four records
            wait(secure)
            there = len(secure._sock.recv(READ, socket.MSG_PEEK))

        assert expected == secure.recvmsg(READ)[0]


def test_a_record_of_several_reads_comes_with_the_last(
    papers: Papers, trusting: ssl.SSLContext
) -> None:
    """Until then there is nothing."""

    def say(sock: ssl.SSLSocket) -> None:
        sock.recv(1)
        sock.sendall(b"x" * 100)
        sock.recv(1)

    nothing = 0
    with serving(secured(papers.server(), say)) as port, connected(port, trusting) as secure:
        send_all(secure, b"?")
        while True:
            wait(secure)
            try:
                data = secure.recvmsg(10)[0]
                break
            except BlockingIOError:
                nothing += 1

    assert (b"x" * 100, True) == (data, nothing >= 10)


def test_tickets_after_the_handshake_are_nothing(papers: Papers, trusting: ssl.SSLContext) -> None:
    """An idle connection that gets one has not been spoken to."""
    with serving(secured(papers.server(), echo)) as port, connected(port, trusting) as secure:
        wait(secure)
        with pytest.raises(BlockingIOError):
            secure.recvmsg(READ)
        send_all(secure, b"hello")

        assert b"hello" == receive(secure, 5)


def say_and_leave(how: str) -> Script:
    """A server that ends the connection in one of several ways."""

    def play(sock: ssl.SSLSocket) -> None:
        sock.recv(1)
        sock.sendall(b"bye")
        if how == "farewell":
            sock.unwrap().close()
        elif how == "garbage":
            os.write(sock.fileno(), b"this is no record of TLS")
            sock.recv(1)
        elif how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.recv(1)
            sock.close()

    return play


@pytest.mark.parametrize("how", ["farewell", "cut"])
def test_the_end_is_empty(papers: Papers, trusting: ssl.SSLContext, how: str) -> None:
    """With and without a farewell, after what was said before it; and it stays the end."""
    with (
        serving(secured(papers.server(), say_and_leave(how))) as port,
        connected(port, trusting) as secure,
    ):
        send_all(secure, b"?")
        said = receive(secure, 3)
        secure.send(b"!")
        ends = [receive(secure, 1), secure.recvmsg(READ)[0]]

    assert (b"bye", [b"", b""]) == (said, ends)


@pytest.mark.parametrize(("how", "error"), [("reset", ConnectionResetError), ("garbage", TlsError)])
def test_a_broken_connection_is_an_error(
    papers: Papers, trusting: ssl.SSLContext, how: str, error: type[OSError]
) -> None:
    """Which it is can be told apart."""
    with (
        serving(secured(papers.server(), say_and_leave(how))) as port,
        connected(port, trusting) as secure,
    ):
        send_all(secure, b"?")
        with pytest.raises(error):  # noqa: PT012 - what was said may come with the garbage
            assert b"bye" == receive(secure, 3)
            send_all(secure, b"!")
            receive(secure, 1)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", r"broke \(.+\)\. Does it speak https"),
        (b"", "closed the connection in the TLS handshake"),
    ],
)
def test_a_server_without_tls_is_told(
    trusting: ssl.SSLContext, reply: bytes, sentence: str
) -> None:
    """It answers in the clear, or hangs up."""

    def plain(sock: socket.socket) -> None:
        sock.recv(READ)
        sock.sendall(reply)

    with (
        serving(plain) as port,
        begun(port, trusting) as secure,
        pytest.raises(TlsError, match=sentence) as caught,
    ):
        shake(secure)

    assert str(caught.value) == caught.value.strerror


def test_closing_says_farewell(papers: Papers, trusting: ssl.SSLContext) -> None:
    """So that a server need not call it an error."""
    ends: list[object] = []

    def listen(sock: ssl.SSLSocket) -> None:
        try:
            ends.append(sock.recv(1))
        except OSError as error:
            ends.append(error)

    with serving(secured(papers.server(), listen)) as port, connected(port, trusting) as secure:
        secure.close()

    assert [b""] == ends


def test_a_handshake_waits_for_room_to_send(papers: Papers, trusting: ssl.SSLContext) -> None:
    """As it has to while the connection does not stand yet."""

    class Full(socket.socket):
        full = True

        def send(self, data: object, flags: int = 0) -> int:
            if self.full:
                raise BlockingIOError
            return super().send(data, flags)  # type: ignore[arg-type]  # any buffer

    with serving(secured(papers.server(), echo)) as port:
        sock = Full()
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        secure = TlsSocket(sock, trusting, "localhost")
        before = (secure.handshake(), secure.pending)
        sock.full = False
        shake(secure)
        send_all(secure, b"hello")
        said = receive(secure, 5)
        secure.close()

    assert ((False, True), b"hello") == (before, said)


def test_socket_options_are_those_of_the_socket(trusting: ssl.SSLContext) -> None:
    """A caller need not know which it has."""
    sock = socket.socket()
    secure = TlsSocket(sock, trusting, "localhost")
    secure.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    assert 1 == secure.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.fileno() == secure.fileno()
    secure.close()
