"""What a client measured, against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from bench_agent import metrics
from bench_agent.distribution import stats
from bench_agent.protocol import RequestRecord


class ComparisonError(ValueError):
    """The client and the simulator speak of different things."""


def compare(records: Sequence[RequestRecord], truths: dict[str, Any]) -> dict[str, Any]:
    """What the client measured against what was really sent (ms), nothing corrected.

    `ttft_error_ms`, `itl_error_ms`: how far these figures are from the true ones, by their size.
    `token_error_ms`: the client's stamp less the simulator's, taken before it sends, token by
    token.

    Raises:
        ComparisonError: they disagree on how many tokens there were.
    """
    first: list[float] = []
    gaps: list[float] = []
    true_gaps: list[float] = []
    late: list[float] = []
    for record in records:
        truth = truths.get(record.request_id, {"sent_ns": ()})
        sent = truth["sent_ns"]
        if len(sent) != len(record.chunk_ns):
            raise ComparisonError("they count different tokens.")
        first.append(abs(metrics.ttft_ms(record) - (sent[0] - truth["arrived_ns"]) / 1e6))
        due = [(b - a) / 1e6 for a, b in pairwise(sent)]
        gaps += [abs(a - b) for a, b in zip(metrics.itl_ms(record), due, strict=True)]
        true_gaps += due
        start = record.sent_ns
        late += [(start + a - b) / 1e6 for a, b in zip(record.chunk_ns, sent, strict=True)]
    return {
        "ttft_error_ms": _stats(first),
        "itl_error_ms": _stats(gaps),
        "token_error_ms": _stats(late),
        "true_itl_ms": _stats(true_gaps, ("p50", "p99")),
    }


def _stats(
    values: Sequence[float], names: Sequence[str] = ("mean", "p99", "max")
) -> dict[str, float]:
    found = stats(values)
    if found is None:
        return dict.fromkeys(names, 0.0)
    known = {"mean": found.mean, "max": found.max, **found.percentiles}
    return {name: round(known[name], 6) for name in names}
