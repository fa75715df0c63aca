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


def test_a_duration_ends_the_sending() -> None:
    """30 s of a closed loop, then what is under way: its four requests, and one to end."""
    args = "load.num_warmups=0", "load.points=[{max_concurrency: 4, duration_s: 30}]"
    assert OVERHEAD_S + 30 + 16.4 + 16.4 == planned(*args)


def test_a_duration_ends_a_rate() -> None:
    """Of 30 s at ten a second, 300 requests may still wait: three waves of 128."""
    args = "load.num_warmups=0", "load.points=[{request_rate: 10, duration_s: 30}]"
    assert round(OVERHEAD_S + 30 + 3 * 16.4 + 16.4, 6) == planned(*args)


def test_what_comes_first_ends_a_point() -> None:
    """Eight requests of a closed loop are over long before its hour."""
    args = "load.num_warmups=0", "load.points=[{max_concurrency: 4, num_prompts: 8}]"
    timed = "load.points=[{max_concurrency: 4, num_prompts: 8, duration_s: 3600}]"
    assert planned(*args) == planned(args[0], timed)


def test_a_ramp_costs_its_slowest_rate() -> None:
    """100 requests at one a second at the least."""
    point = "{num_prompts: 100, ramp_up: {start_rps: 1, end_rps: 10}}"
    assert OVERHEAD_S + 100 + 16.4 == planned("load.num_warmups=0", f"load.points=[{point}]")


def test_a_trace_costs_its_duration() -> None:
    """Nobody has read it here: its time, and what may be under way then, however little."""
    for number in ("null", "1"):
        point = f"{{arrivals: trace, duration_s: 60, num_prompts: {number}}}"
        args = "load.num_warmups=0", "load.workload.name=trace", f"load.points=[{point}]"
        assert OVERHEAD_S + 60 + 16.4 + 16.4 == planned(*args)


def test_gaps_warm_ups_and_repeats_count_at_every_point() -> None:
    """Three times the same point cost three times as much, silence and warm-ups included."""
    one = ["load.num_warmups=2", "load.point_gap_s=7"]
    point = "{max_concurrency: 4, num_prompts: 32, repeats: %d}"
    once, thrice = (planned(*one, f"load.points=[{point % n}]") for n in (1, 3))
    assert round(2 * (16.4 + 7 + 8 * 16.4 + 16.4), 6) == round(thrice - once, 6)


def test_a_search_costs_all_its_steps_at_their_longest() -> None:
    """100 requests at one a second, and that as often as it may look."""
    search = "{over: request_rate, low: 1, high: 8, num_prompts: 100, max_steps: 5}"
    args = "load.num_warmups=0", "load.goodput.ttft=100"
    more = planned(*args, f"load.search={search}") - planned(*args)
    assert round(5 * (100 + 16.4), 6) == round(more, 6)


def test_a_search_over_concurrency_costs_its_narrowest() -> None:
    """100 requests one at a time are the longest that it tries."""
    search = "{over: max_concurrency, low: 1, high: 8, num_prompts: 100, max_steps: 1}"
    args = "load.num_warmups=0", "load.goodput.ttft=100"
    more = planned(*args, f"load.search={search}") - planned(*args)
    assert round(101 * 16.4, 6) == round(more, 6)


@given(st.integers(1, 500), st.integers(1, 64))
def test_more_prompts_never_take_less(prompts: int, concurrency: int) -> None:
    """The guess grows with the load."""

    def with_prompts(number: int) -> float:
        point = Point(num_prompts=number, max_concurrency=concurrency)
        load = BASE.load.model_copy(update={"points": [point]})
        return planned_s(BASE.model_copy(update={"load": load}))

    assert with_prompts(prompts) <= with_prompts(prompts + 1)
