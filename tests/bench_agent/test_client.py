"""Tests of the client for everything that is not load."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from bench_agent import client as module
from bench_agent.client import Client, FetchError, StoppedError
from bench_agent.fetch import get
from tests.bench_agent.serving import requests, serving, url
from tests.bench_agent.tls_both_ends import Papers, make_papers, secured

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return make_papers(tmp_path_factory.mktemp("papers"))


def saying(reply: bytes, *, times: int = 1000) -> Callable[[socket.socket], None]:
    """Answers each request with *reply*, and hangs up after so many."""

    def script(sock: socket.socket) -> None:
        for number, _request in enumerate(requests(sock), 1):
            sock.sendall(reply)
            if number == times:
                return

    return script


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (OK, (200, b"ok")),
        (CHUNKED, (200, b"ok")),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"ok")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone", (404, b"gone")),
        (
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            (302, b""),
        ),
    ],
)
def test_an_answer_is_status_and_body(reply: bytes, expected: tuple[int, bytes]) -> None:
    """In every framing, whatever the status; a redirect is an answer like any other."""
    with serving(saying(reply)) as port, closing(Client(url(port), timeout_s=5)) as client:
        assert [expected, expected] == [client.request("GET", "/") for _ in range(2)]


def test_an_answer_may_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small."""
    monkeypatch.setattr(module, "_READ", 1)
    with serving(saying(CHUNKED)) as port, closing(Client(url(port))) as client:
        assert (200, b"ok") == client.request("GET", "/")


def test_an_answer_may_end_with_the_connection() -> None:
    """As HTTP/1.0 servers do it."""
    with (
        serving(saying(b"HTTP/1.0 200 OK\r\n\r\nok", times=1)) as port,
        closing(Client(url(port))) as client,
    ):
        assert [(200, b"ok")] * 2 == [client.request("GET", "/") for _ in range(2)]


def test_a_request_bears_its_json_and_the_key() -> None:
    """Below the path of the base URL; the head of a GET announces no body."""
    seen: list[bytes] = []

    def script(sock: socket.socket) -> None:
        for request in requests(sock):
            seen.append(request)
            sock.sendall(OK)

    with serving(script) as port:
        base = f"{url(port)}/a"
        with closing(Client(base, key="sesame")) as client:
            client.request("POST", "/tokenize", {"prompt": "é"})
        with closing(Client(base)) as client:
            client.request("GET", "/metrics")

    body = b'{"prompt": "\\u00e9"}'
    host = f"Host: 127.0.0.1:{port}\r\nUser-Agent: bench-agent\r\n".encode()
    assert [
        b"POST /a/tokenize HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\n"
        b"Content-Length: %d\r\nAuthorization: Bearer sesame\r\n\r\n" % len(body) + body,
        b"GET /a/metrics HTTP/1.1\r\n" + host + b"\r\n",
    ] == seen


def test_a_connection_is_kept() -> None:
    """Until the server says that it will close it."""
    connections: list[int] = []

    def script(sock: socket.socket) -> None:
        connections.append(0)
        for _request in requests(sock):
            connections[-1] += 1
            last = b"connection: close\r\n" if connections[-1] == 3 else b""
            sock.sendall(b"HTTP/1.1 200 OK\r\n%bcontent-length: 0\r\n\r\n" % last)

    with serving(script) as port, closing(Client(url(port))) as client:
        for _ in range(4):
            client.request("GET", "/")
        client.close()

    assert [3, 1] == connections[:2]


@pytest.mark.parametrize("linger", [None, struct.pack("ii", 1, 0)])
def test_a_connection_that_went_stale_is_replaced(linger: bytes | None) -> None:
    """Servers close idle ones without a word: closed or reset, the request goes once more."""

    def script(sock: socket.socket) -> None:
        saying(OK, times=1)(sock)
        if linger is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    with serving(script) as port, closing(Client(url(port))) as client:
        assert [(200, b"ok")] * 3 == [client.request("GET", "/") for _ in range(3)]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", "closed before the reply"),
        (b"HTTP/1.1 200 OK\r\n", "closed before the reply"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "closed in the middle of the reply"),
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "not a content length"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "not a chunk size"),
    ],
)
def test_half_an_answer_is_none(reply: bytes, reason: str) -> None:
    """The sentence says from whom, and why."""
    with (
        serving(saying(reply, times=1)) as port,
        closing(Client(url(port))) as client,
        pytest.raises(FetchError, match=f"No answer from {url(port)}: .*{reason}.*\\.$"),
    ):
        client.request("GET", "/")


def test_a_reset_is_told() -> None:
    """Of a connection that never worked; nothing is sent twice."""
    seen: list[bytes] = []

    def script(sock: socket.socket) -> None:
        seen.extend(islice(requests(sock), 1))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with (
        serving(script) as port,
        closing(Client(url(port))) as client,
        pytest.raises(FetchError, match=r"reset by peer\.$"),
    ):
        client.request("GET", "/")

    assert 1 == len(seen)


