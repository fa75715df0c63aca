"""What a reply says: reads and stamps to a RequestRecord.

Reads that are one event like the ones before are told by `Pattern` as they come, and only their
stamps are kept. All others are kept with their bytes, and read when there is time.
"""

from __future__ import annotations

import json
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from bench_agent import stamps
from bench_agent.http1 import Body, HttpError, body_of, split_head
from bench_agent.load.failure import failure_of
from bench_agent.load.pattern import Pattern
from bench_agent.load.sse import EventStream
from bench_agent.protocol import RequestRecord

HEAD_OF_ERROR = 500
#: Reads that are worked off at a time, so that sockets need not wait.
SLICE = 64


@dataclass
class Exchange:
    """One request and what came back. `cause`: why it ended early, if it did.

    `stamps`: a timespec (seconds, nanoseconds) for each read; `unread`: the reads that are still
    to be understood, with their numbers.
    """

    index: int
    request_id: str
    endpoint: str
    due_ns: int
    sent_ns: int = 0
    done_ns: int = 0
    stamps: array[int] = field(default_factory=lambda: array("q"))
    unread: deque[tuple[int, bytes]] = field(default_factory=deque)
    by_kernel: bool = True
    cause: str | None = None
    error: str | None = None
    asked_tokens: int | None = None
    asked_prompt_tokens: int | None = None

    @property
    def reads(self) -> int:
        """How many reads there were."""
        return len(self.stamps) // 2

    def stamp(self, at_ns: int) -> None:
        """A read at that time by our own clock."""
        self.by_kernel = False
        self.stamps.extend(stamps.parted(at_ns))

    def drop_read(self) -> None:
        """The newest read was none."""
        del self.stamps[-2:]

    def last_ns(self) -> int:
        """When the newest read came."""
        return stamps.joined(self.stamps[-2], self.stamps[-1])


