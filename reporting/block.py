"""Results as text: the block that ``vllm bench serve`` prints, and a table of a run's points."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench_agent.protocol import PointSummary, Stats
from reporting import figures, opinions
from reporting.run import Run

WIDTH = 50
COLUMNS = 80

_SECTIONS = (
    ("Time to First Token", "TTFT", "ttft_ms"),
    ("Time per Output Token (excl. 1st token)", "TPOT", "tpot_ms"),
    ("Inter-token Latency", "ITL", "itl_ms"),
    ("End-to-end Latency", "E2EL", "e2el_ms"),
)

_QUEUEING = (
    ("Client-side Queueing", "Client Queue Time", "client_queue_time"),
    (
        "Queue-inclusive End-to-end Latency",
        "E2EL incl. Client Queue",
        "e2el_including_client_queue",
    ),
)

#: What follows the lists of a ``vllm.json`` is far smaller than this.
_TAIL = 256 * 1024
_SCALAR = re.compile(r' "(\w[\w.]*)": (.*?),?')

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
    vllm: Mapping[str, Any] | None = None,
) -> str:
    """What vLLM prints of *point*, line for line, then our verdict on it.

    *vllm*: figures of ``vllm.json`` that its summary does not hold. Without them, the lines of
    the peak throughput and of queueing are left out, and the peak concurrency is the exact one.
    """
    known = vllm or {}
    lines = [*_vllm_lines(point, known), *_own_lines(point, known)]
    error = figures.client_error(calibration)
    if error:
        lines += _wrapped(f"Client's own error: {error} (by its calibration)")
    return "\n".join(lines)


def run_block(run: Run) -> str:
    """One line a point, at most 80 columns; says plainly when nothing was measured."""
    if not run.points:
        return f"Run {run.run_id}: {run.state}, nothing was measured."
    rows = [tuple(name for name, _, _ in _COLUMNS), *map(_row, run.points)]
    lines = [_line(row) for row in rows]
    if run.rehearsal_of:
        lines += _wrapped(f"A rehearsal: a simulator stood in for {run.rehearsal_of}.")
    return "\n".join(lines)


def run_blocks(run: Run) -> Iterator[tuple[PointSummary, str]]:
    """Each point of *run* with its result block."""
    calibration = run.summary.calibration if run.summary else None
    for point in run.points:
        path = run.path / "points" / point.point.name / "vllm.json"
        block = result_block(point, calibration=calibration, vllm=vllm_figures(path))
        yield point, "\n".join([block, *opinions.lines(run.path, point.point.name)])


def vllm_figures(path: Path) -> dict[str, Any]:
    """The figures that follow the lists in a ``vllm.json``; empty where there is none.

    The lists hold an entry a token. They are passed over: each key stands on a line of its own.
    """
    found: dict[str, Any] = {}
    if not path.is_file():
        return found
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    for match in filter(None, map(_SCALAR.fullmatch, lines)):
        with suppress(ValueError):
            found[match[1]] = json.loads(match[2])
    return found


def _vllm_lines(point: PointSummary, vllm: Mapping[str, Any]) -> Iterator[str]:
    load = point.point
    peak = vllm.get("max_output_tokens_per_s")
    concurrent = vllm.get("max_concurrent_requests", point.peak_concurrency)
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
    if point.request_goodput is not None:
        yield _figure("Request goodput (req/s):", float(point.request_goodput))
    yield _figure("Output token throughput (tok/s):", float(point.output_throughput))
    if peak is not None:
        yield _figure("Peak output token throughput (tok/s):", float(peak))
    yield _figure("Peak concurrent requests:", float(concurrent))
    yield _figure("Total token throughput (tok/s):", float(point.total_token_throughput))
    asked = _asked_percentiles(vllm)
    for title, name, key in _SECTIONS:
        yield from _section(title, name, asked, _of_stats(getattr(point, key)))
    for title, name, key in _QUEUEING:
        if f"mean_{key}_ms" in vllm:
            yield from _section(title, name, asked, lambda of, k=key: vllm.get(f"{of}_{k}_ms"))  # type: ignore[misc] # the key is bound now
    yield from _spec_decode(vllm)
    yield "=" * WIDTH


def _asked_percentiles(vllm: Mapping[str, Any]) -> list[str]:
    """Names of the percentiles that vLLM would have been asked for."""
    found = [k.removesuffix("_ttft_ms") for k in vllm if k.endswith("_ttft_ms")]
    return [name for name in found if name[0] == "p"] or ["p99"]


def _of_stats(stats: Stats | None) -> Callable[[str], float | None]:
    def of(name: str) -> float | None:
        if stats is None:
            return None
        known = {"mean": stats.mean, "median": stats.median, **stats.percentiles}
        return known.get(name)

    return of


def _section(
    title: str, name: str, percentiles: list[str], of: Callable[[str], float | None]
) -> Iterator[str]:
    """A distribution; zeros, as vLLM prints them, where nothing succeeded."""
    yield "{s:{c}^{n}}".format(s=title, n=WIDTH, c="-")
    for key in ("mean", "median", *percentiles):
        yield _figure(f"{key.capitalize()} {name} (ms):", float(of(key) or 0.0))


def _spec_decode(vllm: Mapping[str, Any]) -> Iterator[str]:
    """Only where the server's counters moved."""
    if "spec_decode_num_drafts" not in vllm:
        return
    yield "{s:{c}^{n}}".format(s="Speculative Decoding", n=WIDTH, c="-")
    yield _figure("Acceptance rate (%):", float(vllm["spec_decode_acceptance_rate"]))
    yield _figure("Acceptance length:", float(vllm["spec_decode_acceptance_length"]))
    yield _figure("Drafts:", int(vllm["spec_decode_num_drafts"]))
    yield _figure("Draft tokens:", int(vllm["spec_decode_draft_tokens"]))
    yield _figure("Accepted tokens:", int(vllm["spec_decode_accepted_tokens"]))
    rates = vllm.get("spec_decode_per_position_acceptance_rates") or ()
    if rates:
        yield "Per-position acceptance (%):"
    for position, rate in enumerate(rates):
        yield _figure(f"  Position {position}:", rate * 100.0)


def _figure(label: str, value: float) -> str:
    return f"{label:<40} {value:<10}" if isinstance(value, int) else f"{label:<40} {value:<10.2f}"


def _own_lines(point: PointSummary, vllm: Mapping[str, Any]) -> Iterator[str]:
    yield f"Verdict: {figures.verdict(point.verdict)}"
    for reason in point.verdict.reasons:
        yield from _wrapped(f"- {reason}", "  ")
    if point.failures:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(point.failures.items()))
        yield from _wrapped(f"Failures: {counts}")
    if point.unsupported_percentiles:
        names = ", ".join(map(str.upper, point.unsupported_percentiles))
        yield from _wrapped(f"Of {point.completed} requests there is no {names}: too few for it.")
    if vllm.get("max_concurrent_requests", point.peak_concurrency) != point.peak_concurrency:
        yield f"Peak concurrent requests, exactly: {point.peak_concurrency}"
    if point.steady:
        yield from _wrapped(_steady(point.steady))


def _steady(steady: Mapping[str, Any]) -> str:
    took = figures.seconds((steady["to_ns"] - steady["from_ns"]) / 1e9)
    rates = [figures.number(steady[f"{name}_throughput"]) for name in ("request", "output")]
    return f"Between ramp-up and drain ({took}): {rates[0]} req/s, {rates[1]} tok/s"


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
