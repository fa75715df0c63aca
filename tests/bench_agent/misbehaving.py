"""A server that fails in the way its path names: ``http://127.0.0.1:PORT/<behaviour>``.

It lives in a forked process: a load forks its workers, and must not do so beside threads.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CLOSE_DELIMITED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
END = b"0\r\n\r\n"


def event(data: object) -> bytes:
    """One event in one chunk."""
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    payload = b"data: " + text + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def token(finish: str | None = None) -> bytes:
    """One token of a completion."""
    return event({"choices": [{"index": 0, "text": " a", "finish_reason": finish}]})


USAGE = event({"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 2}})
DONE = event(b"[DONE]")
TOKENS = token() + token("length")

REPLIES = {
    "good": HEAD + TOKENS + USAGE + DONE + END,
    "good-without-done": HEAD + TOKENS + USAGE + END,
    "good-until-close": CLOSE_DELIMITED
    + b'data: {"choices":[{"text":" a","finish_reason":null}]}\n\n'
    + b'data: {"choices":[{"text":" a","finish_reason":"length"}]}\n\n'
    + b'data: {"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":2}}\n\ndata: [DONE]\n\n',
    "good-then-close": HEAD + TOKENS + USAGE + DONE + END,
    "status-500": b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\nbang",
    "status-500-empty": b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
    "error-event": HEAD + token() + event({"error": {"message": "out of memory"}}) + DONE + END,
    "cut": HEAD + token(),
    "no-finish": HEAD + token() + USAGE + DONE + END,
    "no-tokens": HEAD + event({"choices": [], "usage": {"prompt_tokens": 8}}) + DONE + END,
    "nothing-but-finish": HEAD + USAGE + DONE + END,
    "no-usage": HEAD + TOKENS + DONE + END,
    "garbage": b"\x16\x03\x01 this is no HTTP\r\n\r\n",
    "garbage-chunks": HEAD + b"zz\r\nnot a size\r\n",
    "garbage-json": HEAD + event(b"{not json") + DONE + END,
    "garbage-value": HEAD + event(b"[1]") + DONE + END,
    "not-a-stream": b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n<html>hi</html>",
    "silent": b"",
    "stalls": HEAD + token(),
    "reset": HEAD + token(),
    "closes-before-reply": b"",
}
#: What a client has to call each of these.
EXPECTED = {
    "good": None,
    "good-without-done": None,
    "good-until-close": None,
    "good-then-close": None,
    "status-500": "http_error",
    "status-500-empty": "http_error",
    "error-event": "stream_error",
    "cut": "truncated",
    "no-finish": "truncated",
    "no-tokens": "wrong_usage",
    "nothing-but-finish": "truncated",
    "no-usage": "no_usage",
    "garbage": "bad_reply",
    "garbage-chunks": "bad_reply",
    "garbage-json": "bad_reply",
    "garbage-value": "bad_reply",
    "not-a-stream": "bad_reply",
    "silent": "timeout",
    "stalls": "timeout",
    "reset": "reset",
    "closes-before-reply": "reset",
}
_KEEPS_OPEN = ("good", "good-without-done", "status-500", "status-500-empty", "silent", "stalls")


@contextmanager
def misbehaving(talk: Callable[[socket.socket], None] | None = None) -> Iterator[str]:
    """The server's base URL, without a behaviour; *talk* serves one connection."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            _serve(listener, talk or _talk)
        finally:
            os._exit(1)
    with suppress(OSError):  # it was quicker
        os.setpgid(pid, pid)
    port = listener.getsockname()[1]
    listener.close()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _serve(listener: socket.socket, talk: Callable[[socket.socket], None]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    while True:
        sock, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            try:
                talk(sock)
            finally:
                os._exit(0)
        sock.close()


def _talk(sock: socket.socket) -> None:
    while behaviour := read_request(sock):
        sock.sendall(REPLIES[behaviour])
        if behaviour in ("silent", "stalls"):
            sock.recv(1)  # until the client gives up
            return
        if behaviour == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if behaviour not in _KEEPS_OPEN:
            return


def read_request(sock: socket.socket) -> str | None:
    """Read one request; the first folder of its path."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().partition(b": ")[::2] for line in head.split(b"\r\n")[1:])
    left = int(fields.get(b"content-length", 0)) - len(body)
    while left > 0:
        left -= len(sock.recv(left))
    return head.split(b" ")[1].split(b"/")[1].decode()
