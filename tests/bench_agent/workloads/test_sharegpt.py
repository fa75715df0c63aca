"""Tests of recorded conversations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench_agent.protocol import Workload
from bench_agent.workloads import WorkloadError, check, requests
from tests.bench_agent.workloads.counting import TEMPLATE, Counting


def turns(*texts: str) -> dict[str, Any]:
    """One conversation, as ShareGPT has it."""
    speakers = ("human", "gpt") * len(texts)
    said = [{"from": who, "value": text} for who, text in zip(speakers, texts, strict=False)]
    return {"id": "x", "conversations": said}


def words(count: int) -> str:
    """A text of as many tokens."""
    return " ".join(["ab"] * count)


#: The sample's requests, see `test_workloads`.
GOLDEN = "22e390be4e1e805a"


def sample(folder: Path) -> Workload:
    """What `test_workloads` looks at."""
    talk = [turns(f"Say {i} {words(5 + i)}", words(10 + i), "more") for i in range(30)]
    return workload(folder, talk, approximate=True)


def workload(folder: Path, talk: Any, **options: Any) -> Workload:
    """The workload of a file with these conversations."""
    path = folder / "talk.json"
    path.write_text(json.dumps(talk))
    return Workload("sharegpt", options={"path": str(path), **options})


def lengths(folder: Path, *pairs: tuple[int, int], api: str = "completions", **options: Any) -> Any:
    """Prompt and output tokens of all requests made of conversations of these lengths."""
    talk = [turns(words(a), words(b)) for a, b in pairs]
    make = requests(workload(folder, talk, **options), api, "p", Counting())
    return sorted({(r.prompt_tokens, r.max_tokens) for r in map(make, range(len(pairs)))})


def test_the_second_turn_says_how_much_comes_back(tmp_path: Path) -> None:
    """Token ids for completions; text, with the template counted, for chat."""
    shape, tokens = workload(tmp_path, [turns("tell me of rain", words(9), words(5))]), Counting()
    ids, text = (requests(shape, api, "p", tokens)(0) for api in ("completions", "chat"))

    assert (tokens.encode("tell me of rain"), 9, 4) == (ids.prompt, ids.max_tokens, 4)
    assert ("tell me of rain", 9, 4 + TEMPLATE) == (
        text.prompt,
        text.max_tokens,
        text.prompt_tokens,
    )


def test_the_short_and_the_long_are_left_out(tmp_path: Path) -> None:
    """At the same limits as vLLM's."""
    kept = [(4, 4), (1024, 1024), (5, 2043)]
    left = [(3, 9), (9, 3), (1025, 9), (1024, 1025), (5, 2044)]

    assert sorted(kept) == lengths(tmp_path, *kept, *left)


def test_the_output_length_can_be_fixed(tmp_path: Path) -> None:
    """Then the second turn's does not matter."""
    assert [(10, 2)] == lengths(tmp_path, (10, 1), (10, 99), output_len=2)


def test_the_order_is_drawn_and_begins_again(tmp_path: Path) -> None:
    """Each once, in an order that depends on seed and stream, before any comes again."""
    shape = workload(tmp_path, [turns(words(5 + i), words(9)) for i in range(30)])
    orders = [
        [make(i).prompt_tokens for i in range(60)]
        for make in (requests(shape, "completions", s, Counting()) for s in ("a", "b"))
    ]

    assert list(range(5, 35)) == sorted(orders[0][:30])
    assert orders[0][:30] == orders[0][30:] != orders[1][30:]


def test_no_more_are_tokenised_than_are_wanted(tmp_path: Path) -> None:
    """`conversations` says how many."""
    tokens = Counting()
    shape = workload(tmp_path, [turns(words(5 + i), words(9)) for i in range(30)], conversations=3)
    make = requests(shape, "completions", "p", tokens)

    assert 3 == len({make(i).prompt_tokens for i in range(30)})
    assert 6 == tokens.asked


def test_without_a_tokenizer_lengths_are_a_guess_that_has_to_be_asked_for(tmp_path: Path) -> None:
    """Four characters to the token; otherwise the way out is named."""
    talk = [turns("a" * 40, "b" * 80)]
    make = requests(workload(tmp_path, talk, approximate=True), "completions", "p")

    assert ("a" * 40, 20, None) == (make(0).prompt, make(0).max_tokens, make(0).prompt_tokens)
    with pytest.raises(WorkloadError, match=r"Set workload\.options\.approximate: true"):
        requests(workload(tmp_path, talk), "completions", "p")


@pytest.mark.parametrize(
    ("talk", "message"),
    [
        ({"a": 1}, "is no list of conversations"),
        ([], "holds no conversation of two turns"),
        ([1, {}, {"conversations": [{"value": "a"}]}, {"conversations": 1}], "holds no conversat"),
        ([turns("a", "b")], "no conversation in it is within the limits"),
    ],
)
def test_a_file_without_conversations_is_named(tmp_path: Path, talk: Any, message: str) -> None:
    """Of any use."""
    with pytest.raises(WorkloadError, match=rf"workload\.options\.path: .*{message}"):
        requests(workload(tmp_path, talk), "completions", "p", Counting())


def test_the_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    """As the parser found it."""
    shape = workload(tmp_path, [])
    Path(shape.options["path"]).write_text('[\n{"a": 1},\n{]')

    with pytest.raises(WorkloadError, match=r"talk\.json, line 3, is not JSON"):
        requests(shape, "completions", "p", Counting())


@pytest.mark.parametrize(
    "wrong", [{"path": "/nowhere"}, {"conversations": 0}, {"output_len": 0}, {"approximate": "no"}]
)
def test_a_check_reads_no_file_but_sees_bad_options(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """The file is large; that it is there is enough."""
    shape = workload(tmp_path, [])
    Path(shape.options["path"]).write_text("not read")

    check(shape, "chat")
    with pytest.raises(WorkloadError, match=rf"workload\.options\.{next(iter(wrong))}"):
        check(Workload("sharegpt", options=shape.options | wrong), "chat")
