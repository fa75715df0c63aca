"""Servers that fail in one way each, in time as well as in bytes; beside `misbehaving`.

``http://127.0.0.1:PORT/<fault>``: each fault is a function that answers one request.
"""

from __future__ import annotations

import gzip
import json
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.bench_agent.misbehaving import (
    DONE,
    END,
    HEAD,
    TOKENS,
    event,
    misbehaving,
    read_request,
    token,
)

Fault = Callable[[socket.socket], None]
GOOD_PROMPT, GOOD_OUTPUT = 8, 2
_MEGABYTE = 1 << 20
_DRIP_S = 0.02  # no stall, and too few before a time-out to look like a flood


def usage(prompt: object, output: object) -> bytes:
    """A reply of two tokens that says it had these."""
    counts = {"prompt_tokens": prompt, "completion_tokens": output}
    return HEAD + TOKENS + event({"choices": [], "usage": counts}) + DONE + END


GOOD = usage(GOOD_PROMPT, GOOD_OUTPUT)
_WHOLE = {
    "choices": [{"index": 0, "text": " a a", "finish_reason": "length"}],
    "usage": {"prompt_tokens": GOOD_PROMPT, "completion_tokens": GOOD_OUTPUT},
}


def page(status: str, body: bytes, *fields: str) -> bytes:
    """A reply that is no stream."""
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *fields, "", ""]
    return "\r\n".join(head).encode() + body


def _zipped() -> bytes:
    body = gzip.compress(GOOD.partition(b"\r\n\r\n")[2])
    return page("200 OK", body, "content-type: text/event-stream", "content-encoding: gzip")


def gone(sock: socket.socket, within_s: float) -> bool:
    """Whether the client goes within that time; a pause where it stays."""
    return bool(select.select([sock], [], [], within_s)[0])


def says(data: bytes) -> Fault:
    """These bytes, and then the end of the connection."""
    return lambda sock: sock.sendall(data)


def says_and_waits(data: bytes) -> Fault:
    """These bytes, and then nothing, until the client goes."""

    def fault(sock: socket.socket) -> None:
        sock.sendall(data)
        sock.recv(1)

    return fault


def says_and_resets(data: bytes) -> Fault:
    """These bytes, and then RST."""

    def fault(sock: socket.socket) -> None:
        sock.sendall(data)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return fault


def repeats(begin: bytes, more: bytes, pause_s: float = 0.0) -> Fault:
    """*more* without an end, until the client goes."""

    def fault(sock: socket.socket) -> None:
        sock.sendall(begin)
        while not gone(sock, pause_s):
            sock.sendall(more)

    return fault


def drips(data: bytes) -> Fault:
    """One byte at a time, up to the body, then the rest."""

    def fault(sock: socket.socket) -> None:
        head, end, body = data.partition(b"\r\n\r\n")
        for byte in head + end:
            sock.sendall(bytes([byte]))
            gone(sock, 0.001)
        sock.sendall(body)

    return fault


def dies(sock: socket.socket) -> None:
    """The whole server is killed in the middle of a reply, with all of its connections."""
    sock.sendall(HEAD + token())
    gone(sock, 0.05)  # so that others are under way, too
    os.killpg(0, signal.SIGKILL)


