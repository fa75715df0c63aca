"""Tests of the loads that a spec makes."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from bench_agent.loads import Loads, search_point, workers
from bench_agent.probe import Server
from bench_agent.protocol import Point, Search
from tests.bench_agent.records import run_spec


@pytest.mark.parametrize(("asked", "expected"), [(None, 1), (3, 3)])
def test_one_worker_is_enough_for_most(asked: int | None, expected: int) -> None:
    """Unless the spec says otherwise."""
    assert expected == workers(run_spec(points=(Point("a", 64),), workers=asked))


def test_large_loads_get_more_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each 1024 streams, but no more than cores."""
    found = []
    for cores in (2, 64):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        found.append(workers(run_spec(points=(Point("a", 8000),))))

    assert [2, 8] == found


def test_a_search_point_bears_its_value() -> None:
    """In its name and in its load."""
    most = Search("max_concurrency", low=1, high=8, num_prompts=5)
    rate = Search("request_rate", low=1, high=8, duration_s=5.0, burstiness=None)

    assert Point("03-search-c4", 5, 4) == search_point(most, 3, 4)
    assert Point(
        "11-search-qps2.5", request_rate=2.5, duration_s=5.0, burstiness=None
    ) == search_point(rate, 11, 2.5)


def test_warm_ups_and_probe_send_other_prompts() -> None:
    """What was sent once is in the prefix cache."""
    spec = run_spec(num_warmups=2)
    made = Loads(spec, None, lambda: True)
    made.server = replace(Server(), tokenize=False)
    loads = [made.of(spec.points[0]), made.warm_up(spec.points[0]), made.probing()]
    prompts = {str(load.requests(i).prompt) for load in loads for i in (0, 1)}

    assert 6 == len(prompts)
    assert (2, 2) == (loads[1].point.num_prompts, loads[1].point.max_concurrency)


def test_where_token_ids_are_refused_prompts_are_text() -> None:
    """A length is then what the server's tokenizer makes of it."""
    made = Loads(run_spec(), None, lambda: True)
    made.server = replace(Server(), token_ids=False, tokenize=False)

    assert isinstance(made.of(Point("a", 1)).requests(0).prompt, str)
