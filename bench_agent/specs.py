"""Reading a RunSpec: its shape, and whether it can be run at all."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench_agent import clock, workloads
from bench_agent.load.arrivals import is_open
from bench_agent.load.plan import LoadError, endpoint
from bench_agent.protocol import (
    RUN_ID,
    SCHEMA,
    Limits,
    Point,
    RampUp,
    RunSpec,
    Search,
    Target,
    Workload,
)
from bench_agent.wire import WireError, decode
from bench_agent.workloads import WorkloadError

_POINT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: What the client sets itself, or could not count.
_OWN_KEYS = frozenset(
    ("model", "prompt", "messages", "max_tokens", "stream", "stream_options", "n", "best_of")
)
#: Requests at once of a point that does not say.
_MANY = 256

Bound = tuple[str, Callable[[float], bool]]
_ABOVE_0: Bound = ("more than 0", lambda v: 0 < v < math.inf)
_FROM_0: Bound = ("at least 0", lambda v: 0 <= v < math.inf)
_FROM_1: Bound = ("at least 1", lambda v: 1 <= v < math.inf)
_SHARE: Bound = ("from 0 to 1", lambda v: 0 <= v <= 1)
_PART: Bound = ("more than 0 and at most 1", lambda v: 0 < v <= 1)
_BELOW_1: Bound = ("more than 0 and less than 1", lambda v: 0 < v < 1)

_SIZE = {"num_prompts": _FROM_1, "duration_s": _ABOVE_0, "burstiness": _ABOVE_0}
_BOUNDS: dict[type, dict[str, Bound]] = {
    RunSpec: {
        "planned_s": _ABOVE_0,
        "num_warmups": _FROM_0,
        "workers": _FROM_1,
        "temperature": _FROM_0,
        "point_gap_s": _FROM_0,
    },
    Workload: {"output_len": _FROM_1},
    Point: {
        **_SIZE,
        "max_concurrency": ("at least 1 and at most 1000000", lambda v: 1 <= v <= 1_000_000),
        "request_rate": _ABOVE_0,
        "ramp_up_s": _FROM_0,
    },
    RampUp: {"start_rps": _ABOVE_0, "end_rps": _ABOVE_0},
    Search: {
        **_SIZE,
        "low": _ABOVE_0,
        "high": _ABOVE_0,
        "share": _PART,
        "precision": _BELOW_1,
        "max_steps": _FROM_1,
    },
    Limits: {
        "max_failed_share": _SHARE,
        "request_timeout_s": _ABOVE_0,
        "max_send_delay_ms": _FROM_0,
        "max_coalesced_share": _SHARE,
        "max_client_error_ms": _FROM_0,
        "stall_timeout_s": _ABOVE_0,
        "max_client_cpu": _ABOVE_0,
        "max_client_lag_ms": _FROM_0,
        "max_token_gap": _FROM_0,
        "max_cache_hit_excess": _FROM_0,
        "max_preemptions": _FROM_0,
        "max_throttled_share": _SHARE,
        "max_drift": _FROM_0,
    },
}


class SpecError(ValueError):
    """The spec cannot be run; the message names the path."""


def read_spec(text: bytes) -> RunSpec:
    """The spec in a JSON document.

    Raises:
        SpecError: anything is wrong with it.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise SpecError(f"The spec is not JSON: {error}.") from None
    return check(spec_of(data))


def spec_of(data: Any) -> RunSpec:
    """The spec in a JSON value, by its shape only.

    Raises:
        SpecError: another schema, or not that shape.
    """
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise SpecError(f"schema: this agent reads {SCHEMA}, got {schema!r}.")
    try:
        return decode(RunSpec, data)
    except WireError as error:
        raise SpecError(f"{error}.") from None


def check(spec: RunSpec) -> RunSpec:
    """What the shape cannot say.

    Raises:
        SpecError: a value out of its range, or values that make no sense together.
    """
    _need(RUN_ID.fullmatch(spec.run_id), f"run_id: {spec.run_id!r} is no run id")
    _check_bounds(spec, "")
    _check_bounds(spec.limits, "limits.")
    _check_bounds(spec.workload, "workload.")
    _check_target(spec.target)
    _check_figures(spec)
    _check_expiry(spec)
    try:
        workloads.check(spec.workload, spec.target.api)
    except WorkloadError as error:
        raise SpecError(str(error)) from None
    _check_points(spec)
    if spec.search is not None:
        _check_search(spec.search)
        for number, point in enumerate(spec.points):
            taken = re.fullmatch(r"\d+-search-.*", point.name)
            _need(not taken, f"points[{number}].name: such names are those of the search's points")
        _need(spec.goodput, "search: needs goodput, what a good request is")
    return spec


def _check_bounds(values: Any, path: str) -> None:
    for name, (what, holds) in _BOUNDS[type(values)].items():
        value = getattr(values, name)
        _need(value is None or holds(value), f"{path}{name}: must be {what}, got {value}")


def _check_expiry(spec: RunSpec) -> None:
    try:
        if spec.expires_at is not None:
            clock.parse_time(spec.expires_at)
    except ValueError as error:
        raise SpecError(f"expires_at: {error}.") from None


def _check_target(target: Target) -> None:
    _need(target.base_urls, "target.base_urls: at least one is needed")
    _need(target.model, "target.model: must not be empty")
    _need(target.api in ("completions", "chat"), "target.api: completions or chat")
    _need(
        target.routing in ("round_robin", "least_busy"), "target.routing: round_robin or least_busy"
    )
    for number, url in enumerate(target.base_urls):
        path = f"target.base_urls[{number}]"
        try:
            endpoint(url, target.api)
        except LoadError as error:
            raise SpecError(f"{path}: {error}") from None
        _need(not url.rstrip("/").endswith("/v1"), f"{path}: leave out the /v1 at its end")
    secure = any(url.lower().startswith("https:") for url in target.base_urls)
    _need(secure or not target.ca_file, "target.ca_file: says nothing without an https URL")
    _need(secure or not target.insecure, "target.insecure: says nothing without an https URL")
    _need(
        not (target.ca_file and target.insecure),
        "target.insecure: trusts anybody, so that ca_file says nothing; leave one out",
    )


