"""Two clients' figures of one point, side by side; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench_agent.protocol import PointSummary, Stats
from provisioning.second_opinion.base import FIGURES, Opinion

_COUNTS = ("completed", "failed", "input_tokens", "output_tokens", "duration_s")
#: Tokens a request: more apart than this, and it was another load.
_SAME_LOAD = 0.02


def figures_of(ours: PointSummary) -> dict[str, float]:
    """What the agent measured, by the names of `FIGURES`; those that it has."""
    found: dict[str, float | None] = {
        "completed": ours.completed,
        "failed": ours.failed,
        "duration_s": ours.duration_s,
        "input_tokens": ours.total_input_tokens,
        "output_tokens": ours.total_output_tokens,
        "request_throughput": ours.request_throughput,
        "input_throughput": ours.total_token_throughput - ours.output_throughput,
        "output_throughput": ours.output_throughput,
        "mean_ttft_ms": _mean(ours.ttft_ms),
        "median_ttft_ms": ours.ttft_ms.median if ours.ttft_ms else None,
        "mean_tpot_ms": _mean(ours.tpot_ms),
        "mean_itl_ms": _mean(ours.itl_ms),
        "mean_e2el_ms": _mean(ours.e2el_ms),
        "median_e2el_ms": ours.e2el_ms.median if ours.e2el_ms else None,
        "e2el_per_output_token_ms": _per_token(ours),
    }
    return {name: value for name, value in found.items() if value is not None}


def compared(
    opinion: Opinion, ours: PointSummary, calibration: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What stands in ``second_opinion.json`` of a point.

    For each figure ``ours``, ``theirs``, ``differs`` (theirs less ours) and, where it is one that
    the client's own error moves, ``error`` (that error) and ``beyond``: it differs by more.
    """
    mine = figures_of(ours)
    figures: dict[str, dict[str, Any]] = {}
    for name in FIGURES:
        if name not in opinion.figures:
            continue
        theirs = opinion.figures[name]
        row: dict[str, Any] = {"ours": mine.get(name), "theirs": theirs}
        if name in mine:
            row["differs"] = theirs - mine[name]
            error = _error(name, mine, calibration)
            if error is not None:
                row |= {"error": error, "beyond": abs(row["differs"]) > error}
        figures[name] = row
    notes = [*opinion.notes, *_other_load(opinion, mine)] if figures else list(opinion.notes)
    return {"figures": figures, "reason": opinion.reason, "notes": notes}


def _error(
    name: str, mine: Mapping[str, float], calibration: Mapping[str, Any] | None
) -> float | None:
    """By how much the client itself may be wrong: ms, or a throughput's own unit."""
    if calibration is None or name in _COUNTS:
        return None
    ttft = abs(float(calibration["ttft_error_ms"]["mean"]))
    itl = abs(float(calibration["itl_error_ms"]["mean"]))
    if name.endswith("_ms"):
        one = mine["output_tokens"] / mine["completed"] if mine.get("completed") else 1.0
        if name == "e2el_per_output_token_ms":
            return (ttft + itl) / max(one, 1.0)
        of = {"ttft_ms": ttft, "e2el_ms": ttft + itl}
        return of.get(name.partition("_")[2], itl)
    if not mine.get("mean_e2el_ms"):
        return None
    # A request that takes longer by so much lowers what is done in a second by that share.
    return mine[name] * ttft / mine["mean_e2el_ms"]


def _other_load(opinion: Opinion, mine: Mapping[str, float]) -> Iterator[str]:
    theirs = opinion.figures
    for name, word in (("input_tokens", "prompt"), ("output_tokens", "reply")):
        if name not in theirs or not theirs.get("completed") or not mine.get("completed"):
            continue
        one, other = mine[name] / mine["completed"], theirs[name] / theirs["completed"]
        if abs(other - one) > _SAME_LOAD * one:
            yield (
                f"It was another load: a {word} had {other:.1f} tokens on average, "
                f"and {one:.1f} in ours."
            )
    if theirs.get("failed"):
        yield f"{theirs['failed']:.0f} of its requests failed."


def _per_token(ours: PointSummary) -> float | None:
    if ours.e2el_ms is None or not ours.total_output_tokens:
        return None
    return ours.e2el_ms.mean * ours.completed / ours.total_output_tokens


def _mean(stats: Stats | None) -> float | None:
    return stats.mean if stats else None
