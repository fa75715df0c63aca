"""The highest load that holds, by doubling and then bisection. Pure: values in, values out."""

from __future__ import annotations

from typing import Any

from bench_agent.protocol import Search


class Bisection:
    """Asks for points one after the other: `next`, measure, `tell`; None from `next`: the end.

    A load counts as too high once a lower one has failed, so answers that contradict each
    other make the result lower and never make the search longer.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._whole = search.over == "max_concurrency"
        self._steps: list[dict[str, Any]] = []

    def next(self) -> float | int | None:
        """The load to measure next; the same until something is told."""
        return None if self._ended() else self._candidate()

    def tell(self, value: float, good_share: float | None) -> None:
        """What share of the requests was good there; None: nobody knows, which ends the search."""
        ok = None if good_share is None else good_share >= self._search.share
        self._steps.append({"value": value, "good_share": good_share, "ok": ok})

    def result(self) -> dict[str, Any]:
        """`RunSummary.search`, but for the names of the points; `ended` says why it is over."""
        return {
            "over": self._search.over,
            "share": self._search.share,
            "steps": [dict(step) for step in self._steps],
            "highest": self._held(),
            "lowest_failed": self._failed(),
            "ended": self._ended(),
        }

    def _failed(self) -> float | None:
        return min((s["value"] for s in self._steps if s["ok"] is False), default=None)

    def _held(self) -> float | None:
        failed = self._failed()
        held = (s["value"] for s in self._steps if s["ok"])
        return max((v for v in held if failed is None or v < failed), default=None)

    def _candidate(self) -> float | int:
        low, high = self._held(), self._failed()
        if low is None:
            value = self._search.low
        elif high is None:
            value = min(low * 2, self._search.high)
        else:
            value = (low + high) / 2
        return int(value) if self._whole else value

    def _ended(self) -> str | None:
        """Why nothing more is asked for; None while there is something."""
        search, low, high = self._search, self._held(), self._failed()
        if any(step["ok"] is None for step in self._steps):
            return "The last point says nothing about this load."
        if low is None and high is not None:
            return "The lowest load that was tried fails already."
        if low is not None and low >= search.high:
            return "The highest load that may be tried holds."
        if low is not None and high is not None and self._narrow(low, high):
            return "The answer is as precise as asked for."
        if len(self._steps) >= search.max_steps:
            return f"It may take {search.max_steps} steps and no more."
        return None

    def _narrow(self, low: float, high: float) -> bool:
        return high - low <= low * self._search.precision or self._candidate() in (low, high)
