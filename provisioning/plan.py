"""How long a run may take at the most: a generous guess, for the agent's own end.

The agent ends itself then whatever happens, so the guess is of a slow engine, and is no
forecast: a recipe that knows better says `planned_s`.
"""

from __future__ import annotations

import math

from bench_agent import protocol
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
    warm = math.ceil(load.num_warmups / BATCH) * one
    return OVERHEAD_S + sum(
        warm + _point_s(point, one, load.workload.input_len) for point in recipe.points()
    )


def _point_s(point: protocol.Point, one: float, input_len: int) -> float:
    at_once = min(point.max_concurrency or BATCH, BATCH)
    arrivals = point.num_prompts / (point.request_rate or math.inf)
    served = math.ceil(point.num_prompts / at_once) * one
    prefilled = point.num_prompts * input_len / PREFILL_TOKENS_PER_S
    return max(arrivals, served, prefilled) + one
