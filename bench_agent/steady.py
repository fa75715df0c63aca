"""A point between ramp-up and drain: the time in which its load was what it says."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from bench_agent.distribution import stats, stats_ms
from bench_agent.metrics import tpot_ns
from bench_agent.protocol import Stats
from bench_agent.traffic import Traffic, in_flight
from bench_agent.wire import encode

#: Of the plateau: with fewer requests in flight, the load has not begun or is running out.
_ENOUGH = 0.9
_LEAST_NS = 1_000_000_000

Window = tuple[int, int]


def window(traffic: Traffic) -> Window | None:
    """From when to when the load was steady (ns); None when there is no such time.

    The plateau is the number in flight while requests are being sent: its median over time. The
    window begins when 90 % of that are in flight for the first time, and ends with the last time
    or, once nothing more is sent, with the last send: what drains is not under load. Shorter than
    the median request, or than a second, it says nothing.
    """
    last = max(traffic.sent, default=0)
    levels = [
        (since, until, number)
        for (since, number), (until, _) in pairwise(in_flight(traffic))
        if until <= last
    ]
    lasted: Counter[int] = Counter()
    for since, until, number in levels:
        lasted[number] += until - since
    enough = _ENOUGH * _median(lasted)
    full = [(since, until) for since, until, number in levels if number >= enough]
    if not full:
        return None
    found = full[0][0], full[-1][1]
    lengths = stats(traffic.e2el[row] for row in traffic.rows())
    least = max(_LEAST_NS, lengths.median if lengths else 0.0)
    return found if found[1] - found[0] >= least else None


def _median(lasted: Counter[int]) -> int:
    half, passed = sum(lasted.values()) / 2, 0
    for number in sorted(lasted):
        passed += lasted[number]
        if passed >= half:
            return number
    return 0


def split_gaps(traffic: Traffic, within: Window | None) -> tuple[array[int], array[int]]:
    """The gaps between chunks whose later chunk came in the window, and all others."""
    inner, outer = array("q"), array("q")
    for row in traffic.rows():
        gaps = traffic.itl(row)
        low, high = _chunks(traffic, row, within) if within else (0, 0)
        low, high = max(0, low - 1), max(0, high - 1)
        inner.extend(gaps[low:high])
        outer.extend(gaps[:low] + gaps[high:])
    return inner, outer


def figures(
    traffic: Traffic, within: Window, itl: Stats | None, percentiles: Iterable[float]
) -> dict[str, Any]:
    """`PointSummary.steady`. Distributions: of requests sent and over within the window.

    Throughputs: of the chunks, and of the last chunks, that came in it.
    """
    begin, end = within
    seconds = (end - begin) / 1e9
    middle = (begin + end) // 2
    rows = [
        row
        for row in traffic.rows()
        if begin <= traffic.sent[row] and traffic.sent[row] + traffic.e2el[row] <= end
    ]
    tpots = (tpot for row in rows if (tpot := tpot_ns(traffic, row)) is not None)
    ended = sum(begin <= traffic.sent[row] + traffic.e2el[row] < end for row in traffic.rows())
    halves = [_tokens(traffic, half) / (seconds / 2) for half in ((begin, middle), (middle, end))]
    return {
        "from_ns": begin,
        "to_ns": end,
        "requests": len(rows),
        "output_throughput": sum(halves) / 2,
        "request_throughput": ended / seconds,
        "ttft_ms": encode(stats_ms((traffic.ttft[row] for row in rows), percentiles)),
        "tpot_ms": encode(stats_ms(tpots, percentiles)),
        "itl_ms": encode(itl),
        "e2el_ms": encode(stats_ms((traffic.e2el[row] for row in rows), percentiles)),
        "first_half": halves[0],
        "second_half": halves[1],
    }


def _chunks(traffic: Traffic, row: int, within: Window) -> tuple[int, int]:
    """Which of the row's chunks came in the window: from and to, of its own."""
    first, end = traffic.ends[row], traffic.ends[row + 1]
    sent = traffic.sent[row]
    low, high = (bisect_left(traffic.chunks, edge - sent, first, end) for edge in within)
    return low - first, high - first


def _tokens(traffic: Traffic, within: Window) -> float:
    """Usage spread over the chunks evenly: what of it came in the window."""
    total = 0.0
    for row in traffic.rows():
        low, high = _chunks(traffic, row, within)
        if high > low:
            chunks = traffic.ends[row + 1] - traffic.ends[row]
            total += max(0, traffic.output_tokens[row]) * (high - low) / chunks
    return total
