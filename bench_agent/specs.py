"""Reading a RunSpec: its shape, and whether it can be run at all."""

from __future__ import annotations

import json
import re
from typing import Any

from bench_agent import clock, workloads
from bench_agent.load.plan import LoadError, endpoint
from bench_agent.protocol import RUN_ID, SCHEMA, Point, RunSpec
from bench_agent.wire import WireError, decode
from bench_agent.workloads import WorkloadError

_POINT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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
        SpecError: a value out of its range.
    """
    _need(RUN_ID.fullmatch(spec.run_id), f"run_id: {spec.run_id!r} is no run id")
    _need(spec.target.base_urls, "target.base_urls: at least one is needed")
    _need(spec.target.api in ("completions", "chat"), "target.api: completions or chat")
    _need(spec.planned_s > 0, "planned_s: must be more than 0")
    _need(spec.num_warmups >= 0, "num_warmups: must not be negative")
    _need(spec.workers is None or spec.workers > 0, "workers: must be at least 1")
    _need(spec.limits.request_timeout_s > 0, "limits.request_timeout_s: must be more than 0")
    _need(spec.workload.output_len > 0, "workload.output_len: must be at least 1")
    _need(spec.points, "points: at least one is needed")
    names = [point.name for point in spec.points]
    _need(len(set(names)) == len(names), "points: two have the same name")
    for number, point in enumerate(spec.points):
        _check_point(point, f"points[{number}]")
    try:
        for url in spec.target.base_urls:
            endpoint(url, spec.target.api)
        workloads.prompts(spec.workload, spec.target.api, "check")(0)
        if spec.expires_at is not None:
            clock.parse_time(spec.expires_at)
    except (LoadError, WorkloadError, ValueError) as error:
        raise SpecError(str(error)) from None
    return spec


def _check_point(point: Point, path: str) -> None:
    _need(_POINT_NAME.fullmatch(point.name), f"{path}.name: {point.name!r} is no folder name")
    _need(point.num_prompts > 0, f"{path}.num_prompts: must be at least 1")
    cap = point.max_concurrency
    _need(cap is None or cap > 0, f"{path}.max_concurrency: must be at least 1")
    _need(
        point.request_rate is None,
        f"{path}.request_rate: this agent knows no request rates yet; leave it out",
    )


def _need(truth: object, message: str) -> None:
    if not truth:
        raise SpecError(f"{message}.")


def at_once(point: Point) -> int:
    """Most requests that a point has open at a time."""
    return min(point.num_prompts, point.max_concurrency or point.num_prompts)
