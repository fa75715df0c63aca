"""How a figure is written for a person; a figure that is not known is a dash."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bench_agent.protocol import Point, PointSummary, Stats, Verdict

NONE = "-"


def number(value: float | None, digits: int | None = None) -> str:
    """*value* with thousands separators and about four significant figures: 1,037 or 51.24."""
    if value is None:
        return NONE
    if digits is None:
        digits = 0 if isinstance(value, int) or abs(value) >= 1000 else _digits(abs(value))
    return f"{value:,.{digits}f}"


def seconds(value: float | None) -> str:
    """A duration: 0.042 s, 12.3 s, 4 min 05 s, 2 h 03 min."""
    if value is None:
        return NONE
    if value < 60:
        return f"{value:.3f} s" if value < 1 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def when(time_ns: int) -> str:
    """A time of day in UTC."""
    moment = datetime.fromtimestamp(time_ns // 10**9, tz=UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def when_iso(text: str) -> str:
    """An RFC 3339 time as `when` writes it; as it is where it cannot be read."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return when(int(moment.timestamp()) * 10**9)


def load(point: Point) -> str:
    """The load of *point*, in words."""
    rate = f"{number(point.request_rate)} req/s" if point.request_rate is not None else "rate inf"
    cap = f"concurrency {point.max_concurrency}" if point.max_concurrency else "no cap"
    return f"{rate}, {cap}"


def mean(stats: Stats | None) -> float | None:
    """The mean in ms, None where nothing succeeded."""
    return stats.mean if stats else None


def percentile(stats: Stats | None, name: str) -> float | None:
    """A percentile in ms by its name (``p99``), None where it is not known."""
    return stats.percentiles.get(name) if stats else None


def verdict(value: Verdict) -> str:
    """The verdict in one or two words."""
    return "valid" if value.valid else "not valid"


def best(points: tuple[PointSummary, ...]) -> PointSummary | None:
    """The headline of a run: most output throughput among the valid points, else among all."""
    valid = [point for point in points if point.verdict.valid]
    return max(valid or points, key=lambda p: p.output_throughput, default=None)


def client_error(calibration: Mapping[str, Any] | None) -> str | None:
    """The client's own error as its calibration measured it, in words; None if none did.

    Every key ``<metric>_error_ms`` is one: a number, or figures with a ``mean``.
    """
    found = [
        f"{key.removesuffix(_ERROR).upper()} {text}"
        for key, value in (calibration or {}).items()
        if key.endswith(_ERROR) and (text := _error(value))
    ]
    return "; ".join(found) or None


_ERROR = "_error_ms"


def _error(value: Any) -> str:
    if isinstance(value, int | float):
        return f"{value:+.3f} ms"
    if not isinstance(value, Mapping) or not isinstance(value.get("mean"), int | float):
        return ""
    tail = value.get("p99", (value.get("percentiles") or {}).get("p99"))
    return f"mean {value['mean']:+.3f} ms" + ("" if tail is None else f", P99 {tail:+.3f} ms")


def _digits(size: float) -> int:
    return 1 if size >= 100 else 2 if size >= 1 or size == 0 else 3
