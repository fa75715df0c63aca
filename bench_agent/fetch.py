"""One small GET, with a limit on its time."""

from __future__ import annotations

import socket
import time

from bench_agent.http1 import HttpError, body_of, split_head
from bench_agent.load.plan import LoadError, endpoint


class FetchError(Exception):
    """There was no answer, or none that can be read."""


def get(
    base_url: str, path: str, *, timeout_s: float = 0.5, key: str | None = None
) -> tuple[int, bytes]:
    """Status and body of ``GET base_url + path``.

    Raises:
        FetchError: no connection, no HTTP, or not in time.
    """
    try:
        place = endpoint(base_url, "completions")
        prefix = place.path.removesuffix("/v1/completions")
        secret = f"Authorization: Bearer {key}\r\n" if key else ""
        head = f"GET {prefix}{path} HTTP/1.1\r\nHost: {place.host}\r\n{secret}Connection: close\r\n"
        deadline = time.monotonic() + timeout_s
        with socket.create_connection(place.address, timeout=timeout_s) as sock:
            sock.sendall(head.encode("latin-1") + b"\r\n")
            return _read(sock, deadline)
    except (OSError, HttpError, LoadError) as error:
        raise FetchError(f"{base_url}{path}: {error}") from None


def _read(sock: socket.socket, deadline: float) -> tuple[int, bytes]:
    raw = b""
    while (split := split_head(raw)) is None:
        raw += _receive(sock, deadline)
    head, rest = split
    body = body_of(head, response=True)
    parts = [body.feed(rest)]
    while not body.done:
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        data = sock.recv(65536)
        if not data:
            body.close()
            break
        parts.append(body.feed(data))
    if not body.done:
        raise HttpError("the connection closed in the middle of the reply")
    return head.status, b"".join(parts)


def _receive(sock: socket.socket, deadline: float) -> bytes:
    sock.settimeout(max(0.001, deadline - time.monotonic()))
    data = sock.recv(65536)
    if not data:
        raise HttpError("the connection closed before the reply")
    return data
