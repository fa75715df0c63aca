"""How late the client's loop is: a histogram that takes next to nothing."""

from __future__ import annotations

from collections.abc import Mapping

_STEPS = 3  # bits below the highest one: buckets are at most an eighth wide


class Lag:
    """Counts delays in nanoseconds by their leading bits."""

    def __init__(self) -> None:
        self.buckets: dict[str, int] = {}

    def add(self, lag_ns: int) -> None:
        """One more; what is negative counts as none."""
        shift = max(0, lag_ns.bit_length() - _STEPS - 1) if lag_ns > 0 else 0
        key = str((max(0, lag_ns) >> shift) << shift)
        self.buckets[key] = self.buckets.get(key, 0) + 1


def percentiles(buckets: Mapping[str, int]) -> dict[str, float] | None:
    """p50, p99 and max in milliseconds (the lower ends of their buckets); None of nothing."""
    ordered = sorted((int(key), count) for key, count in buckets.items())
    total = sum(count for _, count in ordered)
    if not total:
        return None
    found = {}
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        left = share * total
        for value, count in ordered:
            left -= count
            if left <= 0:
                found[name] = value / 1e6
                break
    return found
