"""One worker process: an epoll over its connections, and thinking only when nothing has come."""

from __future__ import annotations

import json
import os
import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from bench_agent import clock, stamps
from bench_agent.http1 import HttpError
from bench_agent.load.arrivals import Arrivals
from bench_agent.load.connections import SENDING, Connections
from bench_agent.load.link import READ, Link
from bench_agent.load.plan import Endpoint, Load, request_id
from bench_agent.load.reply import Exchange, Reading
from bench_agent.load.source import Prepared, RequestSource
from bench_agent.protocol import RequestRecord

_TICK_NS = 200_000_000
#: Replies that may wait to be read while sockets are busy all the time.
_BACKLOG = 1024
_TICK_S = _TICK_NS / 1e9


@dataclass
class Tally:
    """What one worker has done so far. `streaming`: events of replies that are not over."""

    requested: int = 0
    completed: int = 0
    failed: int = 0
    output_tokens: int = 0
    streaming: int = 0
    cpu_s: float = 0.0
    clock_step_ms: float = 0.0
    ended_ns: int = 0


class Worker:
    """Puts its share of a load on. `write` takes each record as a line; `control` is the
    descriptor that the parent speaks on: ``stop``, or its end when the parent is gone.
    """  # noqa: D205 - one thought

    def __init__(
        self,
        load: Load,
        endpoints: Sequence[Endpoint],
        indexes: Sequence[int],
        arrivals: Arrivals,
        *,
        number: int,
        control: int,
        write: Callable[[bytes], None],
        report: Callable[[Tally], None],
    ) -> None:
        self.tally = Tally()
        self._load = load
        self._total = len(indexes)
        self._arrivals = arrivals
        self._number = number
        self._control = control
        self._write = write
        self._report = report
        self._source = RequestSource(load, endpoints, indexes)
        self._connections = Connections(endpoints)
        self._readings: deque[tuple[Exchange, Reading]] = deque()
        self._deadlines: deque[tuple[int, Link, Exchange]] = deque()
        self._timeout_ns = int(load.timeout_s * 1e9)
        self._stopping = False
        self._over = 0  # records written
        self._next_tick_ns = 0
        self._cpu_start = 0.0
        self._clock_gap = 0

    def prepare(self, streams: int) -> None:
        """Everything that can be done before the clock starts."""
        self._source.prepare(streams)
        self._connections.open_ahead(streams)
        self._connections.epoll.register(self._control, select.EPOLLIN)

    def run(self, start_ns: int) -> None:
        """Put the load on; returns when all is over, or the parent said so."""
        self._cpu_start = time.process_time()
        self._clock_gap = clock.gap_ns()
        self._arrivals.begin(start_ns)
        time.sleep(max(0, start_ns - time.time_ns()) / 1e9)
        self._start_due()
        while self._over < self._total and not self._stopping:
            events = self._connections.epoll.poll(self._patience_s())
            self._drain(events)
            self._connections.bury()
            self._start_due()
            if not events or len(self._readings) > _BACKLOG:
                self._think()
            if time.monotonic_ns() >= self._next_tick_ns:
                self._tick()
        if self._stopping:
            self._give_up()
        self._connections.close_all()
        self._tick()

    def _patience_s(self) -> float:
        if self._readings or self._source.wants_more():
            return 0.0
        due = self._arrivals.next_due_ns()
        return _TICK_S if due is None else min(max(0, due - time.time_ns()) / 1e9, _TICK_S)

    def _start_due(self) -> None:
        while (due := self._arrivals.take(time.time_ns())) is not None:
            self._start(self._source.take(), due)

    def _start(self, prepared: Prepared, due_ns: int) -> None:
        link = self._connections.take(prepared.endpoint)
        name = request_id(self._load.name, prepared.index)
        exchange = Exchange(prepared.index, name, link.endpoint.url, due_ns)
        self.tally.requested += 1
        self._deadlines.append((time.monotonic_ns() + self._timeout_ns, link, exchange))
        self._send(link, exchange, prepared.data)

    def _send(self, link: Link, exchange: Exchange, data: bytes) -> None:
        link.assign(exchange, data)
        if link.refusal is not None:
            self._end(link, "refused", link.refusal)
        elif link.connected:
            self._push(link)

    def _push(self, link: Link) -> None:
        try:
            whole = link.push()
        except OSError as error:
            self._broken(link, error.strerror)
            return
        if not whole:
            self._connections.epoll.modify(link.fd, SENDING)

    def _drain(self, events: list[tuple[int, int]]) -> None:
        links = self._connections.links
        for fd, mask in events:
            if fd == self._control:
                self._obey()
                continue
            link = links.get(fd)
            if link is None:
                continue
            if mask != select.EPOLLIN and not self._writable(link, mask):
                continue
            try:
                data, ancillary, _flags, _address = link.recvmsg(READ, stamps.ANCILLARY)
            except BlockingIOError:
                continue
            except OSError as error:
                self._broken(link, error.strerror)
                continue
            link.reads.append(data)
            link.stamps.append(ancillary[0][2] if ancillary else time.time_ns())
            if not link.plain or data.endswith(b"\r\n\r\n") or len(data) < 5:
                self._look(link, data)

    def _writable(self, link: Link, mask: int) -> bool:
        """Deal with what is no plain arrival; whether there may be data as well."""
        if not link.connected:
            if not link.finish_connect():
                self._end(link, "refused", link.refusal)
                return False
            self._push_or_rest(link)
        elif mask & select.EPOLLOUT:
            self._push_or_rest(link)
        return bool(mask & ~select.EPOLLOUT) and self._connections.links.get(link.fd) is link

    def _push_or_rest(self, link: Link) -> None:
        self._connections.epoll.modify(link.fd, select.EPOLLIN)
        if link.unsent:
            self._push(link)

    def _look(self, link: Link, data: bytes) -> None:
        if link.exchange is None:  # closed while idle, or talking without being asked
            self._connections.close(link)
            return
        if not data:
            link.reads.pop()
            link.stamps.pop()
            self._broken(link, "the server closed the connection", "closed")
            return
        try:
            over = link.look(data)
        except HttpError as error:
            self._end(link, "reset", str(error))
            return
        if over:
            self._end(link, None, None)

    def _broken(self, link: Link, error: str | None, cause: str = "reset") -> None:
        exchange = link.exchange
        if exchange is not None and not exchange.reads and link.used > 1:
            # The server had closed a kept connection: that is no failure of this request.
            request, link.exchange = link.request, None
            self._connections.close(link)
            fresh = self._connections.open(link.number)
            exchange.sent_ns = 0
            deadline = time.monotonic_ns() + self._timeout_ns
            self._deadlines.append((deadline, fresh, exchange))
            self._send(fresh, exchange, request)
            return
        self._end(link, cause, error)

    def _end(self, link: Link, cause: str | None, error: str | None) -> None:
        exchange = link.exchange
        link.exchange = None
        if exchange is None:
            self._connections.close(link)
            return
        now = time.time_ns()
        stamp = exchange.stamps[-1] if exchange.stamps and cause in (None, "closed") else now
        exchange.done_ns = stamps.decode(stamp) if isinstance(stamp, bytes) else stamp
        exchange.sent_ns = exchange.sent_ns or now
        exchange.cause, exchange.error = cause, error
        link.reads, link.stamps = [], []
        if cause is None and link.keeps_alive and not link.unsent:
            self._connections.release(link)
        else:
            self._connections.close(link)
        self._readings.append((exchange, Reading(exchange, chat=self._load.api == "chat")))
        self._arrivals.freed(exchange.done_ns)

    def _expire(self) -> None:
        while self._deadlines:
            deadline, link, exchange = self._deadlines[0]
            if link.exchange is exchange:
                if deadline > time.monotonic_ns():
                    return
                self._end(link, "timeout", f"no end within {self._load.timeout_s:g} s")
            self._deadlines.popleft()

    def _think(self) -> None:
        """One slice of work that can wait."""
        if self._readings:
            exchange, reading = self._readings[0]
            if reading.advance():
                self._readings.popleft()
                self._finish(exchange, reading.record(self._number))
        elif self._source.wants_more():
            self._source.make_one()

    def _finish(self, exchange: Exchange, record: RequestRecord) -> None:
        exchange.reads.clear()
        self._over += 1
        self.tally.completed += record.success
        self.tally.failed += not record.success
        self.tally.output_tokens += (record.output_tokens or 0) if record.success else 0
        self.tally.ended_ns = max(self.tally.ended_ns, record.done_ns)
        self._write(encode_record(record, self._load.api_key))

    def _obey(self) -> None:
        self._stopping = True
        if not os.read(self._control, 64):
            os._exit(1)  # the parent is gone: nobody wants the rest

    def _give_up(self) -> None:
        for link in list(self._connections.links.values()):
            if link.exchange is not None and link.exchange.sent_ns:
                self._end(link, "stopped", "the run ended before the request did")
        while self._readings:
            self._think()

    def _tick(self) -> None:
        """What need not be done for every token."""
        self._expire()
        self._next_tick_ns = time.monotonic_ns() + _TICK_NS
        tally = self.tally
        links = self._connections.links.values()
        tally.streaming = sum(max(0, len(k.reads) - 1) for k in links if k.exchange)
        tally.cpu_s = time.process_time() - self._cpu_start
        step = abs(clock.gap_ns() - self._clock_gap) / 1e6
        tally.clock_step_ms = max(tally.clock_step_ms, step)
        self._report(tally)


def encode_record(record: RequestRecord, secret: str | None) -> bytes:
    """A line of records.jsonl, without the API key that an error might repeat."""
    if secret and record.error:
        record = replace(record, error=record.error.replace(secret, "[REDACTED]"))
    return json.dumps(record.__dict__, separators=(",", ":")).encode() + b"\n"


def encode_report(kind: str, tally: Tally) -> bytes:
    """A line to the parent."""
    return json.dumps({"kind": kind, **asdict(tally)}).encode() + b"\n"
