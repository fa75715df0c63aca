"""Distributions as numpy has them; those of millions of gaps without a sorted copy of them."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from operator import rshift
from typing import Any

from bench_agent.protocol import Stats

#: Shown whether asked for or not.
PERCENTILES = (50.0, 90.0, 95.0, 99.0)
_MS = 1e6
#: Values are first counted in about 2 ** this many buckets; a sample tells how wide to make them.
_BUCKET_BITS = 14
_SAMPLE = 997
_BLOCK = 4096  # stays in the cache


def name_of(q: float) -> str:
    """``p99``, ``p99.9``: the name of a percentile, as in vLLM's keys."""
    return f"p{int(q) if int(q) == q else q}"


def percentile(ordered: Sequence[float], q: float) -> float:
    """The *q*-th percentile of sorted values, linear between neighbours (numpy's default).

    Raises:
        ValueError: there are no values.
    """
    if not ordered:
        raise ValueError("no values")
    low, high, share = _place(len(ordered), q)
    return ordered[low] + (ordered[high] - ordered[low]) * share


def stats(values: Iterable[float], percentiles: Iterable[float] = PERCENTILES) -> Stats | None:
    """Mean, median, population standard deviation, range and percentiles; None without values.

    As numpy's mean, median, std (ddof 0) and percentile (linear), which vLLM uses.
    """
    ordered = sorted(values)
    if not ordered:
        return None
    mean = math.fsum(ordered) / len(ordered)
    spread = math.dist(ordered, [mean] * len(ordered)) ** 2
    return _stats(ordered, mean, spread, percentiles, 1)


def stats_ms(
    values_ns: Iterable[float], percentiles: Iterable[float] = PERCENTILES
) -> Stats | None:
    """The same of nanoseconds, in milliseconds."""
    return stats((value / _MS for value in values_ns), percentiles)


def nested_ms(
    inner: array[int], outer: array[int], percentiles: Iterable[float] = PERCENTILES
) -> tuple[Stats | None, Stats | None]:
    """Of *inner* and *outer* together, and of *inner* alone: ns to ms, without sorting them.

    Exact all the same: values are counted by their high bits first, then one by one in the few
    buckets that hold a percentile.
    """
    parts, asked = (inner, outer), {50.0, *percentiles}
    usual = max((max(part[::_SAMPLE]) for part in parts if part), default=0)
    shift = max(0, usual.bit_length() - _BUCKET_BITS)
    sizes = [_sizes(part, shift) for part in parts]
    below = _below(sizes[0] + sizes[1], asked), _below(sizes[0], asked)
    wanted = {*below[0], *below[1]}
    found = [_within(part, shift, wanted) for part in parts]
    moments = [_moments(part) for part in parts]
    both = _Ordered(len(inner) + len(outer), found[0] + found[1], shift, below[0])
    alone = _Ordered(len(inner), found[0], shift, below[1])
    return (
        _stats(both, *_joined(moments), percentiles, _MS) if both else None,
        _stats(alone, *moments[0][1:], percentiles, _MS) if alone else None,
    )


def _place(count: int, q: float) -> tuple[int, int, float]:
    """The ranks between which the percentile lies, and how far."""
    at = (count - 1) * q / 100
    low = math.floor(at)
    return low, min(low + 1, count - 1), at - low


def _stats(
    ordered: Sequence[float], mean: float, spread: float, percentiles: Iterable[float], unit: float
) -> Stats:
    """*spread*: the sum of squared distances from the mean. Everything is divided by *unit*."""
    return Stats(
        mean=mean / unit,
        median=percentile(ordered, 50) / unit,
        std=math.sqrt(spread / len(ordered)) / unit,
        min=ordered[0] / unit,
        max=ordered[len(ordered) - 1] / unit,
        percentiles={name_of(q): percentile(ordered, q) / unit for q in sorted(percentiles)},
        count=len(ordered),
    )


class _Ordered(Sequence[int]):
    """Values in order, of which only those are known that are asked for.

    *found*: how often each occurs, of those in the buckets in *below*, which says how many
    values come before a bucket.
    """

    def __init__(self, count: int, found: Counter[int], shift: int, below: dict[int, int]) -> None:
        self._count = count
        self._values = sorted(value for value in found if value >> shift in below)
        self._ends, at, bucket = [], 0, None
        for value in self._values:
            if value >> shift != bucket:
                bucket = value >> shift
                at = below[bucket]
            at += found[value]
            self._ends.append(at)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rank: Any) -> Any:
        return self._values[bisect_right(self._ends, rank)]


def _blocks(values: array[int]) -> Iterator[array[int]]:
    return (values[at : at + _BLOCK] for at in range(0, len(values), _BLOCK))


def _sizes(values: array[int], shift: int) -> Counter[int]:
    """How many values there are in each bucket."""
    sizes: Counter[int] = Counter()
    for block in _blocks(values):
        sizes.update(map(rshift, block, repeat(shift)))
    return sizes


def _below(sizes: Counter[int], percentiles: Iterable[float]) -> dict[int, int]:
    """The buckets with a percentile, the least or the most in them: how many come before each."""
    count, before, found = sum(sizes.values()), 0, {}
    places = [_place(count, q)[:2] for q in percentiles] if count else []
    ranks = sorted({0, count - 1}.union(*places))
    for bucket in sorted(sizes):
        end = before + sizes[bucket]
        if bisect_left(ranks, end) > bisect_left(ranks, before):
            found[bucket] = before
        before = end
    return found


def _within(values: array[int], shift: int, buckets: set[int]) -> Counter[int]:
    """How often each value occurs, of those in *buckets*."""
    found: Counter[int] = Counter()
    for block in _blocks(values):
        found.update([value for value in block if value >> shift in buckets])
    return found


def _moments(values: array[int]) -> tuple[int, float, float]:
    """Count, mean, and the sum of squared distances from the mean."""
    mean = sum(values) / len(values) if values else 0.0
    means = [mean] * _BLOCK
    return (
        len(values),
        mean,
        math.fsum(math.dist(block, means[: len(block)]) ** 2 for block in _blocks(values)),
    )


def _joined(parts: Iterable[tuple[int, float, float]]) -> tuple[float, float]:
    """Mean and spread of parts together."""
    known = [part for part in parts if part[0]]
    count = sum(number for number, _, _ in known) or 1
    mean = math.fsum(number * its for number, its, _ in known) / count
    return mean, math.fsum(spread + number * (its - mean) ** 2 for number, its, spread in known)
