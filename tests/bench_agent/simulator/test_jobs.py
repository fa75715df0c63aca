"""Tests of what the simulator is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from bench_agent.simulator.jobs import Job, read_job, read_object
from bench_agent.simulator.options import Options
from bench_agent.simulator.refusal import Refusal

OPTIONS = Options(model="m", max_model_len=20, max_tokens=5)
USER = {"role": "user", "content": "a b"}


def job(*, chat: bool = False, **body: Any) -> Job:
    """The job of a body with a prompt of two tokens."""
    base = {"messages": [USER]} if chat else {"prompt": "a b"}
    return read_job({**base, **body}, OPTIONS, chat=chat)


@pytest.mark.parametrize("prompt", ["a b", [5, 6], ["a b"], [[5, 6]]])
def test_a_prompt_is_a_text_or_token_ids(prompt: object) -> None:
    """A list of one of them is the same."""
    assert Job(False, 2, 5, False, False) == job(prompt=prompt)


def test_a_chat_counts_all_messages() -> None:
    """Texts, and texts in parts."""
    parts = {"role": "user", "content": [{"type": "text", "text": "c d"}, {"type": "image"}]}

    assert 4 == job(chat=True, messages=[USER, parts]).prompt_tokens


def test_lengths_and_streams_are_as_asked() -> None:
    """Chat has a newer name for the length."""
    streamed = job(max_tokens=7, stream=True, stream_options={"include_usage": True})

    assert Job(False, 2, 7, True, True) == streamed
    assert 9 == job(chat=True, max_completion_tokens=9).max_tokens


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_tokens": 19}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {}}, "stream_options"),
        ({"stream": True, "stream_options": 1}, "stream_options"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"n": 2}, "n"),
        ({"chat": True, "messages": []}, "messages"),
        ({"chat": True, "messages": "a"}, "messages"),
        ({"chat": True, "messages": [{"content": "a"}]}, "messages"),
        ({"chat": True, "messages": [{"role": "user"}]}, "messages"),
    ],
)
def test_a_wrong_body_is_refused(body: dict[str, Any], param: str) -> None:
    """400, and the error names the parameter."""
    with pytest.raises(Refusal) as refused:
        job(**body)

    assert (400, param) == (refused.value.status, refused.value.body["error"]["param"])


def test_what_fits_exactly_is_served() -> None:
    """Prompt and output together may fill the context."""
    assert 18 == job(max_tokens=18, temperature=2).max_tokens


def test_another_model_is_not_found() -> None:
    """As vLLM answers."""
    with pytest.raises(Refusal, match="`other` does not exist") as refused:
        job(model="other")

    assert 404 == refused.value.status


@pytest.mark.parametrize("raw", [b"{", b"[]", b"\xff"])
def test_a_body_has_to_be_an_object(raw: bytes) -> None:
    """Anything else is refused."""
    with pytest.raises(Refusal, match="JSON"):
        read_object(raw)
