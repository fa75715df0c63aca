"""Tests of requests made ahead."""

from __future__ import annotations

import json

import pytest

from bench_agent.load import source
from bench_agent.load.source import RequestSource
from tests.bench_agent.load.loads import load


def test_a_worker_makes_every_so_manieth_request() -> None:
    """Its own number first, and as many steps on as there are workers."""
    made = RequestSource(load(num_prompts=6), 1, 2)
    made.prepare(3)

    assert [1, 3, 5] == [made.take().index for _ in range(3)]


def test_a_prepared_request_says_what_it_is_about() -> None:
    """Tokens that were asked for and sent, beside the body that asks."""
    taken = RequestSource(load(input_len=7, output_len=9), 0, 1).take()
    body = json.loads(taken.body)

    assert (9, 7, 9, 7) == (
        taken.asked_tokens,
        taken.asked_prompt_tokens,
        body["max_tokens"],
        len(body["prompt"]),
    )


def test_no_more_lies_ready_than_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first wave needs is made in any case; the rest as room comes."""
    monkeypatch.setattr(source, "AHEAD", 1)
    made = RequestSource(load(num_prompts=5), 0, 1)
    made.prepare(2)
    full = made.wants_more()
    made.take()
    made.take()
    made.make_one()

    assert (False, False, 2) == (full, made.wants_more(), made.take().index)


def test_everything_is_made_when_there_is_room() -> None:
    """Then nothing is left to do while the clock runs."""
    made = RequestSource(load(num_prompts=3), 0, 1)
    made.prepare(1)

    assert not made.wants_more()


def test_without_a_number_there_is_always_more() -> None:
    """A load by duration ends by the clock."""
    made = RequestSource(load(num_prompts=None, duration_s=1.0), 0, 1)

    assert (True, 0, 1) == (made.wants_more(), made.take().index, made.take().index)


def test_a_start_waits_for_no_more_than_the_first_wave(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else there is room for is made while replies are waited for."""
    monkeypatch.setattr(source, "FIRST", 1)
    made = RequestSource(load(num_prompts=3), 0, 1)
    made.prepare(2)

    assert (2, True) == (len(made._ready), made.wants_more())
