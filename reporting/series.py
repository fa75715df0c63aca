"""Records to what a chart shows: pure, one pass, as small as the eye can use.

A run of a million tokens cannot be drawn dot by dot. Gaps between tokens are gathered in
buckets of equal time, and of each the median, the 99th percentile and the largest are kept:
a spike stays visible at any size, which a sample or a moving average would hide.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench_agent.protocol import RequestRecord

BUCKETS = 120
#: Fewer values than this to a bucket, and its percentiles say nothing.
PER_BUCKET = 20

Sample = tuple[float, float]


@dataclass(frozen=True)
class Bucket:
    """`count` values around `t_s`, in ms; all None where there was none (the line breaks)."""

    t_s: float
    count: int = 0
    p50: float | None = None
    p99: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class Buckets:
    """Values by time: `width_s` seconds a bucket, in order, none left out in between."""

    width_s: float
    items: tuple[Bucket, ...]


@dataclass(frozen=True)
class PointSeries:
    """One point over time, in seconds since its begin and ms.

    `ttft` holds (sent, ttft) of each success, `itl` the gaps between chunks by the arrival of
    the later one, `failed` when each failed request was sent, `errors` one message a class.
    """

    ttft: tuple[Sample, ...]
    itl: Buckets
    failed: tuple[float, ...]
    errors: dict[str, str]


def of_point(records: Iterable[RequestRecord], started_ns: int, duration_s: float) -> PointSeries:
    """Read all records of a point that began at *started_ns*."""
    ttft: list[Sample] = []
    gaps: list[Sample] = []
    failed: list[float] = []
    errors: dict[str, str] = {}
    for record in records:
        sent = (record.sent_ns - started_ns) / 1e9
        if not record.success:
            failed.append(sent)
            errors.setdefault(record.failure or "unknown", record.error or "")
            continue
        if record.first_chunk_ns is not None:
            ttft.append((sent, (record.first_chunk_ns - record.sent_ns) / 1e6))
        gaps += _gaps(record.chunk_ns, sent)
    return PointSeries(tuple(ttft), buckets(gaps, duration_s), tuple(failed), errors)


def buckets(samples: Sequence[Sample], duration_s: float) -> Buckets:
    """Gather (seconds, ms) in at most about `BUCKETS` buckets of a round width."""
    width = bucket_width(duration_s, len(samples))
    found: dict[int, list[float]] = defaultdict(list)
    for t, value in samples:
        found[math.floor(t / width)].append(value)
    if not found:
        return Buckets(width, ())
    span = range(min(found), max(found) + 1)
    return Buckets(width, tuple(_bucket(i, width, sorted(found.get(i, ()))) for i in span))


def bucket_width(duration_s: float, count: int) -> float:
    """A round width in seconds (1, 2 or 5 times a power of ten) that fills buckets well."""
    least = max(duration_s / BUCKETS, duration_s * PER_BUCKET / max(count, 1) / 2)
    power = 10.0 ** math.floor(math.log10(max(least, 1e-3)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The linear quantile of *ordered* values, as numpy and vLLM compute it."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _gaps(chunk_ns: Sequence[int], sent: float) -> list[Sample]:
    pairs = pairwise(chunk_ns)
    return [(sent + later / 1e9, (later - earlier) / 1e6) for earlier, later in pairs]


def _bucket(index: int, width: float, values: Sequence[float]) -> Bucket:
    t = round((index + 0.5) * width, 6)
    if not values:
        return Bucket(t)
    return Bucket(t, len(values), quantile(values, 0.5), quantile(values, 0.99), values[-1])
