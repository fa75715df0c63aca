"""Tests of recorded times and lengths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench_agent.protocol import Workload
from bench_agent.workloads import WorkloadError, cache_hit_share, requests
from tests.bench_agent.workloads.counting import TEMPLATE, Counting

LINES = [
    {"timestamp": 27000, "input_length": 60, "output_length": 5, "hash_ids": [1, 2]},
    {"timestamp": 30500, "input_length": 20, "output_length": 2, "hash_ids": [1]},
    {"timestamp": 30000, "input_len": 1, "output_len": 9},
]


def workload(folder: Path, lines: Any = LINES, **options: Any) -> Workload:
    """The workload of a file with these lines."""
    path = folder / "trace.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return Workload("trace", options={"path": str(path), "unit": "ms", **options})


#: The sample's requests, see `test_workloads`.
GOLDEN = "55f2ad7a971d3f5e"


def sample(folder: Path) -> Workload:
    """What `test_workloads` looks at."""
    return workload(folder, [{**LINES[0], "timestamp": at, "input_length": 30} for at in (9, 8, 7)])


def test_times_and_lengths_are_the_traces(tmp_path: Path) -> None:
    """In the order of time, from 0, in seconds; there are as many as lines."""
    make = requests(workload(tmp_path), "completions", "p")
    found = [make(i) for i in range(3)]

    assert 3 == make.count
    assert [(0.0, 60, 5), (3.0, 1, 9), (3.5, 20, 2)] == [
        (r.due_s, len(r.prompt), r.max_tokens) for r in found
    ]


def test_times_can_be_stretched(tmp_path: Path) -> None:
    """Twice the scale is half the rate, whatever the unit."""
    shape = workload(tmp_path, unit="s", time_scale=2)
    make = requests(shape, "completions", "p")

    assert [0.0, 6000.0, 7000.0] == [make(i).due_s for i in range(3)]


def test_a_chat_prompt_is_no_shorter_than_the_template(tmp_path: Path) -> None:
    """The others are as long as the trace says; what is said is what the tokenizer counts."""
    tokens = Counting()
    make = requests(workload(tmp_path), "chat", "p", tokens)

    assert [60, TEMPLATE + 1, 20] == [tokens.count(make(i)) for i in range(3)]
    assert [60, TEMPLATE + 1, 20] == [make(i).prompt_tokens for i in range(3)]
    assert 30 / 90 == cache_hit_share(workload(tmp_path), 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "us"}, "unit: must be s or ms"),
        ({"time_scale": -1}, "time_scale: must be a number of at least 0"),
        ({"path": "/nowhere"}, "path: there is no file /nowhere"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """With what is wrong; the unit is never guessed."""
    with pytest.raises(WorkloadError, match=rf"workload\.options\.{message}"):
        requests(workload(tmp_path, **options), "completions", "p")


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"timestamp": "1", "input_length": 1, "output_length": 1},
        {"timestamp": float("nan"), "input_length": 1, "output_length": 1},
        {"timestamp": 1, "input_length": 0, "output_length": 1},
        {"timestamp": 1, "input_length": 1, "output_length": 2.5},
    ],
)
def test_a_line_that_says_nothing_is_named(tmp_path: Path, line: dict[str, Any]) -> None:
    """With its number."""
    with pytest.raises(WorkloadError, match=r"trace\.jsonl, line 2, needs a timestamp and len"):
        requests(workload(tmp_path, [LINES[0], line]), "completions", "p")
