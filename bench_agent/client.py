"""A client for everything that is not load: pages, the tokenizer, the probe."""

from __future__ import annotations

import errno
import json
import select
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench_agent.http1 import Body, Head, HttpError, body_of, split_head
from bench_agent.load.plan import LoadError, endpoint

if TYPE_CHECKING:
    from bench_agent.load.tls import TlsSocket

#: Seconds for a connection; between two calls of the tick.
CONNECT_S = 10.0
_TICK_S = 0.2
_READ = 64 * 1024
#: Bytes of the longest reply.
_LONGEST = 64 * 1024 * 1024
_EITHER = select.POLLIN | select.POLLOUT


class FetchError(Exception):
    """There was no answer, or none that can be read."""


class StoppedError(FetchError):
    """The tick said so."""


class _StaleError(OSError):
    """A kept connection was closed before the first byte of a reply."""


class Client:
    """One connection, kept as long as the server keeps it. Follows no redirect, uses no proxy.

    `tick` is called often while a reply is waited for; False ends the wait.

    Raises:
        FetchError: not an http or https URL.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        ca_file: str | None = None,
        insecure: bool = False,
        timeout_s: float = 30.0,
        tick: Callable[[], bool] | None = None,
    ) -> None:
        try:
            place = endpoint(base_url, "completions")
        except LoadError as error:
            raise FetchError(str(error)) from None
        self._url = base_url
        self._place = place
        self._prefix = place.path.removesuffix("/v1/completions")
        self._key = key
        self._trust = (ca_file, insecure)
        self._timeout_s = timeout_s
        self._tick = tick
        self._patience_s = timeout_s
        self._deadline = 0.0
        self._sock: socket.socket | TlsSocket | None = None

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of the answer; *body* is sent as JSON.

        Raises:
            FetchError: no connection, no HTTP, or not in time.
        """
        payload = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {self._prefix}{path} HTTP/1.1",
            f"Host: {self._place.host}",
            "User-Agent: bench-agent",
        ]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
        if self._key:
            lines.append(f"Authorization: Bearer {self._key}")
        try:
            head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        except UnicodeError:
            raise FetchError(f"{self._url}{path}: the key or path is not plain text.") from None
        answer, data = self.exchange(head + payload)
        return answer.status, data

    def exchange(self, request: bytes, timeout_s: float | None = None) -> tuple[Head, bytes]:
        """Head and body of the answer to the bytes of a whole *request*.

        Raises:
            FetchError: as `request`.
        """
        self._patience_s = self._timeout_s if timeout_s is None else timeout_s
        self._deadline = time.monotonic() + self._patience_s
        try:
            try:
                return self._talk(request)
            except _StaleError:
                self.close()
                return self._talk(request)
        except (OSError, HttpError, LoadError, UnicodeError) as error:
            self.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise FetchError(f"No answer from {self._url}: {reason.rstrip('.')}.") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection; the next request opens another."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _talk(self, request: bytes) -> tuple[Head, bytes]:
        fresh = self._sock is None
        sock = self._sock or self._connect()
        try:
            self._send(sock, request)
            first = self._read(sock)
        except ConnectionError as error:
            if fresh:
                raise
            raise _StaleError(*error.args) from None
        if not first:
            if fresh:
                raise HttpError("the connection closed before the reply")
            raise _StaleError
        return self._receive(sock, first)

    def _connect(self) -> socket.socket | TlsSocket:
        patience = max(0.001, min(CONNECT_S, self._deadline - time.monotonic()))
        sock = socket.create_connection(self._place.address, timeout=patience)
        self._sock = sock
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._place.tls:
            from bench_agent.load import tls  # noqa: PLC0415 - few need ssl, and it loads slowly

            name = self._place.address[0]
            self._sock = secure = tls.TlsSocket(sock, tls.context(*self._trust), name)
            while not secure.handshake():
                self._wait(secure, _EITHER if secure.pending else select.POLLIN)
        return self._sock

    def _send(self, sock: socket.socket | TlsSocket, request: bytes) -> None:
        view = memoryview(request)
        while view or getattr(sock, "pending", False):
            sent = _sent(sock, view)
            view = view[sent:]
            if not sent:
                self._wait(sock, select.POLLOUT)

    def _read(self, sock: socket.socket | TlsSocket) -> bytes:
        while (data := _received(sock)) is None:
            self._wait(sock, select.POLLIN)
        return data

    def _wait(self, sock: socket.socket | TlsSocket, events: int) -> None:
        poll = select.poll()
        poll.register(sock.fileno(), events)
        while (left := self._deadline - time.monotonic()) > 0:
            if self._tick is not None and not self._tick():
                raise StoppedError(f"{self._url} was not waited for: the run ends.")
            if poll.poll(min(_TICK_S, left) * 1000):
                return
        raise TimeoutError(errno.ETIMEDOUT, f"not within {self._patience_s:g} s")

    def _receive(self, sock: socket.socket | TlsSocket, raw: bytes) -> tuple[Head, bytes]:
        while (split := _answer(raw)) is None:
            more = self._read(sock)
            if not more:
                raise HttpError("the connection closed before the reply")
            raw += more
        head, raw = split
        body = Body(0) if head.status in (204, 304) else body_of(head, response=True)
        parts = [body.feed(raw)]
        size = len(raw)
        while not body.done:
            raw = self._read(sock)
            if not raw:
                self.close()
                body.close()
                break
            size += len(raw)
            if size > _LONGEST:
                raise HttpError(f"the reply is longer than {_LONGEST} bytes")
            parts.append(body.feed(raw))
        if not body.done:
            raise HttpError("the connection closed in the middle of the reply")
        if not head.keeps_alive or body.rest:
            self.close()
        return head, b"".join(parts)


def _sent(sock: socket.socket | TlsSocket, data: memoryview) -> int:
    """Bytes that went out; 0 while the socket takes none."""
    try:
        return sock.send(data)
    except BlockingIOError:
        return 0


def _received(sock: socket.socket | TlsSocket) -> bytes | None:
    """What came; None while nothing has."""
    try:
        return sock.recvmsg(_READ)[0]
    except BlockingIOError:
        return None


def _answer(raw: bytes) -> tuple[Head, bytes] | None:
    """Head and rest of the answer, interim ones skipped; None while it is not whole."""
    if raw[:5] != b"HTTP/"[: len(raw)]:
        raise HttpError(f"not HTTP: {raw[:80]!r}")
    split = split_head(raw)
    return _answer(split[1]) if split is not None and 100 <= split[0].status < 200 else split
