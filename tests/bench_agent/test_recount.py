"""Tests of counting tokens after the load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench_agent.recount import recount
from bench_agent.tokenizer import TokenizerError


class Words:
    """A word is a token; nothing else can be counted."""

    def encode(self, text: str) -> list[int]:
        """See `Tokenizer`."""
        if not text:
            raise TokenizerError("nothing to count")
        return list(range(len(text.split())))

    def count_chat(self, text: str) -> int:
        """See `Tokenizer`."""
        return len(self.encode(text))

    def __hash__(self) -> int:
        return 0


def counted(path: Path, *texts: str, patience_s: float = 5.0) -> list[Mapping[str, object]]:
    """The records after the count."""
    blank = {"success": True, "output_tokens": None, "asked_prompt_tokens": 7}
    path.write_text("".join(json.dumps({**blank, "text": text}) + "\n" for text in texts))
    recount(path, Words(), patience_s)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_replies_are_counted(records_path: Path) -> None:
    """Prompts have the tokens that the workload meant."""
    found = counted(records_path, "a b", "c")

    assert [(2, 7), (1, 7)] == [(r["output_tokens"], r["prompt_tokens"]) for r in found]


def test_what_nobody_can_count_has_failed(records_path: Path) -> None:
    """A success needs its usage."""
    found = counted(records_path, "", "a")

    assert [(False, "no_usage"), (True, None)] == [(r["success"], r.get("failure")) for r in found]


def test_counting_has_an_end(records_path: Path) -> None:
    """A run that was stopped must be closed in time."""
    found = counted(records_path, "a", "b", patience_s=0.0)

    assert [False, False] == [r["success"] for r in found]


def test_a_count_that_breaks_leaves_no_trace(
    records_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records are as they were, and nothing lies beside them."""

    def breaks(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench_agent.recount._count", breaks)
    with pytest.raises(OSError, match="No space"):
        counted(records_path, "a")

    assert [records_path] == list(records_path.parent.iterdir())
