"""A point's requests in columns: sixteen bytes a token, so that millions of them fit."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate
from operator import sub

from bench_agent.protocol import Point, RequestRecord

#: Stands in a column where there is no number.
UNKNOWN = -1


class Traffic:
    """One row a request, in the order of the records; ns, integers, `UNKNOWN` for None.

    `ttft`, `content` and `e2el` count from `sent`. `chunks` holds the arrivals, from `sent`, of
    all successes' chunks: those of row i are ``chunks[ends[i]:ends[i + 1]]``; `gaps` beside it
    the time since the chunk before, or since `sent`. `at` is where a record begins in its file,
    `errors` has what failed rows say.
    """

    def __init__(self, records: Iterable[tuple[int, RequestRecord]]) -> None:
        self.at, self.index, self.worker = array("q"), array("q"), array("q")
        self.due, self.sent, self.done = array("q"), array("q"), array("q")
        self.ttft, self.content, self.e2el = array("q"), array("q"), array("q")
        self.prompt_tokens, self.output_tokens = array("q"), array("q")
        self.asked_prompt, self.asked_output = array("q"), array("q")
        self.good = array("b")
        self.chunks, self.gaps, self.ends = array("q"), array("q"), array("q", [0])
        self.errors: dict[int, str] = {}
        self.failures: Counter[str] = Counter()
        self.stamped_by: set[str] = set()
        self.reads = self.coalesced = 0
        self._texts: dict[str, str] = {}  # one copy of an error that thousands share
        for at, record in records:
            self._add(at, record)

    @classmethod
    def of(cls, records: Iterable[RequestRecord]) -> Traffic:
        """Records that lie in no file."""
        return cls((0, record) for record in records)

    def __len__(self) -> int:
        return len(self.sent)

    def rows(self) -> Iterator[int]:
        """The rows of the successes: all that distributions and throughputs know of."""
        return (row for row, good in enumerate(self.good) if good)

    def itl(self, row: int) -> array[int]:
        """The times between the chunks of a row, as vLLM has them."""
        return self.gaps[self.ends[row] + 1 : self.ends[row + 1]]

    def _add(self, at: int, record: RequestRecord) -> None:
        good, sent = record.success, record.sent_ns
        self.at.append(at)
        self.index.append(record.index)
        self.worker.append(record.worker)
        self.due.append(record.due_ns)
        self.sent.append(sent)
        self.done.append(record.done_ns)
        self.good.append(good)
        for column, stamp in (
            (self.ttft, record.first_chunk_ns),
            (self.content, record.first_content_ns),
            (self.e2el, record.last_chunk_ns),
        ):
            column.append(UNKNOWN if stamp is None else stamp - sent)
        for column, number in (
            (self.prompt_tokens, record.prompt_tokens),
            (self.output_tokens, record.output_tokens),
            (self.asked_prompt, record.asked_prompt_tokens),
            (self.asked_output, record.asked_tokens),
        ):
            column.append(UNKNOWN if number is None else number)
        if good:
            chunks = record.chunk_ns
            self.chunks.fromlist([*chunks])  # twice as fast as extend
            self.gaps.fromlist([*map(sub, chunks, (0, *chunks))])
            self.stamped_by.add(record.stamped_by)
            self.reads += record.reads
            self.coalesced += record.coalesced
        else:
            said = record.error or record.failure or ""
            self.errors[len(self.index) - 1] = self._texts.setdefault(said, said)
            self.failures[record.failure or "unknown"] += 1
        self.ends.append(len(self.chunks))


def is_open_loop(point: Point) -> bool:
    """Whether requests are due by a clock, not when others end."""
    return point.request_rate is not None or point.ramp_up is not None or point.arrivals == "trace"


def in_flight(traffic: Traffic) -> Iterator[tuple[int, int]]:
    """Each time at which the number in flight changes, and the number from then on.

    An end and a start in the same nanosecond are one after the other.
    """
    # A time and, in its lowest bit, whether it is a start: numbers sort faster than pairs.
    edges = [sent << 1 | 1 for sent in traffic.sent] + [end << 1 for end in traffic.done]
    edges.sort()
    numbers = accumulate(1 if edge & 1 else -1 for edge in edges)
    return zip((edge >> 1 for edge in edges), numbers, strict=True)


def late_ns(traffic: Traffic, point: Point, workers: int) -> list[int]:
    """How late each request went: after it was due and, under a cap, a slot was free.

    Workers share the cap (`load.arrivals`): a worker's request k cannot go before its request
    k - slots has ended.
    """
    late = list(map(sub, traffic.sent, traffic.due))
    if point.max_concurrency is None or not is_open_loop(point):
        return late
    for worker in set(traffic.worker):
        slots = len(range(worker, point.max_concurrency, workers))
        rows = [row for row, its in enumerate(traffic.worker) if its == worker]
        rows.sort(key=traffic.sent.__getitem__)
        ends = sorted(traffic.done[row] for row in rows)
        for row, freed in zip(rows[slots:], ends, strict=False):
            late[row] = max(0, min(late[row], traffic.sent[row] - freed))
    return late
