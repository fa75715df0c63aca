"""What the simulator says, as bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
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

    A streamed reply is `first`, then `token` n - 2 times, then `last`; with one token only, it
    is `only`. A reply that is not streamed is `only` as well.
    """

    first: bytes
    token: bytes
    last: bytes
    only: bytes


def script(job: Job, model: str, request_id: str, created: int) -> Script:
    """Everything that will be said to one request."""
    base = {
        "id": ("chatcmpl-" if job.chat else "cmpl-") + request_id,
        "object": "chat.completion.chunk" if job.chat else "text_completion",
        "created": created,
        "model": model,
    }
    usage = {
        "prompt_tokens": job.prompt_tokens,
        "total_tokens": job.prompt_tokens + job.max_tokens,
        "completion_tokens": job.max_tokens,
    }
    word = " " + _WORDS[job.prompt_tokens % len(_WORDS)]
    if not job.stream:
        return Script(b"", b"", b"", _unstreamed(job, base, usage, word, request_id))
    return _streamed(job, base, usage, word, request_id)


def _streamed(
    job: Job, base: dict[str, Any], usage: dict[str, int], word: str, request_id: str
) -> Script:
    head = (
        "HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
        f"x-request-id: {request_id}\r\ntransfer-encoding: chunked\r\n\r\n"
    ).encode("latin-1")
    token = _event({**base, "choices": [_choice(job, word, None)]})
    final = _event({**base, "choices": [_choice(job, word, "length")]})
    if job.include_usage:
        final += _event({**base, "choices": [], "usage": usage})
    final += chunk(b"data: [DONE]\n\n") + END_OF_BODY
    if job.chat:  # vLLM sends the role when the first token is there
        role = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        head += _event({**base, "choices": [role]})
    return Script(head + token, token, final, head + final)


def _unstreamed(
    job: Job, base: dict[str, Any], usage: dict[str, int], word: str, request_id: str
) -> bytes:
    text = word * job.max_tokens
    choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": "length"}
    if job.chat:
        base = {**base, "object": "chat.completion"}
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "length"}
    body = dump({**base, "choices": [choice], "usage": usage})
    return whole(200, body, request_id=request_id)


def _choice(job: Job, word: str, finish: str | None) -> dict[str, Any]:
    if job.chat:
        return {"index": 0, "delta": {"content": word}, "logprobs": None, "finish_reason": finish}
    return {"index": 0, "text": word, "logprobs": None, "finish_reason": finish}


def _event(data: dict[str, Any]) -> bytes:
    return chunk(b"data: " + dump(data) + b"\n\n")
