"""Tests of prompts with a few prefixes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench_agent.protocol import Workload
from bench_agent.workloads import WorkloadError, requests
from tests.bench_agent.workloads.counting import Counting

#: The sample's requests, see `test_workloads`.
GOLDEN = "81d58734f72645af"


def sample(folder: Path) -> Workload:
    """What `test_workloads` looks at."""
    options = {"num_prefixes": 3, "prefix_len": 30, "suffix_len": 20}
    return Workload("prefix_repetition", output_len=12, options=options)


def made(stream: str = "p", api: str = "completions", tokens: Any = None, **options: Any) -> Any:
    """The requests of a small workload."""
    return requests(Workload("prefix-repetition", options=options), api, stream, tokens)


def test_the_usual_sizes() -> None:
    """Ten prefixes of 256 tokens, each in a tenth of the requests, and 256 tokens of their own."""
    prompts = [made()(index).prompt for index in range(100)]

    assert {512} == {len(each) for each in prompts}
    assert [10] * 10 == list(Counter(tuple(each[:256]) for each in prompts).values())
    assert 100 == len({tuple(each[256:]) for each in prompts})


def test_each_run_of_requests_has_each_prefix_in_an_order_of_its_own() -> None:
    """No order is the rule: a cache that keeps the newest would have the worst of it."""
    make = made(num_prefixes=4, prefix_len=2, suffix_len=1)
    runs = [tuple(tuple(make(4 * r + i).prompt[:2]) for i in range(4)) for r in range(50)]

    assert {4} == {len(set(run)) for run in runs}
    assert 1 == len({frozenset(run) for run in runs})
    assert 15 < len(set(runs)) <= 24


def test_prefixes_are_the_same_in_every_stream() -> None:
    """They depend on the seed alone."""
    both = [{tuple(made(s)(i).prompt[:256]) for i in range(10)} for s in ("a", "b")]

    assert both[0] == both[1]


def test_chat_prompts_are_exact() -> None:
    """As the tokenizer counts, template included."""
    tokens = Counting()
    make = made("p", "chat", tokens, num_prefixes=2, prefix_len=40, suffix_len=10)

    assert {50} == {tokens.count(make(index)) for index in range(6)}


@pytest.mark.parametrize("name", ["num_prefixes", "suffix_len"])
def test_there_has_to_be_one(name: str) -> None:
    """Of prefixes, and of tokens that are a prompt's own."""
    with pytest.raises(WorkloadError, match=rf"options\.{name}: must be a whole number of at le"):
        made(**{name: 0})


def test_a_prompt_shorter_than_the_template_is_refused() -> None:
    """It cannot be made."""
    with pytest.raises(WorkloadError, match="must be at least 10"):
        made("p", "chat", Counting(), prefix_len=0, suffix_len=9)
