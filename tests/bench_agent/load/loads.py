"""Loads as tests need them: small, and right unless told otherwise."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from bench_agent import workloads
from bench_agent.load import arrivals
from bench_agent.load.plan import Load, endpoint
from bench_agent.load.tally import Tally
from bench_agent.load.worker import Worker
from bench_agent.protocol import Point, Workload

_POINT = {f.name for f in dataclasses.fields(Point)} - {"name"}


def load(url: str = "http://127.0.0.1:1", **changes: Any) -> Load:
    """Six requests of 8 + 2 tokens, two at once; *changes* are of the load, point or lengths."""
    lengths = {key: changes.pop(key) for key in ("input_len", "output_len") if key in changes}
    shape = Workload(**{"input_len": 8, "output_len": 2, **lengths})
    point = {"num_prompts": 6, "max_concurrency": 2}
    point |= {key: changes.pop(key) for key in list(changes) if key in _POINT}
    api = changes.get("api", "completions")
    values: dict[str, Any] = {
        "name": "x",
        "point": Point("00-c2", **point),
        "base_urls": (url,),
        "model": "simulated",
        "api": api,
        "requests": workloads.requests(shape, api, "p"),
        "timeout_s": 5.0,
    }
    return Load(**{**values, **changes})


def worked(
    made: Load,
    control: int,
    write: Callable[[bytes], Any],
    report: Callable[[Tally], None] = lambda _tally: None,
) -> Worker:
    """The only worker of a load, in this process, when it is through."""
    worker = Worker(
        made,
        [endpoint(each, made.api) for each in made.base_urls],
        arrivals.of(made, 0, 1),
        number=0,
        count=1,
        control=control,
        write=write,
        report=report,
    )
    worker.prepare(arrivals.streams(made, 0, 1))
    worker.run(time.time_ns())
    return worker
