"""Stacks of nodes, and little load for them."""

from __future__ import annotations

from provisioning import recipe
from provisioning import site as sites
from provisioning.recipe_schema import Recipe
from provisioning.site import Site
from stacks.outputs import EndpointOutput, Price, StackOutputs
from tests.mlnode_standin import Standin

SMALL = (
    "load.points.0.num_prompts=8",
    "load.points.0.max_concurrency=2",
    "load.workload.input_len=50",
    "load.workload.output_len=8",
)


class Silent:
    """A progress that nobody sees."""

    def phase(self, name: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def load(self, status: object) -> None:
        pass

    def done(self, name: str, seconds: float) -> None:
        pass


def site_of(*nodes: Standin | EndpointOutput) -> Site:
    """A stack of nodes."""
    ends = tuple(
        EndpointOutput(n.inference_url, n.management_url) if isinstance(n, Standin) else n
        for n in nodes
    )
    price = Price(0.0, "owned", "a test", "2026-11-21")
    at = "2026-11-21T12:00:00Z"
    return sites.of_stack(
        StackOutputs(1, "n", "ann", "mlnode", "", "", (), ends, None, price, at, None, "r")
    )


def small(*changes: str, variant: str = "tp8-pp1-short") -> Recipe:
    """The recipe with little load."""
    return recipe.load(f"mlnode-layouts:{variant}", [*SMALL, *changes])
