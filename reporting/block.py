"""Results as text: the block that ``vllm bench serve`` prints, and a table of a run's points."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from bench_agent.protocol import PointSummary, Stats
from reporting import figures
from reporting.run import Run

WIDTH = 50
COLUMNS = 80

_SECTIONS = (
    ("Time to First Token", "TTFT", "ttft_ms"),
    ("Time per Output Token (excl. 1st token)", "TPOT", "tpot_ms"),
    ("Inter-token Latency", "ITL", "itl_ms"),
    ("End-to-end Latency", "E2EL", "e2el_ms"),
)

_COLUMNS = (
    ("point", "<", 14),
    ("done", ">", 11),
    ("TTFT mean", ">", 9),
    ("p99 ms", ">", 7),
    ("ITL p50", ">", 7),
    ("p99 ms", ">", 7),
    ("tok/s", ">", 8),
    ("verdict", "<", 9),
)


def result_block(
    point: PointSummary,
    *,
    calibration: Mapping[str, Any] | None = None,
    peak_output_tokens_per_s: float | None = None,
) -> str:
    """What vLLM prints of *point*, line for line, then our verdict on it.

    The peak output throughput is a figure of ``vllm.json``; its line is left out without it.
    "Peak concurrent requests" is exact here, where vLLM's own count overstates it.
    """
    lines = [*_vllm_lines(point, peak_output_tokens_per_s), *_verdict_lines(point)]
    error = figures.client_error(calibration)
    if error:
        lines += _wrapped(f"Client's own error: {error} (by its calibration)")
    return "\n".join(lines)


def run_block(run: Run) -> str:
    """One line a point, at most 80 columns; says plainly when nothing was measured."""
    if not run.points:
        return f"Run {run.run_id}: {run.state}, nothing was measured."
    rows = [tuple(name for name, _, _ in _COLUMNS), *map(_row, run.points)]
    return "\n".join(_line(row) for row in rows)


def run_blocks(run: Run) -> Iterator[tuple[PointSummary, str]]:
    """Each point of *run* with its result block."""
    calibration = run.summary.calibration if run.summary else None
    for point in run.points:
        peak = run.vllm(point.point.name).get("max_output_tokens_per_s")
        yield (
            point,
            result_block(point, calibration=calibration, peak_output_tokens_per_s=peak),
        )


def _vllm_lines(point: PointSummary, peak: float | None) -> Iterator[str]:
    load = point.point
    yield "{s:{c}^{n}}".format(s=" Serving Benchmark Result ", n=WIDTH, c="=")
    yield _figure("Successful requests:", point.completed)
    yield _figure("Failed requests:", point.failed)
    if load.max_concurrency is not None:
        yield _figure("Maximum request concurrency:", load.max_concurrency)
    if load.request_rate is not None:
        yield _figure("Request rate configured (RPS):", float(load.request_rate))
    yield _figure("Benchmark duration (s):", float(point.duration_s))
    yield _figure("Total input tokens:", point.total_input_tokens)
    yield _figure("Total generated tokens:", point.total_output_tokens)
    yield _figure("Request throughput (req/s):", float(point.request_throughput))
    yield _figure("Output token throughput (tok/s):", float(point.output_throughput))
    if peak is not None:
        yield _figure("Peak output token throughput (tok/s):", float(peak))
    yield _figure("Peak concurrent requests:", float(point.peak_concurrency))
    yield _figure("Total token throughput (tok/s):", float(point.total_token_throughput))
    for title, name, key in _SECTIONS:
        yield from _section(title, name, getattr(point, key))
    yield "=" * WIDTH


def _section(title: str, name: str, stats: Stats | None) -> Iterator[str]:
    yield "{s:{c}^{n}}".format(s=title, n=WIDTH, c="-")
    mean, median = (stats.mean, stats.median) if stats else (0.0, 0.0)
    yield _figure(f"Mean {name} (ms):", float(mean))
    yield _figure(f"Median {name} (ms):", float(median))
    yield _figure(f"P99 {name} (ms):", float(figures.percentile(stats, "p99") or 0.0))


def _figure(label: str, value: float) -> str:
    return f"{label:<40} {value:<10}" if isinstance(value, int) else f"{label:<40} {value:<10.2f}"


def _verdict_lines(point: PointSummary) -> Iterator[str]:
    yield f"Verdict: {figures.verdict(point.verdict)}"
    for reason in point.verdict.reasons:
        yield from _wrapped(f"- {reason}", "  ")
    if point.failures:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(point.failures.items()))
        yield from _wrapped(f"Failures: {counts}")


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )


def _row(point: PointSummary) -> tuple[str, ...]:
    return (
        point.point.name,
        f"{point.completed}/{point.requested}",
        figures.number(figures.mean(point.ttft_ms)),
        figures.number(figures.percentile(point.ttft_ms, "p99")),
        figures.number(figures.percentile(point.itl_ms, "p50")),
        figures.number(figures.percentile(point.itl_ms, "p99")),
        figures.number(point.output_throughput),
        figures.verdict(point.verdict),
    )


def _line(cells: tuple[str, ...]) -> str:
    """Cells in their columns; one that is too wide pushes the others, and is never cut."""
    padded = (f"{c:{align}{width}}" for c, (_, align, width) in zip(cells, _COLUMNS, strict=True))
    return " ".join(padded).rstrip()
