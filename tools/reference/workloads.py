"""The workloads' part of their page, from the modules themselves."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from bench_agent import workloads
from bench_agent.protocol import Workload

_KNOWN = re.compile(r"\(known: (.*)\)")


def names() -> list[str]:
    """The workloads there are: the modules of bench_agent/workloads."""
    folder = Path(workloads.__file__).parent
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def options(name: str) -> list[str]:
    """The options that a workload knows, as it says itself when it meets another."""
    try:
        workloads.check(Workload(name, options={"": 0}), "completions")
    except workloads.WorkloadError as error:
        found = _KNOWN.search(str(error))
        return found[1].split(", ") if found else []
    raise AssertionError(f"the workload {name} takes any option")


def page() -> str:
    """Each workload and what it says of itself, as Markdown."""
    return "\n\n".join("\n".join(_section(name)) for name in names())


def _section(name: str) -> Iterator[str]:
    module = importlib.import_module(f"{workloads.__name__}.{name}")
    yield f"## `{name}`"
    yield ""
    yield re.sub(r"``([^`]*)``", r"`\1`", inspect.getdoc(module) or "")
