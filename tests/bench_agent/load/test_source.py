"""Tests of requests made ahead."""

from __future__ import annotations

import pytest

from bench_agent.load import source
from bench_agent.load.plan import endpoint
from bench_agent.load.source import RequestSource
from tests.bench_agent.load.test_plan import load

ENDPOINTS = [endpoint(f"http://h:{port}", "completions") for port in (1, 2)]


def test_endpoints_are_used_in_turn() -> None:
    """Request i goes to endpoint i modulo their number, whichever worker sends it."""
    made = RequestSource(load(num_prompts=6), ENDPOINTS, range(1, 6, 2))
    taken = [made.take() for _ in range(3)]

    assert [(1, 1), (3, 1), (5, 1)] == [(t.index, t.endpoint) for t in taken]


def test_no_more_lies_ready_than_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first wave needs is made in any case; the rest as room comes."""
    monkeypatch.setattr(source, "AHEAD", 1)
    made = RequestSource(load(num_prompts=5), ENDPOINTS, range(5))
    made.prepare(2)
    full = made.wants_more()
    made.take()
    made.take()
    made.make_one()

    assert (False, False, 2) == (full, made.wants_more(), made.take().index)


def test_everything_is_made_when_there_is_room() -> None:
    """Then nothing is left to do while the clock runs."""
    made = RequestSource(load(num_prompts=3), ENDPOINTS, range(3))
    made.prepare(1)

    assert not made.wants_more()