def _check_figures(spec: RunSpec) -> None:
    for metric, most_ms in spec.goodput.items():
        _need(metric in ("ttft", "tpot", "e2el"), f"goodput.{metric}: ttft, tpot or e2el")
        _need(0 < most_ms < math.inf, f"goodput.{metric}: must be more than 0")
    for number, percentile in enumerate(spec.percentiles):
        path = f"percentiles[{number}]"
        _need(0 < percentile < 100, f"{path}: must be more than 0 and less than 100")
        _need(percentile not in spec.percentiles[:number], f"{path}: stands there twice")
    for key in sorted(_OWN_KEYS & set(spec.extra_body)):
        raise SpecError(f"extra_body.{key}: the client sets it itself; leave it out.")


def _check_points(spec: RunSpec) -> None:
    _need(spec.points, "points: at least one is needed")
    seen: dict[str, Point] = {}
    for number, point in enumerate(spec.points):
        path = f"points[{number}]"
        _need(_POINT_NAME.fullmatch(point.name), f"{path}.name: {point.name!r} is no folder name")
        _need(point.name not in seen, "points: two have the same name")
        _check_bounds(point, f"{path}.")
        _check_arrivals(point, path)
        _check_size(point, spec, path)
        if point.repeat_of is not None:
            _check_repeat(point, seen.get(point.repeat_of), f"{path}.repeat_of")
        seen[point.name] = point
    timed = sum(point.duration_s or 0.0 for point in spec.points if point.num_prompts is None)
    timed += spec.point_gap_s * (len(spec.points) - 1)
    _need(spec.planned_s > timed, f"planned_s: the points alone take {timed:g} s")


def _check_arrivals(point: Point, path: str) -> None:
    ramp, rate = point.ramp_up, point.request_rate
    _need(point.arrivals in ("rate", "trace"), f"{path}.arrivals: rate or trace")
    if ramp is not None:
        known = ramp.strategy in ("linear", "exponential")
        _need(known, f"{path}.ramp_up.strategy: linear or exponential")
        _check_bounds(ramp, f"{path}.ramp_up.")
        _need(rate is None, f"{path}.request_rate: ramp_up takes its place; leave one out")
    if point.arrivals == "trace":
        _need(rate is None, f"{path}.request_rate: a trace has its own times; leave it out")
        _need(ramp is None, f"{path}.ramp_up: a trace has its own times; leave it out")
    if point.ramp_up_s:
        closed = point.max_concurrency is not None and not is_open(point)
        _need(closed, f"{path}.ramp_up_s: needs max_concurrency and no rate")
        short = point.duration_s is not None and point.duration_s <= point.ramp_up_s
        _need(not short, f"{path}.ramp_up_s: must be less than duration_s")


def _check_size(point: Point, spec: RunSpec, path: str) -> None:
    if point.num_prompts is None and (point.duration_s is None or not _is_bounded(point)):
        named = "num_prompts" if point.duration_s is not None else "num_prompts or duration_s"
        _need(_first(spec)[0], f"{path}: needs {named}; this workload has no end")
    if point.arrivals == "trace":
        _need(_first(spec)[1], f"{path}.arrivals: the workload {spec.workload.name} has no times")


def _is_bounded(point: Point) -> bool:
    """Whether there is an end to what can go in a given time."""
    return point.max_concurrency is not None or is_open(point)


def _first(spec: RunSpec) -> tuple[bool, bool]:
    """Whether the workload ends by itself, and whether it says when requests are due."""
    try:
        made = workloads.requests(spec.workload, spec.target.api, "check")
        return made.count is not None, made(0).due_s is not None
    except WorkloadError:  # it waits for the server's tokenizer, as none does that has times
        return False, False


def _check_repeat(point: Point, first: Point | None, path: str) -> None:
    if first is None:
        raise SpecError(f"{path}: no point before it is called {point.repeat_of!r}.")
    same = replace(point, name=first.name, repeat_of=None) == first
    _need(same, f"{path}: its load is not that of {first.name}")


def _check_search(search: Search) -> None:
    over = search.over
    _need(
        over in ("max_concurrency", "request_rate"),
        "search.over: max_concurrency or request_rate",
    )
    _check_bounds(search, "search.")
    _need(search.low < search.high, "search.low: must be less than high")
    _need(
        search.num_prompts is not None or search.duration_s is not None,
        "search: needs num_prompts or duration_s",
    )
    if over == "max_concurrency":
        for name, value in (("low", search.low), ("high", search.high)):
            _need(float(value).is_integer(), f"search.{name}: must be a whole number")
        enough = search.num_prompts is None or search.num_prompts >= search.high
        _need(enough, "search.num_prompts: must be at least high, or high is never reached")


def _need(truth: object, message: str) -> None:
    if not truth:
        raise SpecError(f"{message}.")


def at_once(point: Point) -> int:
    """Most requests that a point has open at a time, as far as it says."""
    ramp = point.ramp_up
    rate = max(ramp.start_rps, ramp.end_rps) if ramp else point.request_rate
    known = [point.num_prompts, point.max_concurrency]
    if rate is not None and point.duration_s is not None:
        known.append(math.ceil(rate * point.duration_s))
    return min((n for n in known if n is not None), default=_MANY)
