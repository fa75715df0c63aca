"""One client connection of the simulator: requests in, bytes out."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench_agent import stamps
from bench_agent.http1 import Body, Head, HttpError, body_of, split_head

if TYPE_CHECKING:
    from bench_agent.simulator.engine import Stream

READ = 64 * 1024
MAX_BODY = 64 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """A whole request; `arrived_ns` is the kernel's stamp of its last segment."""

    method: str
    path: str
    query: str
    head: Head
    body: bytes
    arrived_ns: int


class Link:
    """Reads requests and writes replies without ever waiting."""

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self.sock = sock
        self.peer = peer
        self.fd = sock.fileno()
        self.out = b""
        self.closing = False  # close when everything is written
        self.close_after_stream = False
        self.broken = False
        self.stream: Stream | None = None
        self._in = b""
        self._head: Head | None = None
        self._body: Body | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._arrived_ns = 0

    def read(self) -> bool:
        """Take what has come; False when the client is gone."""
        try:
            data, ancillary, _flags, _address = self.sock.recvmsg(READ, stamps.ANCILLARY)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        self._arrived_ns = stamps.decode(ancillary[0][2]) if ancillary else time.time_ns()
        self._in = self._in + data if self._in else data
        return len(self._in) <= MAX_BODY

    def next_request(self) -> Request | None:
        """The next request when it is whole.

        Raises:
            HttpError: what came is no HTTP.
        """
        if self._head is None and not self._take_head():
            return None
        if self._head is None or self._body is None:
            return None
        payload = self._body.feed(self._in)
        self._in = b""
        self._parts.append(payload)
        self._size += len(payload)
        if self._size > MAX_BODY:
            raise HttpError("a body larger than anybody sends")
        if not self._body.done:
            return None
        return self._whole_request(self._head, self._body)

    def _take_head(self) -> bool:
        found = split_head(self._in)
        if found is None:
            return False
        self._head, self._in = found
        self._body = body_of(self._head, response=False)
        self._parts, self._size = [], 0
        if self._head.fields.get("expect", "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _whole_request(self, head: Head, body: Body) -> Request:
        words = head.start.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise HttpError(f"not a request line: {head.start[:80]!r}")
        path, _, query = words[1].partition("?")
        self._in = body.rest
        self._head = self._body = None
        return Request(words[0], path, query, head, b"".join(self._parts), self._arrived_ns)

    def write(self, data: bytes) -> bool:
        """Send *data*; False when some of it has to wait for room, or the client is gone."""
        if self.out:
            self.out += data
            return False
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.broken = True
            return False
        if sent == len(data):
            return True
        self.out = data[sent:]
        return False

    def flush(self) -> bool:
        """Send what waits; True when nothing is left."""
        waiting, self.out = self.out, b""
        return not waiting or self.write(waiting)
