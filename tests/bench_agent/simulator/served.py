"""A simulator that a test turns by hand, and what it is asked."""

from __future__ import annotations

import io
import json
import os
import socket
import time
from typing import Any

from bench_agent.http1 import Body, body_of, split_head
from bench_agent.simulator.log import Log
from bench_agent.simulator.options import Options
from bench_agent.simulator.server import Simulator, listen

STREAM = {
    "prompt": [1, 2],
    "max_tokens": 3,
    "stream": True,
    "stream_options": {"include_usage": True},
}


class Served:
    """A simulator whose loop a test turns by hand, and clients of it."""

    def __init__(self, **options: Any) -> None:
        self._stop, self._life = os.pipe()
        listener = listen("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        self.log = io.StringIO()
        known = {"model": "m", "ttft_ms": 2.0, "itl_ms": 1.0, **options}
        self.simulator = Simulator(Options(**known), listener, Log(self.log), self._stop)
        self._clients: list[socket.socket] = []

    def client(self) -> socket.socket:
        """A connection to it."""
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.setblocking(False)
        self._clients.append(sock)
        return sock

    def turn_until(self, done: Any, seconds: float = 5.0) -> None:
        """Turn its loop until *done* says so."""
        deadline = time.monotonic() + seconds
        wake = self.client()  # so that no turn waits long
        while not done():
            assert time.monotonic() < deadline, "it never happened"
            wake.send(b"GET /health HTTP/1.1\r\n\r\n")
            assert self.simulator._turn()

    def reply(self, sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
        """The next whole reply on a connection: status, fields, body."""
        raw, payload = b"", b""
        body: Body | None = None
        status, fields = 0, {}

        def whole() -> bool:
            nonlocal raw, payload, body, status, fields
            try:
                data = sock.recv(1_000_000)
            except BlockingIOError:
                data = b""
            if body is None:
                raw += data
                split = split_head(raw)
                if split is None:
                    return False
                body = body_of(split[0], response=True)
                status, fields, data = split[0].status, split[0].fields, split[1]
            payload += body.feed(data)
            return body.done

        self.turn_until(whole)
        return status, fields, payload

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        sock: socket.socket | None = None,
        **fields: str,
    ) -> tuple[int, dict[str, str], bytes]:
        """One request and its reply."""
        sock = sock or self.client()
        sock.send(request(method, path, body, **fields))
        return self.reply(sock)

    def metric(self, name: str) -> float:
        """One value of /metrics."""
        page = self.ask("GET", "/metrics")[2].decode()
        line = next(x for x in page.splitlines() if x.startswith(f"vllm:{name}"))
        return float(line.rpartition(" ")[2])

    def close(self) -> None:
        """Stop it, and have it say goodbye."""
        os.close(self._life)
        self.simulator.serve()
        os.close(self._stop)
        for sock in self._clients:
            sock.close()


def request(method: str, path: str, body: Any = None, **fields: str) -> bytes:
    """A request as bytes; `fields` in Python's spelling."""
    payload = (
        b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    )
    lines = [f"{k.replace('_', '-')}: {v}" for k, v in fields.items()]
    head = [f"{method} {path} HTTP/1.1", f"content-length: {len(payload)}", *lines, "", ""]
    return "\r\n".join(head).encode() + payload


def events(body: bytes) -> list[Any]:
    """The events of a stream, [DONE] as a text."""
    found = [each.removeprefix(b"data: ") for each in body.split(b"\n\n") if each]
    return [each.decode() if each == b"[DONE]" else json.loads(each) for each in found]
