"""What the simulator says, as bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from typing import Any

from bench_agent.simulator.jobs import Job

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
}
END_OF_BODY = b"0\r\n\r\n"
_WORDS = ("torque", "shaft", "flywheel", "gauge", "rotor", "brake", "crank", "piston")


def dump(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def status_line(status: int) -> str:
    """``200 OK`` and its like."""
    return f"{status} {_REASONS.get(status, 'Error')}"


def whole(status: int, body: bytes, kind: str = "application/json", request_id: str = "") -> bytes:
    """A reply with its length in the head."""
    named = f"x-request-id: {request_id}\r\n" if request_id else ""
    head = (
        f"HTTP/1.1 {status_line(status)}\r\nserver: uvicorn\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\n{named}\r\n"
    )
    return head.encode("latin-1") + body


def chunk(payload: bytes) -> bytes:
    """One chunk of a body in chunks."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


@dataclass(frozen=True)
class Script:
    """The bytes of one reply: `first` goes out with the first token, `last` with the last.

    A streamed reply is `first`, then n - 2 of `tokens`, from the start again after the end, then
    `last`; with one token only, it is `only`. A reply that is not streamed is `only` as well.
    """

    first: bytes
    tokens: tuple[bytes, ...]
    last: bytes
    only: bytes


def script(job: Job, model: str, request_id: str, created: int) -> Script:
    """Everything that will be said to one request."""
    usage = {
        "prompt_tokens": job.prompt_tokens,
        "total_tokens": job.prompt_tokens + job.max_tokens,
        "completion_tokens": job.max_tokens,
    }
    make = _streamed if job.stream else _unstreamed
    return make(job, usage, _Shape.of(job.chat, model, created), request_id)


@dataclass(frozen=True)
class _Shape:
    """What the replies of one second have in common: all that comes after the request's id.

    To dump each event of each request would cost more than all else that is done for one.
    """

    start: str
    role: bytes
    tokens: tuple[bytes, ...]
    last: bytes
    tail: dict[str, Any]

    @classmethod
    @lru_cache(maxsize=4)
    def of(cls, chat: bool, model: str, created: int) -> _Shape:
        """That of a model's replies."""
        kind = "chat.completion.chunk" if chat else "text_completion"
        tail = {"object": kind, "created": created, "model": model}
        role = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        return cls(
            start="chatcmpl-" if chat else "cmpl-",
            role=_rest(tail, choices=[role]),
            tokens=tuple(_rest(tail, choices=[_choice(chat, " " + w, None)]) for w in _WORDS),
            last=_rest(tail, choices=[_choice(chat, " " + _WORDS[-1], "length")]),
            tail=tail,
        )

    def id(self, request_id: str) -> bytes:
        """How all events of a request begin."""
        return b'data: {"id":' + dump(self.start + request_id)


def _rest(tail: dict[str, Any], **more: Any) -> bytes:
    return b"," + dump({**tail, **more})[1:] + b"\n\n"


def _streamed(job: Job, usage: dict[str, int], shape: _Shape, request_id: str) -> Script:
    head = (
        "HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
        f"x-request-id: {request_id}\r\ntransfer-encoding: chunked\r\n\r\n"
    ).encode("latin-1")
    start = shape.id(request_id)
    tokens = tuple(chunk(start + rest) for rest in shape.tokens)
    final = chunk(start + shape.last)
    if job.include_usage:
        final += chunk(start + _rest(shape.tail, choices=[], usage=usage))
    final += chunk(b"data: [DONE]\n\n") + END_OF_BODY
    if job.chat:  # vLLM sends the role when the first token is there
        head += chunk(start + shape.role)
    return Script(head + tokens[-1], tokens, final, head + final)


def _unstreamed(job: Job, usage: dict[str, int], shape: _Shape, request_id: str) -> Script:
    text = "".join(" " + word for word in islice(cycle(_WORDS), job.max_tokens))
    choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": "length"}
    tail = shape.tail
    if job.chat:
        tail = {**tail, "object": "chat.completion"}
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "length"}
    body = dump({"id": shape.start + request_id, **tail, "choices": [choice], "usage": usage})
    only = whole(200, body, request_id=request_id)
    return Script(b"", (b"",), b"", only)


def _choice(chat: bool, word: str, finish: str | None) -> dict[str, Any]:
    if chat:
        return {"index": 0, "delta": {"content": word}, "logprobs": None, "finish_reason": finish}
    return {"index": 0, "text": word, "logprobs": None, "finish_reason": finish}
