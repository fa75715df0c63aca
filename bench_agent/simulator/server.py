"""The simulator's one loop: an epoll, raw sockets, and the engine's deadlines."""

from __future__ import annotations

import os
import resource
import select
import socket
import time

from bench_agent import stamps
from bench_agent.http1 import HttpError
from bench_agent.simulator import replies
from bench_agent.simulator.engine import Engine
from bench_agent.simulator.link import Link, Request
from bench_agent.simulator.log import Log
from bench_agent.simulator.meters import Meters
from bench_agent.simulator.options import Options
from bench_agent.simulator.refusal import Refusal
from bench_agent.simulator.routes import Routes
from bench_agent.simulator.truth import TruthLog

BACKLOG = 4096
_STATS_EVERY_NS = 10_000_000_000
_IDLE_S = 10.0
#: Sockets that are served before tokens are looked at again: a request takes its time.
_HANDFUL = 16


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that stamps what its connections receive.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stamps.ask_for(sock)  # accepted sockets inherit it: their first bytes are stamped too
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


class Simulator:
    """Serves on *listener* until `stop_fd` becomes readable."""

    def __init__(
        self, options: Options, listener: socket.socket, log: Log | None, stop_fd: int
    ) -> None:
        self._log = log
        self._listener = listener
        self._stop_fd = stop_fd
        self._links: dict[int, Link] = {}
        self._meters = Meters()
        truth = TruthLog()
        self._engine = Engine(options, self._meters, truth)
        self._routes = Routes(options, self._engine, self._meters, truth)
        self._epoll = select.epoll()
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._epoll.register(stop_fd, select.EPOLLIN)
        self._stats_ns = time.monotonic_ns()
        self._stats_tokens = (0, 0)

    def serve(self) -> None:
        """Run until told to stop, with as many connections as the system lets this user have."""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self._say_hello()
        try:
            while self._turn():
                pass
        finally:
            for link in self._links.values():
                link.sock.close()
            self._listener.close()
            self._epoll.close()
        if self._log:
            self._log.web("Application shutdown complete.")

    def _say_hello(self) -> None:
        if self._log is None:
            return
        host, port = self._listener.getsockname()[:2]
        self._log.engine(f"Starting vLLM API server 0 on http://{host}:{port}")
        self._log.web(f"Started server process [{os.getpid()}]")
        self._log.web("Waiting for application startup.")
        self._log.web("Application startup complete.")

    def _turn(self) -> bool:
        for link in self._engine.emit_due():
            self._after_stream(link)
        for fd, mask in self._epoll.poll(0, _HANDFUL) if self._wait() else ():
            if fd == self._stop_fd:
                return False
            if fd == self._listener.fileno():
                self._accept()
            elif fd in self._links:
                self._serve_link(self._links[fd], mask)
        self._say_stats()
        return True

    def _wait(self) -> bool:
        """Until a token is due; whether there may be something on the sockets."""
        due = self._engine.look_again_ns()
        timeout = _IDLE_S if due is None else max(0.0, (due - time.monotonic_ns()) / 1e9)
        # epoll waits in whole milliseconds, select in microseconds
        return not timeout or bool(select.select([self._epoll.fileno()], [], [], timeout)[0])

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                return  # out of descriptors, or gone before it was accepted
            sock.setblocking(False)
            link = Link(sock, f"{address[0]}:{address[1]}")
            self._links[link.fd] = link
            self._epoll.register(link.fd, select.EPOLLIN)

    def _serve_link(self, link: Link, mask: int) -> None:
        if mask & select.EPOLLOUT:
            self._flush(link)
        if link.fd not in self._links or not mask & ~select.EPOLLOUT:
            return
        if link.read():
            self._answer(link)
        else:
            self._drop(link)

    def _answer(self, link: Link) -> None:
        while link.stream is None and not link.closing and link.fd in self._links:
            try:
                request = link.next_request()
            except HttpError as error:
                self._refuse_bytes(link, error)
                return
            if request is None:
                return
            link.closing = not request.head.keeps_alive
            self._answer_request(link, request)

    def _refuse_bytes(self, link: Link, error: HttpError) -> None:
        body = replies.dump({"error": {"message": str(error), "code": 400}})
        link.closing = True
        link.write(replies.whole(400, body))
        self._after_write(link)

    def _answer_request(self, link: Link, request: Request) -> None:
        status = 200
        try:
            reply = self._routes.answer(link, request)
        except Refusal as refusal:
            status = refusal.status
            reply = replies.whole(status, replies.dump(refusal.body))
        if self._log:
            line = f'{link.peer} - "{request.method} {request.path} HTTP/1.1"'
            self._log.web(f"{line} {replies.status_line(status)}")
        if reply is not None:
            link.write(reply)
            self._after_write(link)
        elif link.closing:
            link.closing = False
            link.close_after_stream = True

    def _after_stream(self, link: Link) -> None:
        if link.close_after_stream and link.stream is None:
            link.closing = True
        self._after_write(link)
        if link.fd in self._links:
            self._answer(link)

    def _after_write(self, link: Link) -> None:
        if link.broken or (link.closing and not link.out):
            self._drop(link)
        elif link.out:
            self._epoll.modify(link.fd, select.EPOLLIN | select.EPOLLOUT)

    def _flush(self, link: Link) -> None:
        if not link.flush():
            if link.broken:
                self._drop(link)
            return
        self._epoll.modify(link.fd, select.EPOLLIN)
        if link.stream is not None:
            self._engine.resume(link.stream)
        self._after_write(link)

    def _drop(self, link: Link) -> None:
        if self._links.pop(link.fd, None) is None:
            return
        self._epoll.unregister(link.fd)
        link.sock.close()
        if link.stream is not None:
            self._engine.abort(link.stream)

    def _say_stats(self) -> None:
        now = time.monotonic_ns()
        if self._log is None or now - self._stats_ns < _STATS_EVERY_NS:
            return
        seconds = (now - self._stats_ns) / 1e9
        before, self._stats_ns = self._stats_tokens, now
        self._stats_tokens = (self._meters.prompt_tokens, self._meters.generation_tokens)
        came, went = (a - b for a, b in zip(self._stats_tokens, before, strict=True))
        if self._engine.idle and not went:
            return
        self._log.engine(
            f"Engine 000: Avg prompt throughput: {came / seconds:.1f} tokens/s, "
            f"Avg generation throughput: {went / seconds:.1f} tokens/s, "
            f"Running: {self._meters.running} reqs, Waiting: {self._meters.waiting} reqs, "
            f"GPU KV cache usage: {self._meters.kv_cache_usage:.1%}, "
            "Prefix cache hit rate: 0.0%",
            "loggers.py:1",
        )