class Reading:
    """Reads one exchange, slice by slice, as it comes; `record` when it is over and all is read.

    `usage` False: the server is known to send no token counts; the text must do.
    """

    def __init__(
        self, exchange: Exchange, *, chat: bool, usage: bool = True, texts: bool = False
    ) -> None:
        self.exchange = exchange
        self.pattern = Pattern()
        self.body: Body | None = None
        self.keeps_alive = True
        self.status: int | None = None
        self.start_of_body = b""
        self.counted: dict[int, int] = {}  # counted chunks of each read that was understood here
        self.finish: str | None = None
        self.usage: tuple[int, int] | None = None
        self.needs_usage = usage
        self.done = False  # [DONE] was said
        self.stream_error: str | None = None
        self.garbage: str | None = None
        self.bad_usage: str | None = None
        self.broken_http: str | None = None
        self._chat = chat
        self._texts: list[str] | None = [] if texts else None
        self._head = b""
        self._events = EventStream()
        self._first_content: int | None = None  # its read

    @property
    def over(self) -> bool:
        """Whether the reply is whole, as far as it was read."""
        return self.broken_http is not None or (self.body is not None and self.body.done)

    @property
    def chunks(self) -> int:
        """How many chunks were counted."""
        return self.exchange.reads - len(self.counted) + sum(self.counted.values())

    @property
    def fast(self) -> bool:
        """Whether reads may be told by the pattern alone."""
        return self._texts is None and self.pattern.known and self._between

    def advance(self) -> bool:
        """Work off one slice; True when nothing is left to be read."""
        unread = self.exchange.unread
        for _ in range(min(SLICE, len(unread))):
            number, data = unread.popleft()
            self.counted[number] = 0
            if self.broken_http is not None:
                continue
            try:
                self._read(number, data)
            except HttpError as error:
                self.broken_http = str(error)
        return not unread

    @property
    def _between(self) -> bool:
        """Whether the next byte begins a chunk, if there are chunks, and an event."""
        body = self.body
        return (
            body is not None and (body.between_chunks or body.open_end)
        ) and self._events.between_events

    def _read(self, number: int, data: bytes) -> None:
        if self.fast and (events := self.pattern.events_in(data)):
            self.counted[number] = events
            return
        payload = self._payload(data)
        if len(self.start_of_body) < HEAD_OF_ERROR:
            self.start_of_body += payload[:HEAD_OF_ERROR]
        if self.status == 200 and payload:
            self._take(number, self._events.feed(payload))

    def _payload(self, data: bytes) -> bytes:
        if self.body is not None:
            return self.body.feed(data)
        self._head += data
        if self._head[:5] != b"HTTP/"[: len(self._head)]:
            raise HttpError(f"not HTTP: {self._head[:80]!r}")
        split = split_head(self._head)
        if split is None:
            return b""
        head, rest = split
        self.status = head.status
        self._head = b""
        if 100 <= self.status < 200:  # an interim reply; the real one follows
            return self._payload(rest) if rest else b""
        if (coding := head.fields.get("content-encoding", "identity")) != "identity":
            raise HttpError(f"the reply is {coding[:40]}, which was not asked for")
        self.keeps_alive = head.keeps_alive
        self.body = body_of(head, response=True)
        return self.body.feed(rest)

    def _take(self, number: int, found: list[bytes]) -> None:
        for event in found:
            if self._texts is None and self.pattern.fits(event):
                self.counted[number] += 1
            elif event == b"[DONE]":
                self.done = True
            else:
                self._parse(number, event)

    def _parse(self, number: int, event: bytes) -> None:
        try:
            self._take_event(number, event, json.loads(event))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            self.garbage = self.garbage or f"not an event of the API: {error}"

    def _take_event(self, number: int, event: bytes, data: Any) -> None:
        if not isinstance(data, dict):
            raise ValueError(f"{data!r:.80}")  # noqa: TRY004 - one way out for all nonsense
        if data.get("error") or data.get("object") == "error":
            self.stream_error = self.stream_error or json.dumps(data)[:HEAD_OF_ERROR]
            return
        if usage := data.get("usage"):
            self._take_usage(usage)
        if choices := data.get("choices"):
            choice = choices[0]
            finish = choice.get("finish_reason")
            self.finish = finish or self.finish
            counted, key, text = _chat(choice) if self._chat else (True, "text", choice["text"])
            self.counted[number] += counted
            if text and key in ("text", "content") and self._first_content is None:
                self._first_content = number
            if text and self._texts is not None:
                self._texts.append(text)
            if text and not finish and not usage:
                chunked = self.body is not None and not self.body.open_end
                self.pattern.learn(event, key, text, chunked=chunked)

    def _take_usage(self, usage: Any) -> None:
        try:
            found = usage["prompt_tokens"], usage["completion_tokens"]
        except (KeyError, TypeError):
            found = None, None
        if type(found[0]) is int and type(found[1]) is int:
            self.usage = found
        else:
            self.bad_usage = f"usage is {json.dumps(usage)[:200]}"

    def record(self, worker: int) -> RequestRecord:
        """What was measured."""
        self._close()
        exchange = self.exchange
        failure, error = failure_of(self)
        sent = exchange.sent_ns
        reads = [at - sent for at in stamps.all_joined(exchange.stamps)]
        content = self._first_content
        chunks = self._chunks(reads)
        return RequestRecord(
            index=exchange.index,
            request_id=exchange.request_id,
            endpoint=exchange.endpoint,
            success=failure is None,
            due_ns=exchange.due_ns,
            sent_ns=sent,
            done_ns=exchange.done_ns,
            first_chunk_ns=sent + chunks[0] if chunks else None,
            first_content_ns=None if content is None else sent + reads[content],
            last_chunk_ns=sent + chunks[-1] if chunks else None,
            chunk_ns=tuple(chunks),
            prompt_tokens=self.usage[0] if self.usage else None,
            output_tokens=self.usage[1] if self.usage else None,
            finish_reason=self.finish,
            failure=failure,
            error=error,
            http_status=self.status,
            stamped_by="kernel" if exchange.by_kernel and chunks else "user",
            reads=len(reads) - sum(not count for count in self.counted.values()),
            coalesced=sum(count > 1 for count in self.counted.values()),
            worker=worker,
            asked_tokens=exchange.asked_tokens,
            asked_prompt_tokens=exchange.asked_prompt_tokens,
            tokens_from="usage" if self.usage or self.needs_usage else "tokenizer",
            text=None if self._texts is None else "".join(self._texts),
        )

    def _close(self) -> None:
        if self.body is not None and self.exchange.cause == "closed":
            self.body.close()
        # What a cut left of an event is no event.
        whole = self.status == 200 and self.body is not None and self.body.done
        if whole and (found := self._events.close()):
            self._take(max(self.counted), found)

    def _chunks(self, reads: list[int]) -> list[int]:
        """The times of the counted chunks, from those of the reads."""
        chunks: list[int] = []
        at = 0
        for number, count in self.counted.items():
            chunks += reads[at:number]
            chunks += [reads[number]] * count
            at = number + 1
        return chunks + reads[at:]


def _chat(choice: dict[str, Any]) -> tuple[bool, str, Any]:
    """Whether this chunk counts, and the text in it.

    As vLLM's client decides it, but ``reasoning_content`` is reasoning, too.
    """
    delta = choice.get("delta") or {}
    for key in ("content", "reasoning", "reasoning_content"):
        if text := delta.get(key):
            return True, key, text
    other = delta.get("tool_calls") or delta.get("function_call")
    return bool(other or (delta.get("content") == "" and "role" not in delta)), "content", None
