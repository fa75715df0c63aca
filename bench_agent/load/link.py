"""One connection of the client: sends a request, keeps what comes back and when."""

from __future__ import annotations

import errno
import os
import socket
import time

from bench_agent import stamps
from bench_agent.http1 import Body, HttpError, body_of, split_head
from bench_agent.load.plan import Endpoint
from bench_agent.load.reply import Exchange, Stamp

READ = 64 * 1024
_LAST_CHUNK = b"0\r\n\r\n"
_END_OF_CHUNKS = b"\r\n0\r\n\r\n"


class Link:
    """Never waits. `exchange` is None while the connection is idle."""

    def __init__(
        self, endpoint: Endpoint, number: int, family: int, address: tuple[str, int]
    ) -> None:
        self.endpoint = endpoint
        self.number = number  # which endpoint
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stamps.ask_for(self.sock)
        self.fd = self.sock.fileno()
        self.connected = False
        self.refusal: str | None = None
        self.exchange: Exchange | None = None
        self.request = b""
        self.unsent = b""
        self.used = 0  # requests it has carried
        self.keeps_alive = True
        self.reads: list[bytes] = []
        self.stamps: list[Stamp] = []
        self.recvmsg = self.sock.recvmsg
        self._body: Body | None = None
        self._seen = 0  # reads that went through the framing
        self.plain = False  # in chunks, nothing special so far: the quick look is enough
        code = self.sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            self.refusal = os.strerror(code)

    def finish_connect(self) -> bool:
        """Whether the connection stands; `refusal` says why not."""
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.refusal = os.strerror(code)
        self.connected = not code
        return self.connected

    def assign(self, exchange: Exchange, request: bytes) -> None:
        """Take on a request; `push` sends it."""
        self.exchange = exchange
        self.request = self.unsent = request
        self.used += 1
        self.reads = exchange.reads
        self.stamps = exchange.stamps
        self._body = None
        self._seen = 0
        self.plain = False

    def push(self) -> bool:
        """Send what can be sent; True when all is out.

        Raises:
            OSError: the connection is broken.
        """
        if self.exchange is not None and not self.exchange.sent_ns:
            self.exchange.sent_ns = time.time_ns()
        try:
            sent = self.sock.send(self.unsent)
        except BlockingIOError:
            return False
        self.unsent = self.unsent[sent:] if sent < len(self.unsent) else b""
        return not self.unsent

    def look(self, data: bytes) -> bool:
        """Whether the reply is over with *data*, the newest read.

        Raises:
            HttpError: it is no HTTP.
        """
        if self.plain and (data.endswith(_END_OF_CHUNKS) or data == _LAST_CHUNK):
            return True
        if self._body is None and not self._find_head():
            return False
        body = self._body
        if body is None:
            return False
        for piece in self.reads[self._seen :]:
            body.feed(piece)
        self._seen = len(self.reads)
        return body.done

    def _find_head(self) -> bool:
        raw = b"".join(self.reads)
        if raw[:5] != b"HTTP/"[: len(raw)]:
            raise HttpError(f"not HTTP: {raw[:80]!r}")
        split = split_head(raw)
        while split is not None and 100 <= split[0].status < 200:
            split = split_head(split[1])
        if split is None:
            return False
        head, rest = split
        body = body_of(head, response=True)
        self.keeps_alive = head.keeps_alive
        self.plain = "chunked" in head.fields.get("transfer-encoding", "").lower()
        body.feed(rest)
        self._body = body
        self._seen = len(self.reads)
        return True
