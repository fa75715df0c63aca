"""What a reply says, read after it is over: reads and stamps to a RequestRecord."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bench_agent import stamps
from bench_agent.http1 import Body, HttpError, body_of, split_head
from bench_agent.load.pattern import Pattern
from bench_agent.load.sse import EventStream
from bench_agent.protocol import RequestRecord

#: A stamp: the kernel's raw timespec, or nanoseconds of our own clock.
Stamp = bytes | int
_HEAD_OF_ERROR = 500
#: Reads that are worked off at a time, so that sockets need not wait.
SLICE = 64


@dataclass
class Exchange:
    """One request and the bytes that came back. `cause`: why it ended early, if it did."""

    index: int
    request_id: str
    endpoint: str
    due_ns: int
    sent_ns: int = 0
    done_ns: int = 0
    reads: list[bytes] = field(default_factory=list)
    stamps: list[Stamp] = field(default_factory=list)
    cause: str | None = None
    error: str | None = None


class _GarbageError(ValueError):
    """An event that is not what the API says."""


class Reading:
    """Reads one exchange, slice by slice; `record` is there when `advance` returned True."""

    def __init__(self, exchange: Exchange, *, chat: bool) -> None:
        self._exchange = exchange
        self._chat = chat
        self._at = 0
        self._head = b""
        self._body: Body | None = None
        self._events = EventStream()
        self._status: int | None = None
        self._start_of_body = b""
        self._pattern = Pattern("content" if chat else "text")
        self._counted: list[int] = []  # the read of each counted chunk
        self._first_content: int | None = None  # its read
        self._finish: str | None = None
        self._usage: tuple[int, int] | None = None
        self._between = False  # the next byte begins a chunk and an event
        self._done = False  # [DONE] was said
        self._stream_error: str | None = None
        self._garbage: str | None = None
        self._broken_http: str | None = None

    def advance(self) -> bool:
        """Work off one slice; True when all is read."""
        reads = self._exchange.reads
        if self._broken_http is None:
            try:
                self._read_slice(reads[self._at : self._at + SLICE])
                self._at += SLICE
                if self._at < len(reads):
                    return False
                self._close()
            except HttpError as error:
                self._broken_http = str(error)
        return True

    def _read_slice(self, reads: list[bytes]) -> None:
        fits, counted = self._pattern.fits_read, self._counted
        for number, data in enumerate(reads, self._at):
            if self._between and fits(data):
                counted.append(number)
            else:
                self._read_slowly(number, data)

    def _read_slowly(self, number: int, data: bytes) -> None:
        payload = self._payload(data)
        if len(self._start_of_body) < _HEAD_OF_ERROR:
            self._start_of_body += payload[:_HEAD_OF_ERROR]
        if self._status == 200 and payload:
            self._take(number, self._events.feed(payload))
        body = self._body
        self._between = (
            self._status == 200
            and body is not None
            and body.between_chunks
            and self._events.between_events
        )

    def _payload(self, data: bytes) -> bytes:
        if self._body is not None:
            return self._body.feed(data)
        self._head += data
        if self._head[:5] != b"HTTP/"[: len(self._head)]:
            raise HttpError(f"not HTTP: {self._head[:80]!r}")
        split = split_head(self._head)
        if split is None:
            return b""
        head, rest = split
        self._status = head.status
        self._head = b""
        if 100 <= self._status < 200:  # an interim reply; the real one follows
            return self._payload(rest) if rest else b""
        self._body = body_of(head, response=True)
        return self._body.feed(rest)

    def _close(self) -> None:
        if self._body is not None and self._exchange.cause == "closed":
            self._body.close()
        if self._status == 200 and self._exchange.reads:
            self._take(len(self._exchange.reads) - 1, self._events.close())

    def _take(self, number: int, found: list[bytes]) -> None:
        for event in found:
            if self._pattern.fits(event):
                self._counted.append(number)
            elif event == b"[DONE]":
                self._done = True
            else:
                self._parse(number, event)

    def _parse(self, number: int, event: bytes) -> None:
        try:
            self._take_event(number, event, json.loads(event))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            self._garbage = self._garbage or f"not an event of the API: {error}"

    def _take_event(self, number: int, event: bytes, data: Any) -> None:
        if not isinstance(data, dict):
            raise _GarbageError(repr(data)[:80])
        if data.get("error") or data.get("object") == "error":
            self._stream_error = self._stream_error or json.dumps(data)[:_HEAD_OF_ERROR]
            return
        usage = data.get("usage")
        if usage:
            self._usage = (int(usage["prompt_tokens"]), int(usage["completion_tokens"]))
        if choices := data.get("choices"):
            choice = choices[0]
            finish = choice.get("finish_reason")
            self._finish = finish or self._finish
            counted, text = _chat(choice) if self._chat else (True, choice.get("text"))
            if counted:
                self._counted.append(number)
            if text and self._first_content is None:
                self._first_content = number
            if text and not finish and not usage:
                self._pattern.learn(event, text)

    def record(self, worker: int) -> RequestRecord:
        """What was measured."""
        exchange = self._exchange
        failure, error = self._failure()
        at = [_nanoseconds(stamp) for stamp in exchange.stamps]
        chunks = [at[number] for number in self._counted]
        kernel = all(isinstance(exchange.stamps[number], bytes) for number in self._counted)
        sharing = Counter(self._counted)
        sent = exchange.sent_ns
        return RequestRecord(
            index=exchange.index,
            request_id=exchange.request_id,
            endpoint=exchange.endpoint,
            success=failure is None,
            due_ns=exchange.due_ns,
            sent_ns=sent,
            done_ns=exchange.done_ns,
            first_chunk_ns=chunks[0] if chunks else None,
            first_content_ns=None if self._first_content is None else at[self._first_content],
            last_chunk_ns=chunks[-1] if chunks else None,
            chunk_ns=tuple([stamp - sent for stamp in chunks]),
            prompt_tokens=self._usage[0] if self._usage else None,
            output_tokens=self._usage[1] if self._usage else None,
            finish_reason=self._finish,
            failure=failure,
            error=error,
            http_status=self._status,
            stamped_by="kernel" if kernel and chunks else "user",
            reads=len(sharing),
            coalesced=sum(1 for events in sharing.values() if events > 1),
            worker=worker,
        )

    def _failure(self) -> tuple[str | None, str | None]:
        exchange = self._exchange
        body = self._start_of_body[:_HEAD_OF_ERROR].decode(errors="replace")
        if exchange.cause == "refused" or not exchange.reads:
            return exchange.cause if exchange.cause != "closed" else "reset", exchange.error
        if self._broken_http is not None:
            return "bad_reply", self._broken_http
        if self._status is not None and self._status != 200:
            return "http_error", body or f"status {self._status}"
        if self._stream_error is not None:
            return "stream_error", self._stream_error
        if self._garbage is not None:
            return "bad_reply", self._garbage
        return self._incomplete(body)

    def _incomplete(self, body: str) -> tuple[str | None, str | None]:
        exchange = self._exchange
        whole = self._body is not None and self._body.done
        if not whole and not (self._done and self._finish and self._usage):
            cause = exchange.cause or "reset"
            broke = "the connection closed in the middle of the reply"
            return ("reset", broke) if cause == "closed" else (cause, exchange.error)
        if not self._counted and not self._done and body:
            return "bad_reply", f"not an event stream: {body}"
        if not self._finish:
            return "truncated", "the stream ended without a finish reason"
        if not self._counted:
            return "truncated", "the stream ended without a token"
        if not self._usage:
            return "no_usage", "the reply bears no token counts"
        return None, None


def _nanoseconds(stamp: Stamp) -> int:
    return stamps.decode(stamp) if isinstance(stamp, bytes) else stamp


def _chat(choice: dict[str, Any]) -> tuple[bool, Any]:
    """Whether vLLM counts this chunk, and the text in it."""
    delta = choice.get("delta") or {}
    content = delta.get("content")
    text = content or delta.get("reasoning")
    other = delta.get("tool_calls") or delta.get("function_call")
    counted = bool(text or other or (content == "" and "role" not in delta))
    return counted, text
