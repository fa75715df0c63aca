"""How long a run may take at the most: a generous guess, for the agent's own end.

The agent ends itself then whatever happens, so the guess is of a slow engine, and is no
forecast: a recipe that knows better says `planned_s`.
"""

from __future__ import annotations

import math

from bench_agent import protocol
from provisioning.recipe_load import Search
from provisioning.recipe_schema import Recipe

OVERHEAD_S = 120.0  # calibration, warm-up of the engine's kernels, closing
FIRST_TOKEN_S = 10.0
TOKENS_PER_S = 10.0  # of one stream
PREFILL_TOKENS_PER_S = 2000.0  # of the whole engine
BATCH = 128  # requests that a server surely works on at a time


def planned_s(recipe: Recipe) -> float:
    """Seconds from the agent's start to its planned end."""
    if recipe.planned_s is not None:
        return recipe.planned_s
    load = recipe.load
    one = FIRST_TOKEN_S + load.workload.output_len / TOKENS_PER_S
    one = min(one, recipe.limits.request_timeout_s)
    each = math.ceil(load.num_warmups / BATCH) * one + load.point_gap_s
    input_len = load.workload.input_len
    points = [point_s(point, one, input_len) for point in recipe.points()]
    if load.search:
        ends = [_at(load.search, value) for value in (load.search.low, load.search.high)]
        longest = max(point_s(point, one, input_len) for point in ends)
        points += [longest] * load.search.max_steps
    return OVERHEAD_S + len(points) * each + sum(points)


def point_s(point: protocol.Point, one: float, input_len: int) -> float:
    """Seconds of one point, where a request takes *one* and has *input_len* tokens."""
    until = _or_inf(point.duration_s)
    cap = _or_inf(point.max_concurrency)
    rates = _rates(point)
    sent = min(_or_inf(point.num_prompts), max(rates) * until)
    left = min(sent, cap)  # what may still be under way when the time is over
    arrivals = 0.0 if math.isinf(min(rates)) else _or_inf(point.num_prompts) / min(rates)
    if point.arrivals == "trace":
        arrivals = math.inf  # nobody has read it here

    def served(requests: float) -> float:
        requests = BATCH if math.isinf(requests) else requests
        waves = math.ceil(requests / min(cap, BATCH))
        return max(waves * one, requests * input_len / PREFILL_TOKENS_PER_S)

    whole = math.inf if math.isinf(sent) else max(arrivals, served(sent))
    return min(whole, until + served(left)) + one


def _rates(point: protocol.Point) -> tuple[float, ...]:
    """Requests a second that are sent, from least to most; infinite where nothing holds back."""
    if point.ramp_up:
        return (point.ramp_up.start_rps, point.ramp_up.end_rps)
    return (point.request_rate or math.inf,)


def _or_inf(value: float | None) -> float:
    return math.inf if value is None else value


def _at(search: Search, value: float) -> protocol.Point:
    cap, rate = (int(value), None) if search.over == "max_concurrency" else (None, value)
    return protocol.Point("search", search.num_prompts, cap, rate, search.duration_s)
