"""Tests of reading a spec."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bench_agent.protocol import Limits, Point, RunSpec, Target, Workload
from bench_agent.specs import SpecError, read_spec
from bench_agent.wire import encode
from tests.bench_agent.records import run_spec

TARGET = Target(("http://h:1",), "m")
WORKLOAD = Workload(input_len=8, output_len=3)


def text(spec: RunSpec) -> bytes:
    """A spec as it comes over the wire."""
    return json.dumps(encode(spec)).encode()


def test_a_good_spec_is_read_as_it_was() -> None:
    """With its expiry."""
    spec = run_spec(expires_at="2026-11-21T12:00:00Z")

    assert spec == read_spec(text(spec))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run_id": "x"}, "run_id: 'x' is no run id"),
        ({"planned_s": 0.0}, "planned_s: must be more than 0"),
        ({"num_warmups": -1}, "num_warmups"),
        ({"workers": 0}, "workers"),
        ({"points": ()}, "points: at least one"),
        ({"points": (Point("a", 1), Point("a", 1))}, "points: two have the same name"),
        ({"points": (Point("../a", 1),)}, r"points\[0\]\.name"),
        ({"points": (Point("a", 0),)}, r"points\[0\]\.num_prompts"),
        ({"points": (Point("a", 1, 0),)}, r"points\[0\]\.max_concurrency"),
        ({"points": (Point("a", 1, None, 2.0),)}, r"points\[0\]\.request_rate: .*no request rates"),
        ({"target": replace(TARGET, base_urls=())}, r"target\.base_urls"),
        ({"target": replace(TARGET, base_urls=("https://h",))}, "plain http"),
        ({"target": replace(TARGET, api="embeddings")}, r"target\.api"),
        ({"workload": replace(WORKLOAD, name="nothing")}, r"workload\.name"),
        ({"workload": replace(WORKLOAD, input_len=0)}, r"workload\.input_len"),
        ({"workload": replace(WORKLOAD, output_len=0)}, r"workload\.output_len"),
        ({"limits": Limits(request_timeout_s=0.0)}, r"limits\.request_timeout_s"),
        ({"expires_at": "tomorrow"}, "tomorrow"),
        ({"expires_at": "2026-11-21T12:00:00"}, "no offset"),
    ],
)
def test_a_value_out_of_range_is_named(changes: dict[str, Any], message: str) -> None:
    """One sentence, with the path."""
    with pytest.raises(SpecError, match=message):
        read_spec(text(run_spec(**changes)))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not JSON"),
        (b"[]", "schema: this agent reads 1, got None"),
        (b'{"schema": 2}', "schema: this agent reads 1, got 2"),
        (b'{"schema": 1}', "run_id: missing"),
    ],
)
def test_another_document_is_refused(raw: bytes, message: str) -> None:
    """Before anything else is looked at."""
    with pytest.raises(SpecError, match=message):
        read_spec(raw)
