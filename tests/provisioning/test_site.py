"""Where a run takes place."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from provisioning import site
from provisioning.errors import LaunchError, UsageError


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host:80",
        "http://",
        "http://[::1",
        "http://127.0.0.1:abc",
        "http://127.0.0.1:99999",
        "http://127.0.0.1 :80",
        "http://127.0.0.1:0",
        "http://127.0.0.1/v2/chat",
        "127.0.0.1:8000",
        "",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """Named before anything is started."""
    with pytest.raises(UsageError, match="is no address that can be loaded"):
        site.of_url(url)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    """It would end up in results and messages."""
    with pytest.raises(UsageError) as refused:
        site.of_url("http://me:hunter2@127.0.0.1:8000")

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://127.0.0.1:8000/v1/"])
def test_an_address_is_taken_with_and_without_v1(url: str) -> None:
    """People paste both."""
    assert "http://127.0.0.1:8000" == site.of_url(url).url


@contextmanager
def _answering(reply: bytes) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"\x00\xffgarbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"data":[]}',
        b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["truncated", "garbage", "no object", "no model", "no key"],
)
def test_a_server_that_is_none_is_told(reply: bytes) -> None:
    """Whatever it answers, it is a sentence about that address."""
    with _answering(reply) as url, pytest.raises(LaunchError, match=f"{url}/v1/models"):
        site.served_model(url, None)
