"""Named traffic shapes: one module each, found by its name.

A workload module has ``prompts(workload, api, stream) -> Callable[[int], Prompt]``: prompt i of
a stream depends on the seed, the stream and i alone. It raises `WorkloadError` for numbers that
it cannot do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from bench_agent.protocol import Workload

Prompts = Callable[[int], "str | list[int]"]


class WorkloadError(ValueError):
    """The workload is unknown, or its numbers make no sense."""


def prompts(workload: Workload, api: str, stream: str) -> Prompts:
    """The prompts of one stream (a point's name, or the warm-up's).

    Raises:
        WorkloadError: no such workload, or bad options.
    """
    name = f"{__name__}.{workload.name}"
    if not workload.name.isidentifier():
        raise WorkloadError(f"workload.name: {workload.name!r} is no workload.")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise WorkloadError(f"workload.name: there is no workload {workload.name!r}.") from None
    made: Prompts = module.prompts(workload, api, stream)
    return made
