"""A server that plays a script to each connection, in a thread of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def serving(script: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that plays *script* to each connection, one after the other."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            sock, _ = listener.accept()
            with sock, suppress(OSError):
                sock.settimeout(10)
                script(sock)

    thread = threading.Thread(target=serve)
    thread.start()
    port = listener.getsockname()[1]
    try:
        yield port
    finally:
        over.set()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        thread.join(10)
        listener.close()
    assert not thread.is_alive()


def requests(sock: socket.socket) -> Iterator[bytes]:
    """The requests of one connection, each as a whole."""
    raw = b""
    while True:
        while b"\r\n\r\n" not in raw:
            more = sock.recv(65536)
            if not more:
                return
            raw += more
        head, _, raw = raw.partition(b"\r\n\r\n")
        fields = dict(line.lower().partition(b": ")[::2] for line in head.split(b"\r\n")[1:])
        length = int(fields.get(b"content-length", 0))
        while len(raw) < length:
            raw += sock.recv(65536)
        yield head + b"\r\n\r\n" + raw[:length]
        raw = raw[length:]


def url(port: int, scheme: str = "http") -> str:
    """Where a server is."""
    return f"{scheme}://127.0.0.1:{port}"
