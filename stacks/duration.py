"""Durations as people write them: ``4h``, ``90m``, ``1h30m``, ``2d``."""

from __future__ import annotations

import re

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_FORM = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
SHORTEST_S = 60
LONGEST_S = 14 * 86_400


def seconds(text: object) -> int:
    """Parse a time to live.

    Raises:
        ValueError: it is not of that form, or not between one minute and 14 days.
    """
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    if not text or match is None:
        raise ValueError("should be a duration such as 4h, 90m or 1h30m")
    amounts = zip(match.groups(), _UNITS.values(), strict=True)
    total = sum(int(count) * unit for count, unit in amounts if count)
    if not SHORTEST_S <= total <= LONGEST_S:
        raise ValueError("should be between 1m and 14d")
    return total
