"""From records to figures: pure functions, defined as vLLM's benchmark defines them.

Where vLLM's definition misleads, the corrected one stands here: failed requests are in no
distribution, and the peaks are exact.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import accumulate, pairwise
from weakref import WeakKeyDictionary

from bench_agent.protocol import RequestRecord
from bench_agent.traffic import Traffic, in_flight

_MS = 1e6
_SECOND = 1_000_000_000
_PEAKS: WeakKeyDictionary[Traffic, tuple[float, float]] = WeakKeyDictionary()


def ttft_ms(record: RequestRecord) -> float:
    """From the first byte sent to the first chunk."""
    return (_chunk(record.first_chunk_ns) - record.sent_ns) / _MS


def itl_ms(record: RequestRecord) -> list[float]:
    """The gaps between chunks."""
    return [(b - a) / _MS for a, b in pairwise(record.chunk_ns)]


def _chunk(stamp: int | None) -> int:
    if stamp is None:
        raise ValueError("a successful record has its chunks")
    return stamp


def coalesced_share(records: Iterable[RequestRecord]) -> float:
    """The share of reads that held more than one chunk; 0 without reads."""
    pairs = [(r.coalesced, r.reads) for r in records]
    reads = sum(n for _, n in pairs)
    return sum(c for c, _ in pairs) / reads if reads else 0.0


def tpot_ns(traffic: Traffic, row: int) -> float | None:
    """Time a token after the first, (e2el - ttft) / (tokens - 1); None with one token or none."""
    tokens = traffic.output_tokens[row]
    return (traffic.e2el[row] - traffic.ttft[row]) / (tokens - 1) if tokens > 1 else None


def good_requests(traffic: Traffic, objectives_ms: dict[str, float]) -> int:
    """How many requests succeeded and met every objective, the limit itself included.

    vLLM's goodput; as there, a request of one token has a TPOT of 0.
    """
    columns: dict[str, Callable[[int], float]] = {
        "ttft": lambda row: traffic.ttft[row],
        "tpot": lambda row: tpot_ns(traffic, row) or 0.0,
        "e2el": lambda row: traffic.e2el[row],
    }
    limits = [(columns[name], limit * _MS) for name, limit in objectives_ms.items()]
    return sum(all(of(row) <= limit for of, limit in limits) for row in traffic.rows())


def peak_concurrency(traffic: Traffic) -> int:
    """Most requests in flight at one moment: a sweep over starts and ends of all requests."""
    return max((number for _, number in in_flight(traffic)), default=0)


def vllm_concurrency(traffic: Traffic) -> int:
    """The ``max_concurrent_requests`` of vLLM: a success counts in every second that it touches.

    Seconds from the first send, both ends included: requests one after the other count as many.
    """
    first = _first_send(traffic)
    steps: Counter[int] = Counter()
    for row in traffic.rows():
        start = traffic.sent[row] - first
        steps[start // _SECOND] += 1
        steps[(start + traffic.e2el[row]) // _SECOND + 1] -= 1
    return max(accumulate(steps[second] for second in sorted(steps)), default=0)


def output_peaks(traffic: Traffic) -> tuple[float, float]:
    """`_output_peaks`, which is asked for twice and walks over all chunks."""
    if traffic not in _PEAKS:
        _PEAKS[traffic] = _output_peaks(traffic)
    return _PEAKS[traffic]


def _output_peaks(traffic: Traffic) -> tuple[float, float]:
    """Most tokens, and most chunks, within one of the seconds from the first send.

    Chunks are vLLM's ``max_output_tokens_per_s``. They hold several tokens each with speculative
    decoding: for the former, a request's usage is spread over its chunks evenly.
    """
    first = _first_send(traffic)
    tokens: Counter[int] = Counter()
    chunks: Counter[int] = Counter()
    stamps = traffic.chunks
    for row in traffic.rows():
        at, end = traffic.ends[row], traffic.ends[row + 1]
        start = traffic.sent[row] - first
        each = max(0, traffic.output_tokens[row]) / max(1, end - at)
        while at < end:
            second = (start + stamps[at]) // _SECOND
            # At least this one: after a step of the clock, stamps may not rise.
            over = max(at + 1, bisect_left(stamps, (second + 1) * _SECOND - start, at, end))
            chunks[second] += over - at
            tokens[second] += (over - at) * each  # type: ignore[assignment] # Counter[float]
            at = over
    return float(max(tokens.values(), default=0)), float(max(chunks.values(), default=0))


def _first_send(traffic: Traffic) -> int:
    return min((traffic.sent[row] for row in traffic.rows()), default=0)
