"""An OpenAI-compatible server of known timing, which says when it really sent each token.

``python timing_server.py --port 0 --ttft-ms 50 --itl-ms 10 --model timed`` prints
``listening on http://127.0.0.1:PORT``. It shares no code with the client that it is to judge.

A request that arrived at *t* gets its first token at *t* + TTFT and one more every ITL, on a
schedule of its own that does not shift when the server is late. All streams have the same ITL,
so those that are under way are always in the order in which they are due: a deque that rotates
is the whole schedule, and a token costs little more than the system call that sends it.

``GET /truth`` gives a JSON line a request: request_id (its X-Request-Id, else a number),
arrived_ns (the kernel's stamp of its last segment where there is one), sent_ns (taken right
before the ``send`` of each token), cut (the client went away). ``GET /cpu`` gives cpu_s and
tokens. Times are CLOCK_REALTIME nanoseconds. It ends on SIGTERM, and when its standard input,
if that is a pipe, is closed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import select
import signal
import socket
import stat
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from timing_events import DONE, HEAD, Shape, Truth, count_of, fields_of, listen, stamp_of

_ANCILLARY = 64
_READ = 262144
#: Tokens due sooner than this are waited for together: a wake-up costs as much as three sends.
_QUANTUM_S = 0.0005
_IDLE_S = 10.0
_DUMP_S = 60.0


@dataclass(slots=True, eq=False)
class Connection:
    """One client. `owed` takes the stamp of what lies in the outbox, unsent."""

    sock: socket.socket
    inbox: bytes = b""
    outbox: bytes = b""
    arrived: int = 0
    closing: bool = False  # after the reply
    stream: Stream | None = None
    owed: array[int] | None = None


@dataclass(slots=True, eq=False)
class Stream:
    """One reply on its way: token `k` is `due` (ns), `last` is its last one."""

    connection: Connection
    truth: Truth
    shape: Shape
    due: int
    last: int
    middle: bytes
    usage: bool
    prompt: int
    send: Callable[[bytes], int]
    sent: array[int]
    pieces: list[tuple[bytes, bytes]]
    k: int = 0


class Server:
    """All of it: one epoll, one schedule."""

    def __init__(self, listener: socket.socket, model: str, ttft_ms: float, itl_ms: float) -> None:
        self._listener = listener
        self._stdin = -1
        self._model = model
        self._ttft = int(ttft_ms * 1e6)
        self._itl = int(itl_ms * 1e6)
        self._shapes = {chat: Shape(model, chat=chat) for chat in (False, True)}
        self._connections: dict[int, Connection] = {}
        self._first: deque[Stream] = deque()  # those that wait for their first token
        self._queue: deque[Stream] = deque()  # those under way
        self._truths: list[Truth] = []
        self._ended = False
        self._epoll = select.epoll()
        self._epoll.register(listener.fileno(), select.EPOLLIN)

    def watch(self, fd: int) -> None:
        """End when *fd*, if it is a pipe, is closed by whoever holds its other end."""
        kind = os.fstat(fd).st_mode
        if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
            self._epoll.register(fd, select.EPOLLIN)
            self._stdin = fd

    def serve(self) -> None:
        """Until the standard input ends."""
        poll, waiter = self._epoll.poll, [self._epoll.fileno()]
        while not self._ended:
            wait = self._wait_s()
            # epoll's own time-out counts whole milliseconds
            if wait <= 0 or select.select(waiter, (), (), max(wait, _QUANTUM_S))[0]:
                for fd, mask in poll(0):
                    self._event(fd, mask)
            self._sweep(time.time_ns())

    def _wait_s(self) -> float:
        dues = [streams[0].due for streams in (self._queue, self._first) if streams]
        return (min(dues) - time.time_ns()) / 1e9 if dues else _IDLE_S

    def _sweep(self, now: int) -> None:
        first = self._first
        while first and first[0].due <= now:
            self._rotate(first[0].due)
            self._begin(first.popleft())
        self._rotate(now)

    def _rotate(self, until: int) -> None:
        """Send every token due by then. The cost of a token is the cost of this loop."""
        queue, itl, clock = self._queue, self._itl, time.time_ns
        pop, push = queue.popleft, queue.append
        while queue and queue[0].due <= until:
            stream = pop()
            k = stream.k
            if k == stream.last:
                self._finish(stream)
                continue
            stream.k = k + 1
            stream.due += itl
            size, end = stream.pieces[k & 1023]
            data = size + stream.middle + end
            stream.sent.append(clock())
            try:
                taken = stream.send(data)
            except OSError as error:
                self._trouble(stream.connection, stream.sent, data, error)
                continue
            if taken == len(data):
                push(stream)
            else:
                self._park(stream.connection, data[taken:])

    def _begin(self, stream: Stream) -> None:
        if self._next(stream):
            _insert(self._queue, stream)

    def _next(self, stream: Stream) -> bool:
        """Send one token outside of the rotation; whether the stream goes on without waiting."""
        if stream.k == stream.last:
            self._finish(stream)
            return False
        size, end = stream.pieces[stream.k & 1023]
        role = b"" if stream.k else stream.shape.role(stream.middle)
        stream.k += 1
        stream.due += self._itl
        return self._send(stream, role + size + stream.middle + end)

    def _finish(self, stream: Stream) -> None:
        shape, connection = stream.shape, stream.connection
        data = b"" if stream.k else shape.role(stream.middle)
        data += shape.last(stream.k, stream.middle)
        if stream.usage:
            data += shape.usage(stream.middle, stream.prompt, stream.k + 1)
        connection.stream = None
        if self._send(stream, data + DONE):
            self._done(connection)

    def _send(self, stream: Stream, data: bytes) -> bool:
        connection = stream.connection
        stream.sent.append(time.time_ns())
        try:
            taken = connection.sock.send(data)
        except OSError as error:
            self._trouble(connection, stream.sent, data, error)
            return False
        if taken < len(data):
            self._park(connection, data[taken:])
        return taken == len(data)

    def _trouble(
        self, connection: Connection, sent: array[int], data: bytes, error: OSError
    ) -> None:
        """Nothing went out: later, if the client only reads slowly."""
        sent.pop()
        if isinstance(error, BlockingIOError):
            connection.owed = sent
            self._park(connection, data)
        else:
            self._drop(connection)

    def _park(self, connection: Connection, rest: bytes) -> None:
        """Wait until the client reads; its tokens then come late, each with its own stamp."""
        connection.outbox += rest
        self._epoll.modify(connection.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _flush(self, connection: Connection) -> None:
        if connection.owed is not None:
            connection.owed.append(time.time_ns())
            connection.owed = None
        try:
            taken = connection.sock.send(connection.outbox)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
            return
        connection.outbox = connection.outbox[taken:]
        if connection.outbox:
            return
        self._epoll.modify(connection.sock.fileno(), select.EPOLLIN)
        if connection.stream is None:
            self._done(connection)
        else:
            self._catch_up(connection.stream)

    def _catch_up(self, stream: Stream) -> None:
        while stream.due <= time.time_ns():
            if not self._next(stream):
                return
        _insert(self._queue, stream)

    def _done(self, connection: Connection) -> None:
        if connection.closing:
            self._drop(connection)
        elif connection.inbox:
            self._read_requests(connection)

    def _drop(self, connection: Connection) -> None:
        if self._connections.pop(connection.sock.fileno(), None) is None:
            return
        if connection.stream is not None:
            connection.stream.truth.cut = True  # its next send finds the socket closed
        connection.sock.close()

    def _event(self, fd: int, mask: int) -> None:
        connection = self._connections.get(fd)
        if fd == self._listener.fileno():
            self._accept()
        elif fd == self._stdin:
            self._ended = not os.read(fd, 4096)
        elif connection is not None:
            if mask & select.EPOLLOUT:
                self._flush(connection)
            if mask & ~select.EPOLLOUT and fd in self._connections:
                self._receive(connection)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:  # none left, or none that was worth it
                return
            sock.setblocking(False)
            self._connections[sock.fileno()] = Connection(sock)
            self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _receive(self, connection: Connection) -> None:
        try:
            data, ancillary, _, _ = connection.sock.recvmsg(_READ, _ANCILLARY)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self._drop(connection)
            return
        connection.inbox += data
        connection.arrived = stamp_of(ancillary)
        if connection.stream is None and not connection.outbox:
            self._read_requests(connection)

    def _read_requests(self, connection: Connection) -> None:
        head, found, body = connection.inbox.partition(b"\r\n\r\n")
        if not found:
            return
        line, fields = fields_of(head)
        length = int(fields.get("content-length", 0))
        if len(body) < length:
            return
        connection.inbox = body[length:]
        connection.closing = fields.get("connection", "").lower() == "close"
        if line[0] == "POST" and line[1].endswith("/completions"):
            self._start(connection, fields.get("x-request-id", ""), line[1], body[:length])
        elif line[1] == "/truth":
            self._dump(connection)
        else:
            self._tell(connection, *self._page(line[1]))

    def _start(self, connection: Connection, name: str, path: str, body: bytes) -> None:
        try:
            asked = json.loads(body)
            length = int(asked.get("max_completion_tokens") or asked.get("max_tokens") or 16)
        except (ValueError, AttributeError, TypeError):
            length, asked = 0, {}
        if length < 1 or not asked.get("stream"):
            self._tell(connection, 400, {"error": {"message": "stream, and at least one token"}})
            return
        number, shape = len(self._truths), self._shapes[path.endswith("/chat/completions")]
        truth = Truth(name or str(number), connection.arrived)
        self._truths.append(truth)
        connection.stream = Stream(
            connection,
            truth,
            shape,
            due=connection.arrived + self._ttft,
            last=length - 1,
            middle=shape.middle(number, int(time.time())),
            usage=bool((asked.get("stream_options") or {}).get("include_usage")),
            prompt=count_of(asked.get("prompt", asked.get("messages"))),
            send=connection.sock.send,
            sent=truth.sent,
            pieces=shape.pieces,
        )
        _insert(self._first, connection.stream)
        try:
            connection.sock.send(HEAD)  # so little always fits
        except OSError:
            self._drop(connection)

    def _page(self, path: str) -> tuple[int, Any]:
        tokens = sum(len(truth.sent) for truth in self._truths)
        if path == "/v1/models":
            model = {"id": self._model, "object": "model", "owned_by": "timing_server"}
            return 200, {"object": "list", "data": [{**model, "max_model_len": 1 << 20}]}
        if path == "/cpu":
            return 200, {"cpu_s": time.process_time(), "tokens": tokens}
        if path == "/metrics":
            name = json.dumps(self._model)
            return 200, (
                f"vllm:num_requests_running{{model_name={name}}} {len(self._queue)}\n"
                f"vllm:num_requests_waiting{{model_name={name}}} 0\n"
                f"vllm:generation_tokens_total{{model_name={name}}} {tokens}\n"
            )
        if path == "/health":
            return 200, ""
        return 404, {"error": {"message": f"no {path} here"}}

    def _tell(self, connection: Connection, status: int, page: Any) -> None:
        text = isinstance(page, str)
        body = (page if text else json.dumps(page)).encode()
        kind = "text/plain" if text else "application/json"
        head = f"HTTP/1.1 {status} .\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.outbox = head.encode() + body
        self._flush(connection)

    def _dump(self, connection: Connection) -> None:
        """All that is known. Nobody else is served meanwhile: it is for after the load."""
        sock = connection.sock
        try:
            sock.settimeout(_DUMP_S)
            sock.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
            for truth in self._truths:
                sock.sendall(truth.line())
        except OSError:
            pass  # whoever asked has gone
        self._drop(connection)


def _insert(queue: deque[Stream], stream: Stream) -> None:
    """Put it where it is due: nearly always at the end."""
    at = len(queue)
    while at and queue[at - 1].due > stream.due:
        at -= 1
    queue.insert(at, stream)


def main(argv: list[str] | None = None) -> int:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ttft-ms", type=float, default=50.0)
    parser.add_argument("--itl-ms", type=float, default=10.0)
    parser.add_argument("--model", default="timed")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = listen(args.port)
    server = Server(listener, args.model, args.ttft_ms, args.itl_ms)
    server.watch(0)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    gc.collect()
    gc.freeze()
    gc.disable()  # nothing here makes cycles in number
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
