"""Due times of a rate, drawn from a seed: the same in every Python, whoever asks."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from itertools import accumulate, islice, repeat, takewhile

from bench_agent.protocol import Point, RampUp


def due_s(point: Point, seed: str, total: int | None) -> Iterator[float]:
    """Seconds from the start, rising: *total* of them, none after the point's duration.

    As vLLM does it: gamma gaps, the first before the first request; with a number of requests
    and no duration they are stretched so that the last is at total/rate, but not in a ramp-up.
    """
    times = islice(_endless(point, seed, total), total)
    end = point.duration_s
    return times if end is None else takewhile(lambda time: time <= end, times)


def rate_at(ramp: RampUp, progress: float) -> float:
    """Requests/s of a ramp-up; *progress* from 0 to 1."""
    if ramp.strategy == "exponential":
        return ramp.start_rps * math.pow(ramp.end_rps / ramp.start_rps, progress)
    return ramp.start_rps + (ramp.end_rps - ramp.start_rps) * progress


def _endless(point: Point, seed: str, total: int | None) -> Iterator[float]:
    gaps, ramp = _gaps(point.burstiness, seed), point.ramp_up
    if ramp is not None:
        if point.duration_s is not None and point.num_prompts is None:
            return _ramp_by_time(ramp, point.duration_s, accumulate(gaps))
        return accumulate(gap / rate for gap, rate in zip(gaps, _rates(ramp, total), strict=False))
    rate = point.request_rate or math.inf
    if total is None or point.duration_s is not None:
        return (work / rate for work in accumulate(gaps))
    drawn = deque(islice(accumulate(_gaps(point.burstiness, seed)), total), maxlen=1)
    whole = (drawn.pop() if drawn else 0.0) or 1.0
    return (work / whole * (total / rate) for work in accumulate(gaps))


def _rates(ramp: RampUp, total: int | None) -> Iterator[float]:
    last = max((total or 1) - 1, 1)
    return (rate_at(ramp, index / last) for index in range(total or 0))


def _ramp_by_time(ramp: RampUp, duration: float, works: Iterator[float]) -> Iterator[float]:
    """When as many requests are due as *works* says: the rate's integral, turned around."""
    low, high = ramp.start_rps, ramp.end_rps
    if low == high:
        return (work / low for work in works)
    if ramp.strategy == "exponential":
        pace = math.log(high / low) / duration
        within = takewhile(lambda work: work <= (high - low) / pace, works)
        return (math.log1p(pace * work / low) / pace for work in within)
    slope = (high - low) / duration
    within = takewhile(lambda work: work <= (low + high) / 2 * duration, works)
    return (2 * work / (low + math.sqrt(low * low + 2 * slope * work)) for work in within)


def _gaps(burstiness: float | None, seed: str) -> Iterator[float]:
    """Gaps of a mean of 1, without end. `random()` alone gives the same in every version."""
    if burstiness is None:
        return repeat(1.0)
    uniform = random.Random(seed).random  # noqa: S311 - arrivals are no secret
    if burstiness == 1:
        return (-math.log(1.0 - uniform()) for _ in repeat(None))
    return (_gamma(burstiness, uniform) / burstiness for _ in repeat(None))


def _gamma(shape: float, uniform: Callable[[], float]) -> float:
    """A gamma variate of scale 1: Marsaglia and Tsang, ACM TOMS 26 (2000) 363."""
    if shape < 1:
        return _gamma(shape + 1, uniform) * math.pow(1.0 - uniform(), 1 / shape)
    d = shape - 1 / 3
    while True:
        x = _normal(uniform)
        root = 1 + x / math.sqrt(9 * d)
        v = root * root * root
        if v > 0 and math.log(1.0 - uniform()) < x * x / 2 + d - d * v + d * math.log(v):
            return d * v


def _normal(uniform: Callable[[], float]) -> float:
    """Marsaglia's polar method."""
    while True:
        x, y = 2 * uniform() - 1, 2 * uniform() - 1
        square = x * x + y * y
        if 0 < square < 1:
            return x * math.sqrt(-2 * math.log(square) / square)
