"""Truth, what was said, and how far apart they are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from tools.bench_agent.server import Served


@dataclass(frozen=True)
class Timing:
    """Milliseconds; None: the client does not say."""

    ttft_mean: float | None
    itl_p50: float | None
    itl_p99: float | None


@dataclass(frozen=True)
class TokenErrors:
    """A client's stamps less the server's send stamps of the same tokens, uncorrected.

    Milliseconds; `itl_p50` and `itl_p99` are shares: how far the quantile of the client's gaps is
    from that of the server's.
    """

    tokens: int
    ttft_mean: float
    itl_p50: float
    itl_p99: float
    lag_p50: float
    lag_p99: float


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted *values*; between two of them, as numpy does it."""
    at = (len(values) - 1) * share
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


def truth(served: Iterable[Served]) -> Timing:
    """What a client had to find: from a request's arrival to the send of its first token."""
    rows = list(served)
    gaps = sorted(_gaps(row.sent_ns for row in rows))
    return Timing(
        ttft_mean=fmean(row.sent_ns[0] - row.arrived_ns for row in rows) / 1e6,
        itl_p50=percentile(gaps, 0.5) / 1e6 if gaps else None,
        itl_p99=percentile(gaps, 0.99) / 1e6 if gaps else None,
    )


def token_errors(
    sent: Mapping[str, Sequence[int]], seen: Mapping[str, Sequence[int]]
) -> TokenErrors:
    """Both by request id, ns.

    Raises:
        ValueError: a token was not seen, or one was that nobody sent.
    """
    if {name: len(each) for name, each in sent.items()} != {n: len(e) for n, e in seen.items()}:
        raise ValueError("The client did not see the tokens that the server sent.")
    lags = sorted(b - a for name in sent for a, b in zip(sent[name], seen[name], strict=True))
    true, found = sorted(_gaps(sent.values())), sorted(_gaps(seen.values()))
    return TokenErrors(
        tokens=len(lags),
        ttft_mean=fmean(seen[name][0] - sent[name][0] for name in sent) / 1e6,
        itl_p50=percentile(found, 0.5) / percentile(true, 0.5) - 1,
        itl_p99=percentile(found, 0.99) / percentile(true, 0.99) - 1,
        lag_p50=percentile(lags, 0.5) / 1e6,
        lag_p99=percentile(lags, 0.99) / 1e6,
    )


def _gaps(stamps: Iterable[Sequence[int]]) -> Iterable[int]:
    return (later - earlier for each in stamps for earlier, later in pairwise(each))
