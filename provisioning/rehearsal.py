"""A recipe rehearsed: the simulator in the place of its engine, and its load in less than a minute.

Nothing is wanted of the host that a laptop has not: no GPU, driver, model, or engine. The launcher
is the recipe's own, and so is the shape of the load: its points, rates, concurrency and lengths,
as far as they are small enough to be played in `LOAD_S` seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from provisioning import launchers, overrides
from provisioning.overrides import Override
from provisioning.recipe_schema import Recipe

#: What the simulator runs in, in the place of the engine's image. Any with a Python will do.
IMAGE = "docker.io/library/python:3.13-slim"
#: All points together, and the least of one.
LOAD_S, POINT_S = 16.0, 1.5
#: So much of one request: a token each 10 ms, after 20 ms.
MOST_TOKENS_OUT, TTFT_MS, ITL_MS = 64, 20, 10
MOST_AT_ONCE, MOST_RPS, MOST_PROMPTS = 32, 50.0, 48
FEWEST_PROMPTS = 4
SEARCH_STEPS, REPEATS, WARMUPS, GAP_S = 3, 2, 2, 0.5

Plain = dict[str, Any]
#: What the simulator can be told of an engine's arguments.
_SIMULATED = ("max_num_seqs", "ttft_ms", "itl_ms", "max_tokens")
#: Of overrides, what a rehearsal hears as it is: what it would have said otherwise by itself.
_HEARD = (("engine", "container"), ("host", "docker"), ("timeouts",), ("planned_s",))


def of(recipe: Recipe, changes: Sequence[Override] = ()) -> Recipe:
    """What stands in for *recipe* where there is no GPU.

    Of *changes* (which are in *recipe* already) some are put over it once more: `_HEARD`.
    """
    data = recipe.model_dump()
    runs = getattr(launchers.load(recipe.launcher), "RUNS", "process")
    data["engine"] = _engine(recipe, in_container=runs == "container")
    if runs == "node":  # there is none
        data["launcher"] = "process"
    data["model"] |= {"revision": None, "path": None, "hub": None}
    data["layout"] = _layout(recipe)
    docker = data["host"]["docker"] if runs == "container" else None
    data["host"] = {"docker": docker}
    data["load"] = _load(recipe, data["load"])
    data["timeouts"] = {"ready_s": 60.0, "stop_s": min(10.0, recipe.timeouts.stop_s)}
    data["planned_s"] = None
    data["second_opinion"] = []  # its environment would take longer than all else
    for change in filter(_heard, changes):
        overrides.put(data, change)
    about = {"engine": recipe.engine.name, "model": recipe.model.name, "launcher": recipe.launcher}
    if recipe.engine.container:
        about["image"] = recipe.engine.container.image
    made = Recipe.named(recipe.name, data, recipe.folder)
    return made.known_as(recipe.name, recipe.folder, recipe.variant, about)


def _heard(change: Override) -> bool:
    if change.keys[:2] == ("engine", "args"):
        return change.keys[2:3] != () and change.keys[2] in _SIMULATED
    return any(change.keys[: len(keys)] == keys for keys in _HEARD)


def _engine(recipe: Recipe, *, in_container: bool) -> Plain:
    engine = recipe.engine
    args: Plain = {"ttft_ms": TTFT_MS, "itl_ms": ITL_MS}
    args |= {key: engine.args[key] for key in _SIMULATED if key in engine.args}
    made: Plain = {"name": "simulator", "args": args, "port": engine.port}
    if recipe.launcher != "process":  # which knows of none
        made["restart"] = engine.restart
    if in_container:
        ipc = bool(engine.container and engine.container.ipc_host)
        made["container"] = {"image": IMAGE, "ipc_host": ipc}
    return made


def _layout(recipe: Recipe) -> Plain:
    wanted = recipe.layout.instances
    instances = 2 if wanted == "fill" else min(wanted, 2)
    return {"instances": instances, "front": recipe.layout.front if instances > 1 else "agent"}


def _load(recipe: Recipe, load: Plain) -> Plain:
    repeats = [min(point.repeats, REPEATS) for point in recipe.load.points]
    levels = sum(
        len(point.levels()) * times
        for point, times in zip(recipe.load.points, repeats, strict=True)
    )
    seconds = max(POINT_S, LOAD_S / levels)
    load["points"] = [_point(point, seconds) for point in load["points"]]
    load["workload"]["output_len"] = min(load["workload"]["output_len"], MOST_TOKENS_OUT)
    load["percentiles"] = []  # they need more requests than these
    load["num_warmups"] = min(load["num_warmups"], WARMUPS)
    load["point_gap_s"] = min(load["point_gap_s"], GAP_S)
    if load["search"]:
        load["search"] = _search(load["search"], seconds)
    return load


def _point(point: Plain, seconds: float) -> Plain:
    made = dict(point)
    made["repeats"] = min(point["repeats"], REPEATS)
    made["max_concurrency"] = _capped(point["max_concurrency"], 1, MOST_AT_ONCE)
    # A slow rate is sped up only where hardly a request would be sent.
    slowest = FEWEST_PROMPTS / (seconds if point["num_prompts"] is None else 3 * seconds)
    made["request_rate"] = _capped(point["request_rate"], slowest, MOST_RPS)
    if point["ramp_up"]:
        made["ramp_up"] = point["ramp_up"] | {
            key: _within(point["ramp_up"][key], slowest, MOST_RPS)
            for key in ("start_rps", "end_rps")
        }
    made["ramp_up_s"] = min(point["ramp_up_s"], seconds / 2)
    if point["duration_s"]:
        made["duration_s"] = min(point["duration_s"], seconds)
    if point["num_prompts_per_concurrency"]:
        made["num_prompts_per_concurrency"] = min(point["num_prompts_per_concurrency"], 2)
    if point["num_prompts"]:
        made["num_prompts"] = min(point["num_prompts"], _prompts(made, seconds))
    return made


def _prompts(point: Plain, seconds: float) -> int:
    """Requests that a point of this load sends in about *seconds*."""
    one = (TTFT_MS + ITL_MS * MOST_TOKENS_OUT) / 1e3
    rates = [rate for rate in _steps(point["request_rate"]) if isinstance(rate, float)]
    caps = _steps(point["max_concurrency"])
    if rates:
        found = round(min(rates) * seconds)
    elif caps:
        found = max(*caps, int(min(caps) * seconds / one))
    else:
        found = MOST_AT_ONCE
    return min(max(found, FEWEST_PROMPTS), MOST_PROMPTS)


def _search(search: Plain, seconds: float) -> Plain:
    most = MOST_AT_ONCE if search["over"] == "max_concurrency" else MOST_RPS
    high = min(search["high"], float(most))
    made = search | {"high": high, "low": min(search["low"], high // 2 or high / 2)}
    made["max_steps"] = min(search["max_steps"], SEARCH_STEPS)
    if search["num_prompts"]:
        made["num_prompts"] = min(search["num_prompts"], MOST_AT_ONCE)
    if search["duration_s"]:
        made["duration_s"] = min(search["duration_s"], seconds)
    return made


def _capped(value: Any, low: float, high: float) -> Any:
    """*value*, or each step of a ladder, within bounds; steps that become equal are one."""
    steps = [_within(step, low, high) for step in _steps(value)]
    return list(dict.fromkeys(steps)) if isinstance(value, list) else (steps or [None])[0]


def _within(value: Any, low: float, high: float) -> Any:
    return value if value == "inf" else type(value)(min(max(value, low), high))


def _steps(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
