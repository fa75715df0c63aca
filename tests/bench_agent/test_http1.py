"""Tests of HTTP/1.1 messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent.http1 import MAX_HEAD, Body, HttpError, body_of, parse_head, split_head


def chunked(*payloads: bytes) -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in payloads) + b"0\r\n\r\n"


def feed_in_pieces(body: Body, data: bytes, cuts: list[int]) -> bytes:
    """Feed *data* cut at those places."""
    at, out = 0, b""
    for cut in [*sorted(c % (len(data) + 1) for c in cuts), len(data)]:
        out += body.feed(data[at:cut])
        at = cut
    return out


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.lists(st.integers(0, 400)))
def test_chunks_are_put_together_however_they_arrive(parts: list[bytes], cuts: list[int]) -> None:
    """The payload does not depend on where reads were cut, and what follows is kept."""
    body = Body(None, chunked=True)

    payload = feed_in_pieces(body, chunked(*parts), cuts)

    assert (b"".join(parts), True) == (payload, body.done)


@given(st.binary(max_size=60), st.lists(st.integers(0, 100)))
def test_a_length_ends_the_body(data: bytes, cuts: list[int]) -> None:
    """As many bytes as announced, however they arrive."""
    body = Body(len(data))

    payload = feed_in_pieces(body, data, cuts)

    assert (data, True) == (payload, body.done)


def test_what_follows_a_body_is_kept() -> None:
    """Bytes after the end belong to the next message."""
    plain, in_chunks = Body(2), Body(None, chunked=True)
    plain.feed(b"abNEXT")
    in_chunks.feed(chunked(b"ab") + b"NEXT")

    assert (b"NEXT", b"NEXT") == (plain.rest, in_chunks.rest)


def test_trailers_and_extensions_are_skipped() -> None:
    """A chunk may have an extension, and fields may follow the last one."""
    body = Body(None, chunked=True)

    payload = body.feed(b"2;q=1\r\nab\r\n0\r\nx-sum: 1\r\n\r\n")

    assert (b"ab", True) == (payload, body.done)


def test_a_body_without_an_end_ends_with_the_connection() -> None:
    """Neither length nor chunks: closing is the end."""
    body = body_of(parse_head(b"HTTP/1.1 200 OK"), response=True)
    payload = body.feed(b"ab")
    before = body.done
    body.close()

    assert (b"ab", False, True) == (payload, before, body.done)


def test_closing_does_not_end_other_bodies() -> None:
    """A connection that closes in the middle of a chunk cuts the body."""
    body = Body(None, chunked=True)
    body.feed(b"5\r\nab")
    body.close()

    assert not body.done


def test_a_request_without_length_has_no_body() -> None:
    """GET ends with its head."""
    assert body_of(parse_head(b"GET / HTTP/1.1"), response=False).done


@pytest.mark.parametrize("raw", [b"xyz\r\n", b"-5\r\n", b"\r\n", b"a" * (MAX_HEAD + 1)])
def test_broken_chunks_are_refused(raw: bytes) -> None:
    """A size line that is none, negative, empty or endless."""
    with pytest.raises(HttpError):
        Body(None, chunked=True).feed(raw)


def test_a_length_that_is_no_number_is_refused() -> None:
    """A negative length too."""
    with pytest.raises(HttpError, match="content length"):
        body_of(parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: -1"), response=True)


def test_a_head_is_read() -> None:
    """Names in lower case, values stripped, the status as a number."""
    head = parse_head(b"HTTP/1.1 404 Not Found\r\nContent-Length:  12 ")

    assert (404, {"content-length": "12"}) == (head.status, head.fields)


def test_a_head_is_split_off_when_it_is_whole() -> None:
    """Before its empty line there is nothing to read."""
    whole = split_head(b"HTTP/1.1 200 OK\r\n\r\nrest")

    assert split_head(b"HTTP/1.1 200 OK\r\n") is None
    assert whole is not None
    assert b"rest" == whole[1]


def test_an_endless_head_is_refused() -> None:
    """Somebody talks, but not HTTP."""
    with pytest.raises(HttpError, match="no end"):
        split_head(b"x" * (MAX_HEAD + 1))


@pytest.mark.parametrize("start", [b"SSH-2.0-x", b"HTTP/1.1 OK", b"HTTP/2 200 x"])
def test_a_start_line_that_is_none_is_refused(start: bytes) -> None:
    """Other protocols, and a status that is no number."""
    with pytest.raises(HttpError, match="status line"):
        _ = parse_head(start).status


def test_a_field_without_colon_is_refused() -> None:
    """It is no header field."""
    with pytest.raises(HttpError, match="header field"):
        parse_head(b"HTTP/1.1 200 OK\r\nnonsense")


@pytest.mark.parametrize(
    ("raw", "keeps"),
    [
        (b"HTTP/1.1 200 OK", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close", False),
        (b"HTTP/1.0 200 OK", False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive", True),
        (b"GET / HTTP/1.0", False),
        (b"GET / HTTP/1.1", True),
    ],
)
def test_who_keeps_the_connection(raw: bytes, keeps: bool) -> None:
    """HTTP/1.1 keeps it unless told otherwise; 1.0 the other way round."""
    assert keeps == parse_head(raw).keeps_alive
