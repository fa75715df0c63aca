"""Tests of what the simulator says."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from tests.bench_agent.simulator.served import STREAM, Served, events


@pytest.mark.parametrize("chat", [False, True])
def test_tokens_differ(served: Served, chat: bool) -> None:
    """In their text, of one word each, from one to the next; a reply in one piece says the same."""
    path = "/v1/chat/completions" if chat else "/v1/completions"
    message = {"role": "user", "content": "a"}
    body = {"prompt": "a", "messages": [message], "max_tokens": 12}
    streamed = events(served.ask("POST", path, {**body, "stream": True})[2])[:-1]
    choices = [event["choices"][0] for event in streamed]
    texts = [c["delta"]["content"] if chat else c["text"] for c in choices]
    whole = json.loads(served.ask("POST", path, body)[2])["choices"][0]
    words = [text for text in texts if text]

    assert ([1] * 12, True) == ([len(w.split()) for w in words], len(set(words[:8])) == 8)
    assert all(one != other for one, other in pairwise(words))
    assert 12 == len((whole["message"]["content"] if chat else whole["text"]).split())


def test_ids_are_quoted(served: Served) -> None:
    """Whatever a client calls its request."""
    found = events(served.ask("POST", "/v1/completions", STREAM, x_request_id='a"b')[2])

    assert ['cmpl-a"b'] * 4 == [event["id"] for event in found[:-1]]