def test_an_answer_has_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of memory: a page may be a stream without an end."""
    monkeypatch.setattr(module, "_LONGEST", 1000)
    monkeypatch.setattr(module, "_READ", 500)
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000
    with (
        serving(saying(endless)) as port,
        closing(Client(url(port))) as client,
        pytest.raises(FetchError, match="longer than 1000 bytes"),
    ):
        client.request("GET", "/")


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"])
def test_an_answer_has_its_time(reply: bytes) -> None:
    """The whole of it."""
    with (
        serving(saying(reply)) as port,
        closing(Client(url(port), timeout_s=0.1)) as client,
        pytest.raises(FetchError, match=r"not within 0\.1 s\.$"),
    ):
        client.request("GET", "/")


def test_a_connection_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than a reply has: a server that is there takes it at once."""
    monkeypatch.setattr(module, "CONNECT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        ahead = [socket.socket() for _ in range(4)]  # as many as the kernel takes, and more
        for sock in ahead:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        with (
            closing(Client(url(full.getsockname()[1]))) as client,
            pytest.raises(FetchError, match=r": timed out\.$"),
        ):
            client.request("GET", "/")
        for sock in ahead:
            sock.close()


def test_nobody_there_is_told() -> None:
    """With the system's words."""
    with (
        closing(Client("http://127.0.0.1:1")) as client,
        pytest.raises(FetchError, match=r"^No answer from http://127\.0\.0\.1:1: .*refused\.$"),
    ):
        client.request("GET", "/")


@pytest.mark.parametrize("base", ["ftp://h", "http://me:sesame@h"])
def test_a_url_that_is_none_is_told_at_once(base: str) -> None:
    """Before anything is sent."""
    with pytest.raises(FetchError, match="URL"):
        Client(base)


def test_a_key_that_cannot_be_sent_is_told_and_not_shown() -> None:
    """A file with the wrong content may have been named."""
    with (
        closing(Client("http://127.0.0.1:1", key="ses\u0101me")) as client,
        pytest.raises(FetchError, match="not plain text") as caught,
    ):
        client.request("GET", "/")

    assert "ses" not in str(caught.value)


def test_a_tick_may_end_the_wait() -> None:
    """It is called while nothing comes."""
    ticks: list[bool] = []

    def tick() -> bool:
        ticks.append(len(ticks) < 2)
        return ticks[-1]

    with (
        serving(saying(b"")) as port,
        closing(Client(url(port), tick=tick)) as client,
        pytest.raises(StoppedError, match="the run ends"),
    ):
        client.request("GET", "/")

    assert [True, True, False] == ticks


def test_a_long_request_goes_out_whole() -> None:
    """Though the server reads it bit by bit."""
    sizes: list[int] = []

    def script(sock: socket.socket) -> None:
        for request in requests(sock):
            sizes.append(len(request.partition(b"\r\n\r\n")[2]))
            sock.sendall(OK)

    with serving(script) as port, closing(Client(url(port))) as client:
        client.request("POST", "/", "x" * 8_000_000)

    assert [8_000_002] == sizes


def test_https_is_spoken(papers: Papers) -> None:
    """With keep-alive, pages longer than a record, and long requests."""
    page = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"p" * 100_000
    trusted = {"ca_file": str(papers.authority)}
    with serving(secured(papers.server(), saying(page))) as port:
        base = url(port, "https")
        with closing(Client(base, **trusted)) as client:  # type: ignore[arg-type]  # one key
            found = [client.request("POST", "/", "x" * 4_000_000) for _ in range(2)]
        fetched = get(base, "/", timeout_s=10, **trusted)  # type: ignore[arg-type]  # one key
        unsure = get(base, "/", timeout_s=10, insecure=True)

    assert [(200, b"p" * 100_000)] * 4 == [*found, fetched, unsure]


@pytest.mark.parametrize(
    ("ca_file", "reason"),
    [(None, r"is not trusted \(.+\)\. Name .* ca_file\.$"), ("nowhere.pem", "Give a PEM file")],
)
def test_a_stranger_gets_no_request(
    papers: Papers, tmp_path: Path, ca_file: str | None, reason: str
) -> None:
    """The key least of all."""
    seen: list[Any] = []

    def script(sock: socket.socket) -> None:
        seen.extend(requests(sock))

    trust = None if ca_file is None else str(tmp_path / ca_file)
    with (
        serving(secured(papers.server(), script)) as port,
        closing(Client(url(port, "https"), key="sesame", ca_file=trust)) as client,
        pytest.raises(FetchError, match=reason),
    ):
        client.request("GET", "/")

    assert [] == seen


def test_ssl_is_loaded_only_for_https() -> None:
    """It takes longer than the rest of a command."""
    import subprocess

    code = "import sys, bench_agent.fetch; print('ssl' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "False" == done.stdout.strip()


def test_any_json_can_be_sent() -> None:
    """What is falsy too."""
    bodies: list[Any] = []

    def script(sock: socket.socket) -> None:
        for request in requests(sock):
            bodies.append(json.loads(request.partition(b"\r\n\r\n")[2]))
            sock.sendall(OK)

    sent: list[Any] = [{"a": [1, "b", None]}, [], 0, ""]
    with serving(script) as port, closing(Client(url(port))) as client:
        for body in sent:
            client.request("POST", "/", body)

    assert sent == bodies
