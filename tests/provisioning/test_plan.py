"""How long a run may take."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from provisioning import recipe
from provisioning.plan import OVERHEAD_S, planned_s
from provisioning.recipe_schema import Point, Recipe

BASE: Recipe = recipe.load("rehearsal", ["planned_s=null"])


def planned(*overrides: str) -> float:
    return round(planned_s(recipe.load("rehearsal", ["planned_s=null", *overrides])), 6)


def points(**values: Any) -> str:
    return f"load.points={[{'num_prompts': 1} | values]}"


def test_a_recipe_may_know_better() -> None:
    """`planned_s` of the recipe is taken as it is."""
    assert 77.0 == planned("planned_s=77")


def test_a_point_costs_its_waves_of_slow_requests() -> None:
    """64 tokens at 10/s after 10 s are 16.4 s; 32 requests by 4 are eight waves, and one to end."""
    expected = round(OVERHEAD_S + 8 * 16.4 + 16.4, 6)
    assert expected == planned(points(num_prompts=32, max_concurrency=4), "load.num_warmups=0")


def test_a_low_rate_costs_its_arrivals() -> None:
    """100 requests at one a second take 100 s to arrive, and one to end."""
    expected = OVERHEAD_S + 100 + 16.4
    assert expected == planned(points(num_prompts=100, request_rate=1.0), "load.num_warmups=0")


def test_long_prompts_cost_their_reading() -> None:
    """100 prompts of 20,000 tokens are 1,000 s of reading at 2,000 tokens/s."""
    args = points(num_prompts=100, request_rate="inf"), "load.workload.input_len=20000"
    assert OVERHEAD_S + 1000 + 16.4 == planned(*args, "load.num_warmups=0")


def test_warm_ups_count() -> None:
    """They are requests too, before each point."""
    one = points(max_concurrency=1)
    assert 16.4 == round(planned(one, "load.num_warmups=2") - planned(one, "load.num_warmups=0"), 6)


@given(st.integers(1, 500), st.integers(1, 64))
def test_more_prompts_never_take_less(prompts: int, concurrency: int) -> None:
    """The guess grows with the load."""

    def with_prompts(number: int) -> float:
        point = Point(num_prompts=number, max_concurrency=concurrency)
        load = BASE.load.model_copy(update={"points": [point]})
        return planned_s(BASE.model_copy(update={"load": load}))

    assert with_prompts(prompts) <= with_prompts(prompts + 1)
