"""What the timing server says and reads: events, heads, stamps. The standard library alone."""

from __future__ import annotations

import json
import socket
import struct
import time
from array import array
from dataclasses import dataclass, field
from typing import Any

STAMPED = 35  # SO_TIMESTAMPNS
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
_TEXTS = 1024  # tokens that differ, a power of two
_WORDS = ("the", "of", "measure", "it", "dynamometer", "a", "token", "is", "streaming", "un")


def text_of(number: int) -> str:
    """The text of token *number*: words of many lengths, some of which JSON must escape."""
    if number % 37 == 36:
        return (' "', "\n", " é", "\\")[number // 37 % 4]
    return f" {_WORDS[number % len(_WORDS)]}{number * 7919 % 997 if number % 3 else ''}"


class Shape:
    """How the events of one API look: what comes before the id, and after it."""

    def __init__(self, model: str, *, chat: bool) -> None:
        kind = "chat.completion.chunk" if chat else "text_completion"
        self.chat = chat
        self.prefix = "chatcmpl-" if chat else "cmpl-"
        self.after_id = f'","object":"{kind}","created":%d,"model":{json.dumps(model)},'
        self.length = len(self.middle(0, int(time.time())))
        self.pieces = [self._piece(self._choice(text_of(k), None)) for k in range(_TEXTS)]

    def middle(self, number: int, created: int) -> bytes:
        """What all events of one reply have in common; always as long."""
        return f'data: {{"id":"{self.prefix}{number:032x}{self.after_id % created}'.encode()

    def last(self, number: int, middle: bytes) -> bytes:
        """The token that ends a reply."""
        return self._join(middle, self._choice(text_of(number & (_TEXTS - 1)), "length"))

    def role(self, middle: bytes) -> bytes:
        """What a chat begins with; nothing for a completion."""
        if not self.chat:
            return b""
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        return self._join(middle, f'"choices":[{dump(choice)}]}}')

    def usage(self, middle: bytes, prompt: int, output: int) -> bytes:
        """The token counts."""
        usage = {"prompt_tokens": prompt, "total_tokens": prompt + output}
        usage["completion_tokens"] = output
        return self._join(middle, f'"choices":[],"usage":{dump(usage)}}}')

    def _choice(self, text: str, finish: str | None) -> str:
        said: dict[str, Any] = {"delta": {"content": text}} if self.chat else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
        return f'"choices":[{dump(choice | {"stop_reason": None})}],"usage":null}}'

    def _piece(self, tail: str) -> tuple[bytes, bytes]:
        end = tail.encode() + b"\n\n"
        return b"%x\r\n" % (self.length + len(end)), end + b"\r\n"

    def _join(self, middle: bytes, tail: str) -> bytes:
        size, end = self._piece(tail)
        return size + middle + end


def dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def stamp_of(ancillary: list[tuple[int, int, bytes]]) -> int:
    """When the kernel got it, in ns; now, where it does not say."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, STAMPED):
            seconds, nanoseconds = struct.unpack("qq", data)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return time.time_ns()


def fields_of(head: bytes) -> tuple[list[str], dict[str, str]]:
    """The words of the request line, and the fields by their names in lower case."""
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in rest]
    return [*first.split(" "), "", ""], {name.lower(): value.strip() for name, _, value in pairs}


def count_of(prompt: Any) -> int:
    """Tokens of a prompt: ids, or words."""
    if isinstance(prompt, list) and not any(isinstance(each, dict) for each in prompt):
        return len(prompt)
    texts = prompt if isinstance(prompt, list) else [{"content": prompt}]
    return sum(len(str(each.get("content")).split()) for each in texts)


@dataclass(slots=True)
class Truth:
    """What is told of one request later."""

    name: str
    arrived: int
    sent: array[int] = field(default_factory=lambda: array("q"))
    cut: bool = False

    def line(self) -> bytes:
        """As JSON."""
        told = {"request_id": self.name, "arrived_ns": self.arrived, "cut": self.cut}
        return json.dumps(told | {"sent_ns": self.sent.tolist()}).encode() + b"\n"


def listen(port: int) -> socket.socket:
    """On loopback; *port* 0 is any."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, STAMPED, 1)  # accepted sockets inherit all three
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # BBR, where it is the default, paces: a token would leave long after its stamp
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    listener.bind(("127.0.0.1", port))
    listener.listen(4096)
    listener.setblocking(False)
    return listener
