"""Requests with the times and lengths of a recorded trace; their prompts are random.

Options: ``path``: a JSONL file, one request a line: ``timestamp``, ``input_length`` and
``output_length`` (or ``input_len``, ``output_len``), as Mooncake's traces have them; other keys
(``hash_ids``) say nothing here. ``unit`` of the timestamps, ``s`` or ``ms``, has to be given.
``time_scale`` stretches the times: 2 is half the rate. ``vocab`` as in ``random``.
The first request is due at 0; a chat prompt is no shorter than the chat template.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from bench_agent.load.plan import Request
from bench_agent.protocol import Workload
from bench_agent.tokenizer import Tokenizer
from bench_agent.workloads import Made, Options, WorkloadError, load, objects, refusal
from bench_agent.workloads.random import Writer

#: Time in the trace's own unit, tokens in, tokens out.
Line = tuple[float, int, int]
_WAYS = ("input", "output")


def requests(workload: Workload, api: str, stream: str, tokens: Tokenizer | None = None) -> Made:
    """As many requests as the trace has lines, in the order of their times.

    Raises:
        WorkloadError: a bad option, or a file that is no trace.
    """
    options = _options(workload)
    unit = workload.options.get("unit")
    if unit not in ("s", "ms"):
        raise refusal("unit", "must be s or ms: what the trace's timestamps are")
    scale = options.number("time_scale", 1.0) / (1000 if unit == "ms" else 1)
    lines = load(options.path(), _parse)
    writer = Writer(workload, api, tokens)
    key = f"{workload.seed}/{stream}"

    def make(index: int) -> Request:
        time, length, output_len = lines[index]
        due_s = (time - lines[0][0]) * scale
        return writer.request(f"{key}/{index}", length, output_len, due_s=due_s)

    return Made(make, len(lines), writer.template)


def cache_hit_share(workload: Workload, template: int) -> float:
    """The chat template's share."""
    lines = load(_options(workload).path(), _parse)
    return template * len(lines) / sum(max(template, length) for _, length, _ in lines)


def _options(workload: Workload) -> Options:
    return Options(workload, "path", "unit", "time_scale", "vocab")


def _parse(text: str) -> list[Line]:
    return sorted((_line(number, row) for number, row in objects(text)), key=lambda line: line[0])


def _line(number: int, row: dict[str, Any]) -> Line:
    found = row | {f"{way}_length": row[f"{way}_len"] for way in _WAYS if f"{way}_len" in row}
    match found:
        case {"timestamp": int(t) | float(t), "input_length": int(a), "output_length": int(b)}:
            if a > 0 and b > 0 and isfinite(t):
                return t, a, b
    raise WorkloadError(f", line {number}, needs a timestamp and lengths above 0, in and out")
