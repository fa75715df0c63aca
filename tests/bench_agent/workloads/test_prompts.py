"""Tests of given prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench_agent.protocol import Workload
from bench_agent.workloads import WorkloadError, requests

#: The sample's requests, see `test_workloads`.
GOLDEN = "a32c6842de6df2e7"


def sample(folder: Path) -> Workload:
    """What `test_workloads` looks at."""
    return Workload("prompts", options={"prompts": ["One long text.", "Another."]})


def made(api: str = "chat", **options: Any) -> Any:
    """The requests of given prompts."""
    return requests(Workload("prompts", output_len=256, options=options), api, "p")


def of_file(path: Path, text: str, **options: Any) -> Any:
    """The requests of a file."""
    path.write_text(text)
    return made(path=str(path), **options)


def test_one_prompt_is_sent_again_and_again() -> None:
    """With the workload's output length, in both APIs, without an end."""
    for api in ("chat", "completions"):
        make = made(api, prompts=["Tell me all."])
        assert [("Tell me all.", 256)] * 64 == [
            (make(i).prompt, make(i).max_tokens) for i in range(64)
        ]
        assert make.count is None


def test_a_text_file_is_a_prompt_a_line(tmp_path: Path) -> None:
    """Or one prompt, when `whole` says so."""
    text = "First.\n\nSecond.\n"

    assert ["First.", "Second.", "First."] == [
        of_file(tmp_path / "p.txt", text)(i).prompt for i in range(3)
    ]
    assert [text, text] == [of_file(tmp_path / "p.txt", text, whole=True)(i).prompt for i in (0, 1)]


def test_lines_of_json_may_bear_lengths(tmp_path: Path) -> None:
    """Under either name; else the workload's applies."""
    lines = '{"prompt": "a", "output_len": 7}\n{"prompt": "b", "max_tokens": 8}\n{"prompt": "c"}\n'
    make = of_file(tmp_path / "p.jsonl", lines)

    assert [("a", 7), ("b", 8), ("c", 256)] == [
        (make(i).prompt, make(i).max_tokens) for i in range(3)
    ]


def test_it_can_end_after_the_last() -> None:
    """Then their number is known."""
    assert 2 == made(prompts=["a", "b"], cycle=False).count


def test_a_file_is_read_anew_when_it_has_changed(tmp_path: Path) -> None:
    """And once while it has not."""
    path = tmp_path / "p.txt"

    assert "a" == of_file(path, "a")(0).prompt
    assert "bb" == of_file(path, "bb")(0).prompt


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either prompts"),
        ({"prompts": ["a"], "path": "b"}, "give either prompts"),
        ({"prompts": []}, "must be a list of texts"),
        ({"prompts": "a"}, "must be a list of texts"),
        ({"prompts": [" "]}, "must be a list of texts"),
        ({"prompts": ["a"], "cycle": 1}, "cycle: must be true or false"),
        ({"path": 7}, "path: must name a file"),
        ({"path": "/nowhere/p.txt"}, "path: there is no file /nowhere/p.txt"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    """With what is wrong."""
    with pytest.raises(WorkloadError, match=rf"workload\.options\..*{message}"):
        made(**options)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.txt", "\n \n", "p.txt is empty"),
        ("p.jsonl", "", "p.jsonl is empty"),
        ("p.jsonl", '{"prompt": "a"}\n{\n', "p.jsonl, line 2, is not JSON"),
        ("p.jsonl", '\n["a"]\n', "p.jsonl, line 2, is no JSON object"),
        ("p.jsonl", '{"prompt": 7}', "p.jsonl, line 1, has no text under prompt"),
        ("p.jsonl", '{"prompt": "a", "max_tokens": 0}', "line 1: output_len must be"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    """With the line."""
    with pytest.raises(WorkloadError, match=rf"workload\.options\.path: .*{message}"):
        of_file(tmp_path / name, text)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """It cannot be read."""
    path = tmp_path / "p.txt"
    path.write_bytes(b"\xff\xfe\xff")

    with pytest.raises(WorkloadError, match=r"p\.txt cannot be read"):
        made(path=str(path))
