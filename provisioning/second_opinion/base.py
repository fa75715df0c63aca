"""What a second opinion is: the figures of another client, of the same load on the same engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bench_agent import protocol
from bench_agent.protocol import PointSummary, Target
from provisioning.host import Host
from provisioning.host_schema import PythonPackages
from provisioning.recipe_schema import Recipe

#: Figures that a tool may give, with the unit in the name; totals are of what succeeded.
FIGURES = (
    "completed",
    "failed",
    "duration_s",
    "input_tokens",
    "output_tokens",
    "request_throughput",
    "input_throughput",
    "output_throughput",
    "mean_ttft_ms",
    "median_ttft_ms",
    "mean_tpot_ms",
    "mean_itl_ms",
    "mean_e2el_ms",
    "median_e2el_ms",
    "e2el_per_output_token_ms",
)

Teller = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """A point to be measured once more, from the same host and against the same `target`.

    `ours` is what the agent found. `folder`, on the host, is the tool's alone: what it leaves
    there comes home, so no secret may. `limit_s`: then the tool is to be ended.
    """

    recipe: Recipe
    target: Target
    point: protocol.Point
    ours: PointSummary
    run_id: str
    folder: str
    limit_s: float

    @property
    def requests(self) -> int:
        """As many as the agent sent."""
        return self.ours.requested

    @property
    def at_once(self) -> int:
        """Requests open at a time, at most."""
        return min(self.point.max_concurrency or self.requests, self.requests)


@dataclass(frozen=True)
class Opinion:
    """What a tool found at a point: `figures` by names of `FIGURES`, those that it has.

    `reason` says why there are none. `notes`: what makes the load, or what a figure means,
    another than ours; a sentence each.
    """

    tool: str
    version: str
    point: str
    figures: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    notes: tuple[str, ...] = ()


class Tool(Protocol):
    """A module of `provisioning.second_opinion.tools`."""

    VERSION: str

    def packages(self, recipe: Recipe) -> PythonPackages | None:
        """What its environment on the host holds; None where it needs none of its own."""
        ...

    def unfit(self, recipe: Recipe, target: Target, point: protocol.Point) -> str | None:
        """Why it cannot play *point*; pure."""
        ...

    def measure(self, host: Host, asked: Asked, tell: Teller) -> Opinion:
        """Measure the point; `tell` hears how it goes on.

        Raises:
            DynoError: it could not; what it says becomes the opinion's `reason`.
        """
        ...
