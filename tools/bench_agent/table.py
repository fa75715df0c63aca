"""The trials as tables of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tools.bench_agent.trial import Trial

#: Beyond this true 99th percentile the machine itself was late, whatever the client.
LATE_MS = 20.0
_NAME = 12


def render(trials: Sequence[Trial]) -> str:
    """All tables that there is something for."""
    good = [row for row in trials if row.failure is None]
    parts = [accuracy(good), costs(good), token_errors(good)] if good else []
    failed = [
        f"{row.client} at {row.streams} streams: {row.failure}" for row in trials if row.failure
    ]
    if failed:
        parts.append("\n".join(["Without figures:", *(f"  {line}"[:400] for line in failed)]))
    return "\n\n".join(part for part in parts if part)


def accuracy(trials: Iterable[Trial]) -> str:
    """Truth, what was said, and the difference."""
    lines = [
        "What was true, what was said, and the error (ms)",
        f"{'':{_NAME}}{'':>8}{'TTFT mean':^20}{'ITL p50':^20}{'ITL p99':^20}",
        f"{'client':{_NAME}}{'streams':>8}" + f"{'true':>6}{'said':>7}{'error':>7}" * 3,
    ]
    for row in trials:
        if row.truth is None or row.said is None:
            continue
        pairs = [
            (row.truth.ttft_mean, row.said.ttft_mean),
            (row.truth.itl_p50, row.said.itl_p50),
            (row.truth.itl_p99, row.said.itl_p99),
        ]
        late = row.truth.itl_p99 is not None and row.truth.itl_p99 > LATE_MS
        cells = "".join(
            _number(true, 6) + _number(said, 7) + _number(_difference(said, true), 7, sign=True)
            for true, said in pairs
        )
        lines.append(f"{row.client:{_NAME}}{row.streams:>7}{'*' if late else ' '}{cells}")
    lines.append(f"* true ITL p99 above {LATE_MS:g} ms: the machine itself was late")
    return "\n".join(lines)


def costs(trials: Iterable[Trial]) -> str:
    """What each client needs."""
    head = f"{'client':{_NAME}}{'streams':>8}{'tokens/s':>10}{'CPU us/token':>14}"
    lines = ["What it cost", head + f"{'less start':>12}{'peak MiB':>10}{'start s':>9}"]
    lines += [
        f"{row.client:{_NAME}}{row.streams:>7} "
        + _number(row.tokens_per_s, 10, 0)
        + _number(row.cpu_us, 14)
        + _number(row.cpu_us_marginal, 12)
        + _number(row.peak_mib, 10, 0)
        + _number(row.start_s, 9, 2)
        for row in trials
    ]
    return "\n".join(lines)


def token_errors(trials: Iterable[Trial]) -> str:
    """Of the client that keeps its stamps; nothing without one."""
    rows = [(row, row.errors) for row in trials if row.errors is not None]
    if not rows:
        return ""
    title = "Stamp by stamp: the client's less the server's send stamp of the same token"
    head = f"{'client':{_NAME}}{'streams':>8}{'tokens':>10}{'TTFT mean':>11}{'ITL p50':>9}"
    lines = [title, head + f"{'ITL p99':>9}{'lag p50':>10}{'lag p99':>10}"]
    lines += [
        f"{row.client:{_NAME}}{row.streams:>7} {errors.tokens:>10}"
        f"{errors.ttft_mean:>8.2f} ms{errors.itl_p50:>+9.1%}{errors.itl_p99:>+9.1%}"
        f"{errors.lag_p50:>7.2f} ms{errors.lag_p99:>7.2f} ms"
        for row, errors in rows
    ]
    return "\n".join(lines)


def _difference(said: float | None, true: float | None) -> float | None:
    return None if said is None or true is None else said - true


def _number(value: float | None, width: int, digits: int = 1, *, sign: bool = False) -> str:
    if value is None:
        return f"{'-':>{width}}"
    return f"{value:>{'+' if sign else ''}{width}.{digits}f}"
