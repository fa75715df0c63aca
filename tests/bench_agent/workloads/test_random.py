"""Tests of random prompts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent.protocol import Workload
from bench_agent.workloads import WorkloadError, prompts


def made(api: str = "completions", stream: str = "00-c4", **shape: Any) -> Any:
    """The prompts of a small workload."""
    return prompts(Workload(**{"input_len": 5, **shape}), api, stream)


def test_the_numbers_stay_the_same() -> None:
    """The same seed gives the same prompts in every release and every Python."""
    assert [26210, 7168, 18047, 22023, 5396] == made(seed=1)(0)
    assert "job book problem home point" == made("chat", seed=1)(0)


@given(st.integers(1, 300), st.integers(0, 1000), st.integers(0, 9))
def test_lengths_are_exact(length: int, seed: int, index: int) -> None:
    """As many token ids as asked for, or as many words."""
    ids = made(input_len=length, seed=seed)(index)
    words = made("chat", input_len=length, seed=seed)(index)

    assert (length, length) == (len(ids), len(words.split()))
    assert 1000 <= min(ids) <= max(ids) <= 30000


def test_prompts_differ() -> None:
    """By index, by seed, and by stream: a warm-up must not warm what is measured."""
    found = [made()(0), made()(1), made(seed=7)(0), made(stream="warm-up")(0)]

    assert 4 == len({tuple(each) for each in found})


def test_a_prompt_does_not_depend_on_the_others() -> None:
    """Whichever worker makes it, in whichever order."""
    ahead = made()
    in_order = [ahead(index) for index in range(4)]

    assert in_order == [made()(index) for index in range(4)]
    assert in_order[2] == made()(2)


def test_the_range_of_ids_can_be_set() -> None:
    """Both ends belong to it."""
    ids = made(input_len=200, options={"vocab": [7, 9]})(0)

    assert {7, 8, 9} == set(ids)


@pytest.mark.parametrize("vocab", [[5], [9, 7], [-1, 5], ["a", "b"], "ab", [1.5, 7]])
def test_a_range_that_is_none_is_refused(vocab: object) -> None:
    """With the path."""
    with pytest.raises(WorkloadError, match=r"workload\.options\.vocab"):
        made(options={"vocab": vocab})


def test_unknown_options_and_lengths_are_refused() -> None:
    """Nothing is silently ignored."""
    with pytest.raises(WorkloadError, match=r"workload\.options\.vocabulary: unknown"):
        made(options={"vocabulary": 1})
    with pytest.raises(WorkloadError, match=r"workload\.input_len"):
        made(input_len=0)


@pytest.mark.parametrize("name", ["nothing_here", "../random", "random.x", ""])
def test_an_unknown_workload_is_named(name: str) -> None:
    """It is found by its module's name, and by nothing else."""
    with pytest.raises(WorkloadError, match=r"workload\.name"):
        made(name=name)
