"""One connection of the client: sends a request, keeps what comes back and when."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from array import array
from collections.abc import Callable
from typing import Any

from bench_agent import stamps
from bench_agent.load.pattern import MOST
from bench_agent.load.plan import Endpoint
from bench_agent.load.reply import Exchange, Reading
from bench_agent.load.tap import confine
from bench_agent.load.trail import USUAL_HEADERS, Trail

READ = 16 * 1024
#: Edges are enough where a read takes all there is; a read of a TLS record may leave something.
_EDGE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET


#: What stands between the text of the event before and its own, where its text begins and ends in
#: it, and its length.
Event = tuple[bytes, int, int, int]


class Link:
    """Never waits. `exchange` and `reading` are None while the connection is idle.

    `least`, `sizes`, `opening` and `closing` are those of the reading's pattern while reads may be
    told by it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        number: int,
        place: tuple[int, tuple[str, int]],
        wrap: Callable[[socket.socket, str], Any] | None = None,
        ports: tuple[int, int] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.number = number  # which endpoint
        self.connected = False
        self.refusal: str | None = None
        self.exchange: Exchange | None = None
        self.reading: Reading | None = None
        self.least = MOST
        self.sizes: list[bytes] = []
        self.opening = self.closing = b""
        self.start = self.cut = 0  # of the text, behind the size line and before the end
        self.events: dict[int, Event] = {}  # by the length of their segments
        self.waits = False  # among those that have something to be read
        self.head = self.body = b""
        self.unsent = b""
        self.used = 0  # requests it has carried
        self.received = 0  # bytes
        self.trail: Trail | None = None  # while it is followed
        self._port: int | None = None
        self.keeps_alive = True
        self.seen = 0  # reads at the last look for silence
        self.seen_ns = 0
        self._secure = wrap is not None
        self.receiving = select.EPOLLIN if wrap else _EDGE
        self.sending = self.receiving | select.EPOLLOUT
        family, address = place
        try:
            plain = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # no more descriptors
            self.fd, self.refusal = -1, error.strerror
            return
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stamps.ask_for(plain)
        if ports is not None:
            confine(plain, ports)
        self.fd = plain.fileno()
        code = plain.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            self.refusal = os.strerror(code)
        #: A socket, or a `tls.TlsSocket`.
        self.sock: Any = wrap(plain, endpoint.address[0]) if wrap else plain
        self.recvmsg = self.sock.recvmsg
        self.stamp = array("q").frombytes  # takes the kernel's timespec

    @property
    def pending(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self.unsent) or (self._secure and self.sock.pending)

    @property
    def port(self) -> int:
        """Its local port, as a segment has it."""
        if self._port is None:
            self._port = socket.htons(self.sock.getsockname()[1])
        return self._port

    def finish_connect(self) -> bool:
        """Whether the connection stands; `refusal` says why it never will."""
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.refusal = os.strerror(code)
        elif self._secure:
            try:
                self.connected = self.sock.handshake()
            except OSError as error:
                self.refusal = error.strerror or str(error)
        else:
            self.connected = True
        return self.connected

    def assign(self, exchange: Exchange, reading: Reading, head: bytes, body: bytes) -> None:
        """Take on a request; `push` sends it."""
        self.exchange, self.reading = exchange, reading
        self.head, self.body = head, body
        self.unsent = head + body
        self.used += 1
        self.stamp = exchange.stamps.frombytes
        self.seen = 0

    def rest(self) -> None:
        """The exchange is over."""
        self.exchange = self.reading = None
        self.head = self.body = b""
        self.stamp = array("q").frombytes
        self.least, self.events = MOST, {}

    def learn(self) -> None:
        """Tell reads by what the reading has learned."""
        reading = self.reading
        self.least = MOST
        self.events = {}
        if reading is not None and reading.fast:
            pattern = reading.pattern
            self.least, self.sizes = pattern.least, pattern.sizes
            self.opening, self.closing = pattern.opening, pattern.closing
            self.start, self.cut = len(self.opening), -len(self.closing)

    def event(self, total: int) -> Event:
        """An event like those before that fills an IP packet of *total* bytes."""
        size = total - USUAL_HEADERS
        if not self.least <= size < MOST:
            return b"\0", 0, 0, 0  # which is nowhere
        head = self.sizes[size] + self.opening
        return self.closing + head, len(head), size + self.cut, size

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
        return not self.pending
