"""Tests of what a request looks like."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from bench_agent.load.plan import Load, LoadError, encode_request, endpoint, request_id


def load(**changes: Any) -> Load:
    """A load of three requests."""
    values: dict[str, Any] = {
        "name": "run/point",
        "base_urls": ("http://127.0.0.1:8000",),
        "model": "m",
        "api": "completions",
        "prompt": lambda index: [index, 7],
        "output_len": 16,
        "num_prompts": 3,
    }
    return Load(**{**values, **changes})


def body(request: bytes) -> Any:
    """The JSON of a request."""
    return json.loads(request.partition(b"\r\n\r\n")[2])


def test_a_completion_asks_for_a_stream_with_usage() -> None:
    """Token ids, a fixed length, and the token counts at the end."""
    where = endpoint("http://127.0.0.1:8000/a/", "completions")
    request = encode_request(load(), 2, where)

    assert request.startswith(b"POST /a/v1/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n")
    assert body(request) == {
        "model": "m",
        "prompt": [2, 7],
        "max_tokens": 16,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
    }


def test_a_chat_has_one_message() -> None:
    """Options of the load are passed on; what is not set is left out."""
    chat = load(
        api="chat",
        prompt=lambda _: "hello",
        ignore_eos=False,
        temperature=0.0,
        extra_body={"top_k": 1},
    )
    found = body(encode_request(chat, 0, endpoint("http://h:1", "chat")))

    assert [{"role": "user", "content": "hello"}] == found["messages"]
    assert (0.0, 1, False) == (found["temperature"], found["top_k"], "ignore_eos" in found)


def test_the_key_goes_into_the_head_only() -> None:
    """As a bearer."""
    head, _, rest = encode_request(
        load(api_key="sesame"), 0, endpoint("http://h:1", "completions")
    ).partition(b"\r\n\r\n")

    assert (True, False) == (b"Authorization: Bearer sesame" in head, b"sesame" in rest)


def test_request_ids_are_uuids_and_differ() -> None:
    """Some servers refuse any other shape; the same request has the same id."""
    ids = {request_id("a", 0), request_id("a", 1), request_id("b", 0), request_id("a", 0)}

    assert 3 == len(ids)
    assert sorted(ids) == sorted(str(uuid.UUID(each)) for each in ids)


@pytest.mark.parametrize(
    "url", ["https://h", "h:8000", "http://", "http://h:x", "http://h:0", "ftp://h"]
)
def test_other_urls_are_refused(url: str) -> None:
    """The client stamps plain TCP; the message says what it takes."""
    with pytest.raises(LoadError, match=r"plain http:// URL"):
        endpoint(url, "chat")


def test_streams_are_the_cap_or_all() -> None:
    """Without a cap everything is sent at once."""
    assert [3, 2, 3] == [load(max_concurrency=cap).streams for cap in (None, 2, 9)]
