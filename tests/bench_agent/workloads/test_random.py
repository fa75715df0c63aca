"""Tests of random prompts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent.protocol import Workload
from bench_agent.workloads import WorkloadError, requests
from tests.bench_agent.workloads.counting import TEMPLATE, Counting

#: The sample's requests, see `test_workloads`.
GOLDEN = "aa4f033548aa671b"


def sample(folder: Path) -> Workload:
    """What `test_workloads` looks at."""
    return Workload(input_len=40, output_len=20, options={"prefix_len": 24, "range_ratio": 0.5})


def made(api: str = "completions", stream: str = "00-c4", tokens: Any = None, **shape: Any) -> Any:
    """The requests of a small workload."""
    return requests(Workload(**{"input_len": 5, **shape}), api, stream, tokens)


def prompt(*args: Any, **shape: Any) -> Any:
    """The first prompt of a small workload."""
    return made(*args, **shape)(0).prompt


def test_the_numbers_stay_the_same() -> None:
    """The same seed gives the same prompts in every release and every Python."""
    assert [26210, 7168, 18047, 22023, 5396] == prompt(seed=1)
    assert "time lot family lot thing" == prompt("chat", seed=1)


@given(st.integers(1, 300), st.integers(0, 1000), st.integers(0, 9))
def test_lengths_are_exact(length: int, seed: int, index: int) -> None:
    """As many token ids as asked for, or as many words."""
    ids = made(input_len=length, seed=seed)(index)
    words = made("chat", input_len=length, seed=seed)(index)

    assert (length, length) == (len(ids.prompt), len(words.prompt.split()))
    assert (length, None) == (ids.prompt_tokens, words.prompt_tokens)
    assert 1000 <= min(ids.prompt) <= max(ids.prompt) <= 30000


@given(st.integers(TEMPLATE + 1, 300), st.integers(0, 90), st.integers(0, 9))
def test_chat_prompts_are_as_long_as_the_tokenizer_counts(
    length: int, prefix: int, index: int
) -> None:
    """The template's tokens are among them, whatever the prefix."""
    tokens = Counting()
    found = made("chat", tokens=tokens, input_len=length, options={"prefix_len": prefix})(index)

    assert length + prefix == tokens.count(found) == found.prompt_tokens


@given(st.integers(1, 200), st.integers(1, 200), st.floats(0, 1), st.integers(0, 50))
def test_lengths_vary_within_the_ratio(into: int, out: int, ratio: float, prefix: int) -> None:
    """Both ways, rounded outwards, and never below one token."""
    options = {"range_ratio": ratio, "prefix_len": prefix}
    make = made(input_len=into, output_len=out, options=options)
    for found in map(make, range(8)):
        lengths = len(found.prompt) - prefix, found.max_tokens
        for length, mean in zip(lengths, (into, out), strict=True):
            assert max(1, math.floor(mean * (1 - ratio))) <= length <= math.ceil(mean * (1 + ratio))
        assert len(found.prompt) == found.prompt_tokens


def test_every_length_of_the_range_comes() -> None:
    """Both ends too, about as often as the others."""
    make = made(input_len=4, output_len=4, options={"range_ratio": 0.5})
    found = [make(index) for index in range(500)]

    for lengths in ([len(r.prompt) for r in found], [r.max_tokens for r in found]):
        assert {2, 3, 4, 5, 6} == set(lengths)
        assert all(60 < lengths.count(length) < 140 for length in set(lengths))


def test_a_prefix_is_shared_by_all_prompts_of_a_seed() -> None:
    """Whatever the stream; another seed has another, and what follows is not shared."""
    first, other = (prompt(stream=s, options={"prefix_len": 30}) for s in ("a", "b"))
    strange = prompt(seed=7, options={"prefix_len": 30})

    assert 35 == len(first) == len(other)
    assert first[:30] == other[:30] != strange[:30]
    assert first[30:] != other[30:]


def test_a_chat_prefix_counts_the_template() -> None:
    """The words that are shared are as many as it leaves: the template is shared anyway."""
    tokens = Counting()
    make = made("chat", tokens=tokens, input_len=20, options={"prefix_len": 30})
    first, second = (make(index).prompt.split() for index in (0, 1))
    same = [a == b for a, b in zip(first, second, strict=True)].index(False)

    assert 30 - TEMPLATE <= same <= 30 - TEMPLATE + 2  # by chance, a word more


def test_prompts_differ() -> None:
    """By index, by seed, and by stream: a warm-up must not warm what is measured."""
    found = [made()(0), made()(1), made(seed=7)(0), made(stream="warm-up")(0)]

    assert 4 == len({tuple(each.prompt) for each in found})


def test_the_range_of_ids_can_be_set() -> None:
    """Both ends belong to it."""
    ids = prompt(input_len=200, options={"vocab": [7, 9]})

    assert {7, 8, 9} == set(ids)


@pytest.mark.parametrize("vocab", [[5], [9, 7], [-1, 5], ["a", "b"], "ab", [1.5, 7]])
def test_a_range_that_is_none_is_refused(vocab: object) -> None:
    """With the path."""
    with pytest.raises(WorkloadError, match=r"workload\.options\.vocab"):
        made(options={"vocab": vocab})


@pytest.mark.parametrize(
    ("name", "value"),
    [("range_ratio", 1.1), ("range_ratio", "a"), ("range_ratio", True), ("prefix_len", -1)],
)
def test_numbers_out_of_range_are_refused(name: str, value: object) -> None:
    """With the path."""
    with pytest.raises(WorkloadError, match=rf"workload\.options\.{name}: must be"):
        made(options={name: value})


def test_too_short_a_prompt_is_refused() -> None:
    """Below one token, or below what the chat template takes at the short end of the range."""
    with pytest.raises(WorkloadError, match=r"workload\.input_len: 0 tokens are too few"):
        made(input_len=0)
    tokens = Counting()
    made("chat", tokens=tokens, input_len=20, options={"range_ratio": 0.5})
    with pytest.raises(WorkloadError, match=r"9 tokens are too few; must be at least 10"):
        made("chat", tokens=tokens, input_len=18, options={"range_ratio": 0.5})
