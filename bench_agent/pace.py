"""How a run is getting on: counts over all points, tokens a second, time left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bench_agent.load.tally import Tally
from bench_agent.protocol import Point
from bench_agent.specs import at_once


class Pace:
    """What the status says of the load; *plan* are the points that are known beforehand."""

    def __init__(self, plan: Sequence[Point]) -> None:
        self._plan = plan
        self._sent = Tally()  # in the points that are over
        self._over = 0  # points
        self._since = (0.0, 0)

    def begin(self) -> None:
        """A point starts."""
        self._since = (0.0, 0)

    def end(self, tally: Tally) -> None:
        """A point is over."""
        self._sent.requested += tally.requested
        self._sent.completed += tally.completed
        self._sent.failed += tally.failed
        self._sent.output_tokens += tally.output_tokens
        self._over += 1

    def status(self, tally: Tally, left_s: float) -> dict[str, Any]:
        """Fields of `RunStatus`; *left_s*: seconds to the planned end."""
        now, tokens = time.monotonic(), tally.output_tokens + tally.streaming
        if not self._since[0]:
            self._since = (now, tokens)
        since, first = self._since
        rate = (tokens - first) / (now - since) if now > since else 0.0
        eta_s = self._eta_s(tally, now - since)
        return {
            "requested": self._requested(tally),
            "completed": self._sent.completed + tally.completed,
            "failed": self._sent.failed + tally.failed,
            # A chunk is a token, near enough, until the server's count is known.
            "output_tokens": self._sent.output_tokens + tokens,
            "output_tokens_per_s": round(rate, 1),
            "eta_s": None if eta_s is None else round(max(0.0, min(eta_s, left_s)), 1),
        }

    def _requested(self, tally: Tally) -> int:
        still = self._plan[self._over :]
        here = max(still[0].num_prompts or 0, tally.requested) if still else tally.requested
        return self._sent.requested + here + sum(p.num_prompts or 0 for p in still[1:])

    def _eta_s(self, tally: Tally, spent_s: float) -> float | None:
        """Waves of requests that are still to come, at the pace of those of this point."""
        still = self._plan[self._over :]
        over = tally.completed + tally.failed
        if not still:
            return None
        wave_s = spent_s * at_once(still[0]) / over if over else None
        known = [_seconds(point, wave_s) for point in still]
        return None if None in known else sum(s for s in known if s is not None) - spent_s


def _seconds(point: Point, wave_s: float | None) -> float | None:
    """How long a point takes when a wave of requests takes *wave_s*."""
    ends = [point.duration_s]
    if point.num_prompts is not None:
        if point.request_rate:
            ends.append(point.num_prompts / point.request_rate + (wave_s or 0.0))
        elif wave_s is not None:
            ends.append(point.num_prompts / at_once(point) * wave_s)
    return min((end for end in ends if end is not None), default=None)
