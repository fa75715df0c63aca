"""One worker process: an epoll over its connections, and thinking only when nothing has come.

A read that is one event like those before costs a comparison; what else has come is kept, and
read when the sockets are empty. Nothing is late because another thing is being parsed.

The kernel stamps what arrives, so a look at the sockets need not follow at once: while tokens
come fast, the loop looks about once in `_PAUSE_NS` and does many of them in one go. The pause is
short against the gaps between the tokens of a stream; a read that holds two of them would lose the
first one's stamp, but for replies that are followed (`Follower`).
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Sequence

from bench_agent import clock, stamps
from bench_agent.load import follower
from bench_agent.load.arrivals import Arrivals
from bench_agent.load.backlog import Backlog
from bench_agent.load.connections import Connections
from bench_agent.load.link import READ, Link
from bench_agent.load.pattern import MOST
from bench_agent.load.plan import Endpoint, Load, encode_head
from bench_agent.load.reply import Exchange, Reading
from bench_agent.load.source import Prepared, RequestSource
from bench_agent.load.tally import Tally, encode_record
from bench_agent.load.watch import Watch

_TICK_NS = 200_000_000
_TICK_S = _TICK_NS / 1e9
_PAUSE_NS = 2_000_000
#: With fewer events than this in a look, there is no rush that a pause could order.
_RUSH = 8
#: Causes of an end that the last read is the time of.
_ENDED = (None, "closed")
_REFUSED_NS = 100_000_000
#: A connection that breaks so soon after a request had been closed before it.
_STALE_NS = 250_000_000
_CLOSED = "the server closed the connection"
_END_OF_CHUNKS = b"\r\n0\r\n\r\n"


class Worker:
    """Puts its share of a load on. `write` takes each record as a line; `control` is the
    descriptor that the parent speaks on: ``stop``, or its end when the parent is gone.
    """  # noqa: D205 - one thought

    def __init__(
        self,
        load: Load,
        endpoints: Sequence[Endpoint],
        arrivals: Arrivals,
        *,
        number: int,
        count: int,
        control: int,
        write: Callable[[bytes], None],
        report: Callable[[Tally], None],
    ) -> None:
        self.tally = Tally()
        self._load = load
        self._arrivals = arrivals
        self._number = number
        self._count = count
        self._control = control
        self._write = write
        self._report = report
        self._source = RequestSource(load, number, count)
        self._connections = Connections(endpoints, load)
        self._busy = [0] * len(endpoints)  # requests in flight
        self._again: list[tuple[int, int]] = []  # events of links that may hold more
        self._backlog = Backlog(self._source, self._end, self._done, self._learn)
        self._follower: follower.Follower | None = None
        self._watch = Watch(load.timeout_s, load.stall_timeout_s)
        self._stopping = False
        self._next_tick_ns = 0
        self._cpu_start = 0.0
        self._start_ns = 0
        self._clock_gap = 0

    def prepare(self, streams: int) -> None:
        """Everything that can be done before the clock starts."""
        self._source.prepare(streams)
        if streams >= follower.ENOUGH:
            self._follower = follower.of(
                self._connections,
                self._number,
                self._count,
                keep=self._keep,
                broken=self._broken,
            )
        self._connections.open_ahead(streams)
        self._connections.epoll.register(self._control, select.EPOLLIN)

    def run(self, start_ns: int) -> None:
        """Put the load on; returns when all is over, or the parent said so."""
        self._cpu_start = time.process_time()
        self._start_ns = time.monotonic_ns()
        self._clock_gap = clock.gap_ns()
        self._arrivals.begin(start_ns)
        time.sleep(max(0, start_ns - time.time_ns()) / 1e9)
        self._start_due()
        poll = self._connections.epoll.poll
        while not self._stopping:
            looked_ns = time.monotonic_ns()
            events = poll(self._patience_s())
            self._attend(events, looked_ns)
            if looked_ns >= self._next_tick_ns:
                self._tick()
                if self._is_over():
                    break
            if len(events) >= _RUSH or self._follows():
                self._pause(looked_ns + _PAUSE_NS)
                self._backlog.catch_up()
            elif not events or self._backlog.is_pressing:
                self._backlog.work()
                if not events and self._is_over():
                    break
        if self._stopping:
            self._give_up()
        self._tick()
        if self._follower is not None:
            self._follower.close()
        self._connections.close_all()

    def _attend(self, events: list[tuple[int, int]], now: int) -> None:
        """Read what has come, and send what is due."""
        if self._again:
            events += self._again
            self._again = []
        self._drain(events)
        self._connections.bury()
        if self._follower is not None:
            self._follower.step(now, sum(self._busy))
            self._connections.bury()
        self._start_due()

    def _follows(self) -> bool:
        return self._follower is not None and self._follower.follows

    def _is_over(self) -> bool:
        return (
            self._backlog.is_read
            and not any(self._busy)
            and self._arrivals.exhausted(time.time_ns())
        )

    def _has_work(self) -> bool:
        return bool(self._again) or not self._backlog.is_empty

    def _patience_s(self) -> float:
        if self._has_work() or self._follows():
            return 0.0
        due = self._arrivals.next_due_ns()
        if due is None:
            return _TICK_S
        left_ns = due - time.time_ns()
        if left_ns > _PAUSE_NS:  # epoll waits in whole milliseconds, and rather too long
            return min((left_ns - 1_000_000) / 1e9, _TICK_S)
        if left_ns > 0:
            select.select([self._connections.epoll.fileno()], [], [], left_ns / 1e9)
        return 0.0

    def _pause(self, until_ns: int) -> None:
        """Until then, let tokens come in; think meanwhile. What is due goes out in time."""
        due = self._arrivals.next_due_ns()
        if due is not None:
            until_ns = min(until_ns, time.monotonic_ns() + due - time.time_ns())
        while (left_ns := until_ns - time.monotonic_ns()) > 0:
            if self._has_work():
                self._backlog.work()
            else:
                time.sleep(left_ns / 1e9)

    def _start_due(self) -> None:
        while (due := self._arrivals.take(time.time_ns())) is not None:
            self._start(self._source.take(), due)

    def _start(self, prepared: Prepared, due_ns: int) -> None:
        number = self._route(prepared.index)
        link = self._connections.take(number)
        exchange = prepared.exchange(link.endpoint.url, due_ns)
        self.tally.requested += 1
        self._busy[number] += 1
        head = encode_head(self._load, link.endpoint, prepared.index, len(prepared.body))
        self._send(link, exchange, head, prepared.body)

    def _route(self, index: int) -> int:
        if self._load.routing == "least_busy":
            return min(range(len(self._busy)), key=self._busy.__getitem__)
        return index % len(self._busy)

    def _send(self, link: Link, exchange: Exchange, head: bytes, body: bytes) -> None:
        self._watch.begin(time.monotonic_ns(), link, exchange)
        load = self._load
        reading = Reading(
            exchange,
            chat=load.api == "chat",
            usage=load.usage or not load.keep_texts,
            texts=load.keep_texts,
        )
        link.assign(exchange, reading, head, body)
        if link.refusal is not None:
            self._end(link, "refused", link.refusal)
        elif link.connected:
            if self._follower is not None:
                self._follower.follow(link)
            self._push(link)

    def _push(self, link: Link) -> None:
        try:
            whole = link.push()
        except OSError as error:
            self._broken(link, error.strerror or str(error))
            return
        if not whole:
            self._connections.epoll.modify(link.fd, link.sending)

    def _drain(self, events: list[tuple[int, int]]) -> None:  # noqa: C901, PLR0912 - calls cost too much here
        links = self._connections.links
        known, takes = self._connections.vocabulary.known, self._connections.vocabulary.takes
        read, room = READ, stamps.ANCILLARY
        first = True
        for fd, mask in events:
            link = links.get(fd)
            if link is None:
                if fd == self._control:
                    self._obey()
                continue
            if link.trail is not None and self._follower is not None:
                if mask & select.EPOLLOUT and link.pending:
                    self._push(link)
                if link.trail is not None:
                    self._follower.wake(link)
                continue
            if mask != 1 and not self._writable(link, mask):
                continue
            try:
                data, ancillary, _flags, _address = link.recvmsg(read, room)
            except BlockingIOError:
                continue
            except OSError as error:
                self._broken(link, error.strerror or str(error))
                continue
            if mask != 1 and data:
                self._again.append((fd, select.EPOLLRDHUP))  # until there is no more, or the end
            length = len(data)
            link.received += length
            if not ancillary:
                self._stamp_late(link, data)
                continue
            stamp = ancillary[0][2]
            link.stamp(stamp)
            if first:  # the one that has waited longest
                first = False
                self._connections.lag.add(time.time_ns() - stamps.decode(stamp))
            if link.least <= length < MOST:
                size = link.sizes[length]
                if (
                    data.startswith(size)
                    and data.startswith(link.opening, len(size))
                    and data.endswith(link.closing)
                ):
                    text = data[len(size) + link.start : link.cut]
                    if text in known or takes(text):
                        continue
            self._keep(link, data)

    def _writable(self, link: Link, mask: int) -> bool:
        """Deal with what is no plain arrival; whether there may be data as well."""
        if not link.connected:
            if not self._connections.step(link):
                if link.refusal is not None:
                    self._end(link, "refused", link.refusal)
                return False
            self._push_or_rest(link)
        elif mask & select.EPOLLOUT:
            self._push_or_rest(link)
        return bool(mask & ~select.EPOLLOUT) and self._connections.links.get(link.fd) is link

    def _push_or_rest(self, link: Link) -> None:
        self._connections.epoll.modify(link.fd, link.receiving)
        if link.pending:
            self._push(link)

    def _stamp_late(self, link: Link, data: bytes) -> None:
        """The kernel gave no stamp: the end of a connection, or our own clock must do."""
        if not data:
            self._broken(link, None)
        elif link.exchange is not None:
            link.exchange.stamp(time.time_ns())
            self._keep(link, data)
        else:
            self._connections.close(link)

    def _keep(self, link: Link, data: bytes) -> None:
        """Keep *data* to be read; a reply that is over for certain ends here."""
        exchange = link.exchange
        if exchange is None:  # closed while idle, or talking without being asked
            self._connections.close(link)
        elif not data:
            exchange.drop_read()
            self._broken(link, None)
        else:
            exchange.unread.append((exchange.reads - 1, data))
            if len(data) == READ:
                self._again.append((link.fd, select.EPOLLIN))
            if data[-7:] == _END_OF_CHUNKS:
                self._end(link, None, None)
            else:
                self._backlog.add(link)

    def _broken(self, link: Link, error: str | None) -> None:
        """The connection of *link* broke; without an error: it was closed in order."""
        exchange, reading = link.exchange, link.reading
        if exchange is None or reading is None:
            self._connections.close(link)
        elif not exchange.reads and link.used > 1 and _is_recent(exchange.sent_ns):
            # The server had closed a kept connection: that is no failure of this request.
            head, body = link.head, link.body
            if self._follower is not None:
                self._follower.leave(link)
            link.rest()
            self._connections.close(link)
            self._send(self._connections.open(link.number), exchange, head, body)
        else:
            while not reading.advance():
                pass  # it may have been whole before the connection broke
            link.keeps_alive = False
            if reading.over:
                self._end(link, None, None)
            else:
                self._end(link, "reset" if error else "closed", error or _CLOSED)

    def _end(self, link: Link, cause: str | None, error: str | None) -> None:
        exchange, reading = link.exchange, link.reading
        if exchange is None or reading is None:
            self._connections.close(link)
            return
        if self._follower is not None:
            self._follower.leave(link)
        link.rest()
        now = time.time_ns()
        exchange.done_ns = exchange.last_ns() if exchange.reads and cause in _ENDED else now
        exchange.sent_ns = exchange.sent_ns or now
        exchange.cause, exchange.error = cause, error
        self._busy[link.number] -= 1
        reusable = cause is None and link.keeps_alive and not link.pending
        (self._connections.release if reusable else self._connections.close)(link)
        self._backlog.close(reading)
        # A server that is not there must not be asked ten thousand times a second.
        self._arrivals.freed(exchange.done_ns + (_REFUSED_NS if cause == "refused" else 0))

    def _learn(self, link: Link) -> None:
        link.learn()
        if self._follower is not None:
            self._follower.learned(link)

    def _done(self, reading: Reading) -> None:
        record = reading.record(self._number)
        del reading.exchange.stamps[:]  # its deadline may be far away
        self.tally.count(record)
        self._write(encode_record(record, self._load.api_key))

    def _obey(self) -> None:
        self._stopping = True
        if not os.read(self._control, 64):
            os._exit(1)  # the parent is gone: nobody wants the rest

    def _give_up(self) -> None:
        for link in list(self._connections.links.values()):
            if link.exchange is not None and link.exchange.sent_ns:
                self._end(link, "stopped", "the run ended before the request did")
        while not self._backlog.is_read:
            self._backlog.work()

    def _tick(self) -> None:
        """What need not be done for every token."""
        now = time.monotonic_ns()
        links = list(self._connections.links.values())
        for link, cause, error in [*self._watch.late(now), *self._watch.odd(now, links)]:
            self._end(link, cause, error)
        self._next_tick_ns = now + _TICK_NS
        tally = self.tally
        tally.streaming = sum(max(0, e.reads - 1) for link in links if (e := link.exchange))
        tally.cpu_s = time.process_time() - self._cpu_start
        tally.busiest_cpu = tally.cpu_s / max(1e-9, (now - self._start_ns) / 1e9)
        step = abs(clock.gap_ns() - self._clock_gap) / 1e6
        tally.clock_step_ms = max(tally.clock_step_ms, step)
        tally.lag = self._connections.lag.buckets
        if self._follower is not None:
            tally.lost_segments += self._follower.lost()
        self._report(tally)


def _is_recent(sent_ns: int) -> bool:
    return time.time_ns() - sent_ns < _STALE_NS
