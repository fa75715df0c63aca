"""The pretended model: a batch with a limit, a queue, and absolute deadlines for tokens."""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from itertools import cycle
from time import monotonic_ns, time_ns

from bench_agent.simulator.jobs import Job
from bench_agent.simulator.link import Link
from bench_agent.simulator.meters import Meters
from bench_agent.simulator.options import Options
from bench_agent.simulator.replies import Script
from bench_agent.simulator.truth import Truth, TruthLog

#: Tokens sent before sockets are looked at again.
BURST = 512
#: With so many streams, tokens that are due within a moment go together: it costs a good deal
#: less than to wake up for each.
CROWD = 32
MOMENT_NS = 500_000


class Stream:
    """One request that is generated, or waits for its turn. Stamps are CLOCK_REALTIME."""

    __slots__ = (
        "arrived_ns", "due_ns", "gone", "held", "job", "left", "link", "request_id", "script",
        "sent", "started_ns", "token",
    )  # fmt: skip

    def __init__(
        self, link: Link, job: Job, script: Script, request_id: str, arrived_ns: int
    ) -> None:
        self.link = link
        self.job = job
        self.script = script
        self.token = cycle(script.tokens).__next__
        self.request_id = request_id
        self.arrived_ns = arrived_ns
        self.started_ns = 0
        self.due_ns = 0  # monotonic
        self.left = job.max_tokens
        self.sent: array[int] = array("q")
        self.gone = False
        self.held = False  # the client does not read: waits for room instead of for a deadline


class Engine:
    """Sends token i of a request at start + ttft + i * itl, whatever the delay of the one before.

    A client that does not read holds up its own stream only: what is overdue is sent, each token
    with its own stamp, when there is room again.
    """

    def __init__(self, options: Options, meters: Meters, truth: TruthLog) -> None:
        self._options = options
        self._meters = meters
        self._truth = truth
        # All gaps are equal, so that a stream whose token went is due after all others that are
        # under way: they stand in a row. Those that begin, or were held, come out of the heap.
        self._row: deque[Stream] = deque()
        self._heap: list[tuple[int, int, Stream]] = []
        self._queue: deque[Stream] = deque()
        self._running: set[Stream] = set()
        self._serial = 0
        self._held = 0  # tokens in the pretended KV cache

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing waits."""
        return not self._running and not self._queue

    def submit(self, stream: Stream) -> None:
        """Start *stream*, or queue it when the batch is full."""
        stream.link.stream = stream
        self._meters.prompt_tokens += stream.job.prompt_tokens
        if len(self._running) < self._options.max_num_seqs:
            self._start(stream, stream.arrived_ns)
        else:
            self._queue.append(stream)
        self._gauge()

    def _start(self, stream: Stream, start_ns: int) -> None:
        stream.started_ns = start_ns
        waited = max(0, time_ns() - start_ns)
        tokens = 0 if stream.job.stream else stream.job.max_tokens - 1
        due = self._options.ttft_ns + tokens * self._options.itl_ns
        stream.due_ns = monotonic_ns() - waited + due
        self._running.add(stream)
        self._held += stream.job.prompt_tokens + stream.job.max_tokens
        self._push(stream)

    def _push(self, stream: Stream) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (stream.due_ns, self._serial, stream))

    def next_due_ns(self) -> int | None:
        """When the next token is due (monotonic)."""
        dues = [self._row[0].due_ns] if self._row else []
        return min(dues + [each[0] for each in self._heap[:1]], default=None)

    def look_again_ns(self) -> int | None:
        """When to send next: what many streams are due within a moment goes in one go."""
        due = self.next_due_ns()
        if due is None or len(self._running) < CROWD:
            return due
        now = monotonic_ns()
        return due if due <= now else max(due, now + MOMENT_NS)

    def emit_due(self) -> list[Link]:
        """Send what is due; returns the connections to look at: ended, full, broken."""
        row, heap, itl = self._row, self._heap, self._options.itl_ns
        touched: list[Link] = []
        now, sent = monotonic_ns(), 0
        for _ in range(BURST):
            from_row = bool(row) and not (heap and heap[0][0] < row[0].due_ns)
            if not from_row and not heap:
                break
            due = row[0].due_ns if from_row else heap[0][0]
            if due > now and due > (now := monotonic_ns()):
                break
            stream = row.popleft() if from_row else heapq.heappop(heap)[2]
            if stream.gone:
                continue
            if stream.left == 1 or not stream.job.stream:
                self._end(stream)
                touched.append(stream.link)
                continue
            data = stream.token() if stream.sent else stream.script.first
            stream.sent.append(time_ns())
            whole = stream.link.write(data)
            stream.left -= 1
            stream.due_ns = due = due + itl
            sent += 1
            if not whole:
                stream.held = True
                touched.append(stream.link)
            elif not row or due >= row[-1].due_ns:
                row.append(stream)
            else:
                self._push(stream)
        self._meters.generation_tokens += sent
        return touched

    def resume(self, stream: Stream) -> None:
        """There is room again on the connection of *stream*."""
        if stream.held:
            stream.held = False
            self._push(stream)

    def _end(self, stream: Stream) -> None:
        script, left = stream.script, stream.left
        first = not stream.sent
        stream.sent.append(time_ns())
        stream.link.write(script.only if first else script.last)
        stream.left = 0
        self._meters.generation_tokens += left
        stream.link.stream = None
        self._settle(stream, "length")

    def abort(self, stream: Stream) -> None:
        """The client of *stream* went away."""
        stream.gone = True
        stream.link.stream = None
        if stream not in self._running:
            self._queue.remove(stream)
        self._settle(stream, "abort")

    def _settle(self, stream: Stream, reason: str) -> None:
        self._truth.add(Truth(stream.request_id, stream.arrived_ns, stream.sent))
        started = stream.started_ns or time_ns()
        prompt = stream.job.prompt_tokens
        self._meters.finish(reason, stream.arrived_ns, started, stream.sent, prompt)
        if stream in self._running:
            self._running.remove(stream)
            self._held -= prompt + stream.job.max_tokens
        if self._queue and len(self._running) < self._options.max_num_seqs:
            self._start(self._queue.popleft(), time_ns())
        self._gauge()

    def _gauge(self) -> None:
        self._meters.running = len(self._running)
        self._meters.waiting = len(self._queue)
        room = self._options.max_num_seqs * self._options.max_model_len
        self._meters.kv_cache_usage = self._held / room
