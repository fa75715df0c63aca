"""Tests of what a request looks like, and where it goes."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from bench_agent.load.plan import (
    Load,
    LoadError,
    Request,
    encode_body,
    encode_head,
    endpoint,
    request_id,
)
from bench_agent.protocol import Point


class Three:
    """Three requests."""

    count = 3

    def __call__(self, index: int) -> Request:
        return Request([index, 7], 16)


def load(**changes: Any) -> Load:
    """A load of three requests."""
    values: dict[str, Any] = {
        "name": "run/point",
        "point": Point("p", num_prompts=5),
        "base_urls": ("http://127.0.0.1:8000",),
        "model": "m",
        "api": "completions",
        "requests": Three(),
    }
    return Load(**{**values, **changes})


def body(given: Load, request: Request | None = None) -> Any:
    """The JSON of a request."""
    return json.loads(encode_body(given, request or given.requests(2)))


def test_a_completion_asks_for_a_stream_with_usage() -> None:
    """Token ids, a fixed length, and the token counts at the end."""
    assert body(load()) == {
        "model": "m",
        "prompt": [2, 7],
        "max_tokens": 16,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
    }


def test_a_chat_has_one_message() -> None:
    """Options of the load are passed on."""
    chat = load(api="chat", temperature=0.0, extra_body={"top_k": 1})
    found = body(chat, Request("hello", 4))

    assert [{"role": "user", "content": "hello"}] == found["messages"]
    assert (4, 0.0, 1) == (found["max_tokens"], found["temperature"], found["top_k"])


def test_what_the_server_refuses_is_left_out() -> None:
    """Some refuse fields that they do not know."""
    assert {"model", "prompt", "max_tokens", "stream"} == set(
        body(load(ignore_eos=False, usage=False))
    )


def test_the_extra_body_has_the_last_word() -> None:
    """It may replace what the load would say."""
    assert 9 == body(load(extra_body={"max_tokens": 9}))["max_tokens"]


def test_the_head_names_place_length_and_id() -> None:
    """And ends with an empty line."""
    head = encode_head(load(), endpoint("http://127.0.0.1:8000/a/", "completions"), 2, 1234)

    assert [
        b"POST /a/v1/completions HTTP/1.1",
        b"Host: 127.0.0.1:8000",
        b"User-Agent: bench-agent",
        b"Accept: text/event-stream",
        b"Content-Type: application/json",
        b"Content-Length: 1234",
        b"X-Request-Id: " + request_id("run/point", 2).encode(),
        b"",
        b"",
    ] == head.split(b"\r\n")


def test_the_key_goes_into_the_head_only() -> None:
    """As a bearer."""
    secret = load(api_key="sesame")
    head = encode_head(secret, endpoint("http://h:1", "completions"), 0, 1)

    assert b"\r\nAuthorization: Bearer sesame\r\n" in head
    assert b"sesame" not in encode_body(secret, secret.requests(0))


def test_request_ids_are_uuids_and_differ() -> None:
    """Some servers refuse any other shape; the same request has the same id."""
    ids = {request_id("a", 0), request_id("a", 1), request_id("b", 0), request_id("a", 0)}

    assert 3 == len(ids)
    assert sorted(ids) == sorted(str(uuid.UUID(each)) for each in ids)


@pytest.mark.parametrize(
    ("url", "api", "address", "path", "tls"),
    [
        ("http://h", "chat", ("h", 80), "/v1/chat/completions", False),
        ("http://[::1]:8000/a/", "chat", ("::1", 8000), "/a/v1/chat/completions", False),
        ("https://h", "completions", ("h", 443), "/v1/completions", True),
        ("https://h:8443/a", "completions", ("h", 8443), "/a/v1/completions", True),
    ],
)
def test_a_url_says_where_requests_go(
    url: str, api: str, address: tuple[str, int], path: str, tls: bool
) -> None:
    """Ports are those of the scheme where none is named."""
    found = endpoint(url, api)

    assert (url, address, path, tls) == (found.url, found.address, found.path, found.tls)


@pytest.mark.parametrize(
    "url", ["h:8000", "http://", "https://", "http://h:x", "http://h:0", "ftp://h", "http://[::1"]
)
def test_other_urls_are_refused(url: str) -> None:
    """The message says what it takes."""
    with pytest.raises(LoadError, match=r"is not a plain http:// or https:// URL"):
        endpoint(url, "chat")


@pytest.mark.parametrize("url", ["http://me:sesame@h", "http://me:sesame@h:x"])
def test_a_url_with_a_password_is_refused_and_not_repeated(url: str) -> None:
    """It would stand in records and heads."""
    with pytest.raises(LoadError, match="URL") as caught:
        endpoint(url, "chat")

    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("point", "count", "total"),
    [(5, 3, 3), (2, 3, 2), (None, 3, 3), (2, None, 2), (None, None, None)],
)
def test_a_load_ends_with_its_point_or_its_workload(
    point: int | None, count: int | None, total: int | None
) -> None:
    """Whatever comes first; or not at all."""
    requests = Three()
    requests.count = count  # type: ignore[assignment]  # None: there is no end

    assert total == load(point=Point("p", num_prompts=point), requests=requests).total
