"""From records to figures: pure functions, defined as vLLM's benchmark defines them.

Where vLLM's definition misleads, the corrected one stands here: failed requests are in no
distribution, and the peak concurrency is exact.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from bench_agent.protocol import RequestRecord, Stats

PERCENTILES = (50, 90, 95, 99)
_MS = 1e6


def percentile(ordered: Sequence[float], q: float) -> float:
    """The *q*-th percentile of sorted values, linear between neighbours (numpy's default).

    Raises:
        ValueError: there are no values.
    """
    if not ordered:
        raise ValueError("no values")
    at = (len(ordered) - 1) * q / 100
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def stats(values: Iterable[float]) -> Stats | None:
    """Mean, median, population standard deviation, range and percentiles; None without values."""
    ordered = sorted(values)
    if not ordered:
        return None
    mean = math.fsum(ordered) / len(ordered)
    variance = math.fsum((v - mean) ** 2 for v in ordered) / len(ordered)
    return Stats(
        mean=mean,
        median=percentile(ordered, 50),
        std=math.sqrt(variance),
        min=ordered[0],
        max=ordered[-1],
        percentiles={f"p{q}": percentile(ordered, q) for q in PERCENTILES},
        count=len(ordered),
    )


def succeeded(records: Iterable[RequestRecord]) -> list[RequestRecord]:
    """The records that count in distributions and throughputs."""
    return [r for r in records if r.success]


def ttft_ms(record: RequestRecord) -> float:
    """From the first byte sent to the first chunk."""
    return (_chunk(record.first_chunk_ns) - record.sent_ns) / _MS


def e2el_ms(record: RequestRecord) -> float:
    """From the first byte sent to the last chunk."""
    return (_chunk(record.last_chunk_ns) - record.sent_ns) / _MS


def tpot_ms(record: RequestRecord) -> float | None:
    """Time a token after the first; None with one token or none."""
    tokens = record.output_tokens or 0
    return (e2el_ms(record) - ttft_ms(record)) / (tokens - 1) if tokens > 1 else None


def itl_ms(record: RequestRecord) -> list[float]:
    """The gaps between chunks."""
    return [(b - a) / _MS for a, b in pairwise(record.chunk_ns)]


def send_delay_ms(record: RequestRecord) -> float:
    """How late the client was."""
    return (record.sent_ns - record.due_ns) / _MS


def _chunk(stamp: int | None) -> int:
    if stamp is None:
        raise ValueError("a successful record has its chunks")
    return stamp


def failures(records: Iterable[RequestRecord]) -> dict[str, int]:
    """How many requests failed, by class."""
    return dict(sorted(Counter(r.failure for r in records if r.failure).items()))


def peak_concurrency(records: Iterable[RequestRecord]) -> int:
    """Most requests in flight at one moment: a sweep over starts and ends.

    An end and a start at the same nanosecond are one after the other.
    """
    edges = [(r.sent_ns, 1) for r in records] + [(r.done_ns, -1) for r in records]
    now = peak = 0
    for _, step in sorted(edges):
        now += step
        peak = max(peak, now)
    return peak


def coalesced_share(records: Iterable[RequestRecord]) -> float:
    """The share of reads that held more than one chunk; 0 without reads."""
    pairs = [(r.coalesced, r.reads) for r in records]
    reads = sum(n for _, n in pairs)
    return sum(c for c, _ in pairs) / reads if reads else 0.0


def peak_chunks_per_s(records: Sequence[RequestRecord]) -> float:
    """The peak output throughput: vLLM's most chunks in a whole second."""
    if not records:
        return 0.0
    first = min(r.sent_ns for r in records)
    seconds = Counter(
        (r.sent_ns + offset - first) // 1_000_000_000 for r in records for offset in r.chunk_ns
    )
    return float(max(seconds.values(), default=0))
