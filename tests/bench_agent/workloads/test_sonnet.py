"""Tests of prompts of verse."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent.protocol import Workload
from bench_agent.workloads import WorkloadError, requests
from tests.bench_agent.workloads.counting import Counting

#: The sample's requests, see `test_workloads`.
GOLDEN = "5e2e41bfcf71954c"


def sample(folder: Path) -> Workload:
    """What `test_workloads` looks at."""
    return Workload("sonnet", 550, 150)


def made(api: str, tokens: Any = None, stream: str = "p", **shape: Any) -> Any:
    """The requests of the usual verse."""
    return requests(Workload("sonnet", **{"input_len": 550, **shape}), api, stream, tokens)


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_the_usual_sizes(api: str) -> None:
    """550 tokens of which the first 200 are shared, but for less than a line in chat."""
    tokens = Counting()
    found = [made(api, tokens, s)(i) for i in range(3) for s in "ab"]
    each = [r.prompt if api == "completions" else tokens.encode(r.prompt) for r in found]
    same = min(
        next(at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
        for one, other in pairwise(each)
    )

    assert [550] * 6 == [tokens.count(r) for r in found]
    assert (200 if api == "completions" else 170) <= same < 210
    assert 6 == len({tuple(ids) for ids in each})


@given(st.integers(60, 400), st.integers(0, 59), st.integers(0, 99))
def test_lengths_are_exact(length: int, prefix: int, index: int) -> None:
    """Whatever they are, as the tokenizer counts."""
    for api in ("completions", "chat"):
        tokens = Counting()
        shape = {"input_len": length, "options": {"prefix_len": prefix}}
        found = made(api, tokens, **shape)(index)

        assert length == found.prompt_tokens == tokens.count(found)


def test_it_reads_like_verse() -> None:
    """A task, and lines that begin with a capital letter; the filler closes it."""
    first, *lines = made("chat", Counting())(0).prompt.split("\n")

    assert first == "Go on with this poem in its own manner:"
    assert len(lines) > 30
    assert all(line[0].isupper() and 8 == len(line.split()) for line in lines[:-1])
    assert lines[-1].startswith("time")


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_without_a_tokenizer_it_is_text_of_about_that_length(api: str) -> None:
    """A word is taken for a token, and no length is claimed."""
    found = made(api)(0)

    assert found.prompt_tokens is None
    assert 550 == len(found.prompt.split()) + found.prompt.count("\n")


def test_the_lines_can_be_those_of_a_file(tmp_path: Path) -> None:
    """Without its empty lines and indents."""
    path = tmp_path / "poem.txt"
    path.write_text("  Of winter, and of rain;\n\nOf bread upon a table\n")
    tokens = Counting()
    shape = {"input_len": 100, "options": {"path": str(path), "prefix_len": 30}}
    found = made("chat", tokens, **shape)(0)

    assert {"Of winter, and of rain;", "Of bread upon a table"} == set(
        found.prompt.split("\n")[1:-1]
    )
    assert 100 == tokens.count(found) == made("completions", tokens, **shape)(0).prompt_tokens


def test_lines_are_tokenised_once() -> None:
    """Points and requests after the first ask for nothing."""
    tokens = Counting()
    for api in ("completions", "chat"):
        made(api, tokens, "a")(0)
        asked = tokens.asked
        made(api, tokens, "b")(1)
        assert 100 < asked == tokens.asked
        tokens.asked = 0


class Merging(Counting):
    """Counts the line feeds of a text one by one, but only where there are many."""

    def count_chat(self, text: str) -> int:
        return super().count_chat(text) + max(0, text.count("\n") - 3)


def test_no_length_is_claimed_where_lines_do_not_add_up() -> None:
    """The tokens of several lines are not the sum of theirs: the server will have to say."""
    assert made("chat", Merging())(0).prompt_tokens is None


def test_lengths_that_do_not_go_together_are_refused() -> None:
    """A prefix as long as the prompt; a prompt shorter than the template and its head."""
    with pytest.raises(WorkloadError, match=r"workload\.input_len: must be more than the prefix"):
        made("chat", input_len=200)
    with pytest.raises(WorkloadError, match=r"workload\.input_len: 12 tokens are too few"):
        made("chat", Counting(), input_len=12, options={"prefix_len": 0})