FAULTS: dict[str, Fault] = {
    "status-500": says(page("500 Internal Server Error", b"CUDA out of memory")),
    "status-429-forever": says(page("429 Too Many Requests", b"later", "retry-after: 1")),
    "redirect": says(page("307 Temporary Redirect", b"", "location: /good/v1/completions")),
    "error-event": says(HEAD + token() + event({"error": {"message": "engine died"}}) + DONE + END),
    "error-then-cut": says(HEAD + token() + event({"error": {"message": "engine died"}})),
    "cut-in-body": says(HEAD + token()),
    "cut-in-event": says(HEAD + token()[:-9]),
    "cut-in-head": says(HEAD[:30]),
    "done-without-finish": says(HEAD + token() + token() + DONE + END),
    "nothing-more": says(HEAD + token() + END),
    "stalled": says_and_waits(HEAD + token()),
    "stalled-in-head": says_and_waits(HEAD[:30]),
    "silent": says_and_waits(b""),
    "reset": says_and_resets(HEAD + token()),
    "reset-in-head": says_and_resets(HEAD[:30]),
    "reset-at-once": says_and_resets(b""),
    "usage-too-few": says(
        HEAD
        + token() * 8
        + token("length")
        + event({"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 1}})
        + DONE
        + END
    ),
    "usage-too-many": says(usage(GOOD_PROMPT, GOOD_OUTPUT + 1)),
    "usage-zero": says(usage(GOOD_PROMPT, 0)),
    "usage-negative": says(usage(-8, -2)),
    "usage-text": says(usage("eight", "two")),
    "usage-fraction": says(usage(8.5, 1.5)),
    "usage-truth-values": says(usage(GOOD_PROMPT, output=True)),
    "usage-null": says(usage(None, None)),
    "usage-a-list": says(HEAD + TOKENS + event({"choices": [], "usage": [8, 2]}) + DONE + END),
    "usage-missing": says(HEAD + TOKENS + DONE + END),
    "garbage": says(b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n"),
    "garbage-endless": repeats(b"", b"\x00\xff" * 4096),
    "garbage-chunk-size": says(HEAD + token() + b"zz\r\nnot a size\r\n"),
    "garbage-event": says(HEAD + token() + event(b"{\xff\xfe not json") + TOKENS + DONE + END),
    "garbage-choice": says(HEAD + token() + event({"choices": 7}) + DONE + END),
    "long-line": says(HEAD + event(b"x" * 10 * _MEGABYTE) + TOKENS + DONE + END),
    "long-line-without-end": says_and_waits(
        HEAD + b"b00000\r\n" + b"data: " + b"x" * 10 * _MEGABYTE
    ),
    "long-header": says(b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 10 * _MEGABYTE + HEAD[15:]),
    "long-chunk-size": says(HEAD + b"0" * 10 * _MEGABYTE + b"5\r\ndata:\r\n"),
    "endless-header": repeats(b"HTTP/1.1 200 OK\r\n", b"x-a: a\r\n" * 512),
    "dripping-header": repeats(b"HTTP/1.1 200 OK\r\nx-a: ", b"a", _DRIP_S),
    "dripping-head-that-ends": drips(GOOD),
    "endless-stream": repeats(HEAD, token() * 50),
    "endless-stream-in-time": repeats(HEAD, token(), _DRIP_S),
    "endless-comments": repeats(HEAD + token(), b"4\r\n: x\n\r\n", _DRIP_S),
    "json": says(page("200 OK", json.dumps(_WHOLE).encode(), "content-type: application/json")),
    "page": says(page("200 OK", b"<html>hello</html>", "content-type: text/html")),
    "empty-200": says(page("200 OK", b"")),
    "gzip": says(_zipped()),
    "no-such-version": says(GOOD.replace(b"HTTP/1.1", b"HTTP/9.9", 1)),
    "done-missing": says(GOOD.replace(DONE, b"")),
    "early-hints": says(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + GOOD),
    "continue": says(b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + GOOD),
    "dies": dies,
}
#: What a client has to call each of these; None: it is odd, and no failure.
EXPECTED: dict[str, str | None] = {
    "status-500": "http_error",
    "status-429-forever": "http_error",
    "redirect": "http_error",
    "error-event": "stream_error",
    "error-then-cut": "stream_error",
    "cut-in-body": "truncated",
    "cut-in-event": "truncated",
    "cut-in-head": "truncated",
    "done-without-finish": "truncated",
    "nothing-more": "truncated",
    "stalled": "stalled",
    "stalled-in-head": "stalled",
    "silent": "timeout",
    "reset": "reset",
    "reset-in-head": "reset",
    "reset-at-once": "reset",
    "usage-too-few": "wrong_usage",
    "usage-too-many": "wrong_usage",
    "usage-zero": "wrong_usage",
    "usage-negative": "wrong_usage",
    "usage-text": "wrong_usage",
    "usage-fraction": "wrong_usage",
    "usage-truth-values": "wrong_usage",
    "usage-null": "wrong_usage",
    "usage-a-list": "wrong_usage",
    "usage-missing": "no_usage",
    "garbage": "bad_reply",
    "garbage-endless": "bad_reply",
    "garbage-chunk-size": "bad_reply",
    "garbage-event": "bad_reply",
    "garbage-choice": "bad_reply",
    "long-line": "bad_reply",
    "long-line-without-end": "stalled",
    "long-header": "bad_reply",
    "long-chunk-size": "bad_reply",
    "endless-header": "bad_reply",
    "dripping-header": "timeout",
    "dripping-head-that-ends": None,
    "endless-stream": "bad_reply",
    "endless-stream-in-time": "timeout",
    "endless-comments": "timeout",
    "json": "bad_reply",
    "page": "bad_reply",
    "empty-200": "truncated",
    "gzip": "bad_reply",
    "no-such-version": "bad_reply",
    "done-missing": None,
    "early-hints": None,
    "continue": None,
}


@contextmanager
def faults() -> Iterator[str]:
    """The server's base URL, without a fault; ``/good`` is a fault that is none."""
    with misbehaving(_talk) as url:
        yield url


def _talk(sock: socket.socket) -> None:
    while fault := read_request(sock):
        if fault != "good":
            with suppress(OSError):  # the client has gone: that is what it should do
                FAULTS[fault](sock)
            return
        sock.sendall(GOOD)
