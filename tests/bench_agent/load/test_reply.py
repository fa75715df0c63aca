"""Tests of reading replies."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent.load.reply import SLICE, Exchange, Reading
from bench_agent.protocol import RequestRecord
from tests.bench_agent.misbehaving import DONE, END, HEAD, REPLIES, USAGE, event, token


def exchange_of(*reads: bytes, by_kernel: bool = True, **changes: Any) -> Exchange:
    """An exchange whose reads came after 1, 2, 3 … microseconds, none of them understood."""
    exchange = Exchange(0, "r", "u", 0, 0, 9000, by_kernel=by_kernel, **changes)
    for number, data in enumerate(reads):
        exchange.stamps.extend((0, 1000 * (number + 1)))
        exchange.unread.append((number, data))
    return exchange


def read(*reads: bytes, chat: bool = False, texts: bool = False, **changes: Any) -> RequestRecord:
    """The record of a reply that came in these reads."""
    reading = Reading(exchange_of(*reads, **changes), chat=chat, texts=texts)
    for _ in range(len(reads) + 1):
        if reading.advance():
            return reading.record(3)
    raise AssertionError("the reading never ends")


def told_fast(*reads: bytes, chat: bool = False) -> RequestRecord:
    """The same, where reads that the pattern tells are not even kept: as the worker does it."""
    exchange = exchange_of()
    reading = Reading(exchange, chat=chat)
    for number, data in enumerate(reads):
        exchange.stamps.extend((0, 1000 * (number + 1)))
        if reading.fast and reading.pattern.fits_read(data):
            continue
        exchange.unread.append((number, data))
        while not reading.advance():
            pass
    return reading.record(3)


def usage(tokens: object, prompt: object = 8) -> bytes:
    """The event with the counts."""
    counts = {"prompt_tokens": prompt, "completion_tokens": tokens}
    return event({"choices": [], "usage": counts})


def worded(text: str) -> bytes:
    """One token of a completion; *text* as JSON writes it."""
    return event(
        b'{"choices": [{"index": 0, "text": "%b", "finish_reason": null}]}' % text.encode()
    )


def delta(finish: str | None = None, **values: object) -> bytes:
    """One event of a chat."""
    return event({"choices": [{"index": 0, "delta": values, "finish_reason": finish}]})


def test_a_stream_is_read() -> None:
    """Stamps of the chunks, counts of the usage, the finish reason."""
    found = read(HEAD, token(), token("length"), USAGE + DONE + END)

    assert (True, None, 2, 8, "length", 200) == (
        found.success,
        found.failure,
        found.output_tokens,
        found.prompt_tokens,
        found.finish_reason,
        found.http_status,
    )
    assert ((2000, 3000), 2000, 3000, "kernel", 3) == (
        found.chunk_ns,
        found.first_chunk_ns,
        found.last_chunk_ns,
        found.stamped_by,
        found.worker,
    )


@given(st.lists(st.integers(0, 700), max_size=12))
def test_counts_do_not_depend_on_reads(cuts: list[int]) -> None:
    """Wherever the stream is cut, the same is read from it."""
    raw = HEAD + token() * 3 + token("length") + USAGE + DONE + END
    places = sorted({0, len(raw), *(c % len(raw) for c in cuts)})
    found = read(*[raw[a:b] for a, b in pairwise(places)])

    assert (True, 4, 2) == (found.success, len(found.chunk_ns), found.output_tokens)
    assert list(found.chunk_ns) == sorted(found.chunk_ns)


@given(st.lists(st.integers(0, 2000), max_size=12))
def test_what_is_told_by_the_pattern_is_what_would_have_been_read(cuts: list[int]) -> None:
    """Wherever the stream is cut, and whichever reads were never parsed."""
    texts = (" a", " b", "\\n", ' \\"c', " dd", "", " e", " ff", " g")
    raw = HEAD + b"".join(map(worded, texts)) + token("length") + USAGE + DONE + END
    places = sorted({0, len(raw), *(c % len(raw) for c in cuts)})
    reads = [raw[a:b] for a, b in pairwise(places)]

    assert read(*reads) == told_fast(*reads)


def test_reads_that_the_pattern_tells_need_no_parsing() -> None:
    """One chunk a read, and every one is counted at its time."""
    reads = [HEAD + worded(" a"), *map(worded, [" b", " c", " d", " e"]), token("length")]
    found = told_fast(*reads, worded(" f"), USAGE + DONE + END)

    assert (1000, 2000, 3000, 4000, 5000, 6000, 7000) == found.chunk_ns


def test_a_long_reply_is_read_in_slices() -> None:
    """Sockets are looked at in between."""
    reads = [HEAD, *[token()] * SLICE, token("length"), USAGE + DONE + END]
    reading = Reading(exchange_of(*reads), chat=False)
    steps = [reading.advance(), reading.advance()]

    assert ([False, True], SLICE + 1) == (steps, len(reading.record(0).chunk_ns))


def test_reads_with_several_chunks_are_counted() -> None:
    """Their stamps are upper bounds for all but the last."""
    found = read(HEAD + token() + token(), token(), token("length") + USAGE + DONE + END)

    assert (3, 1, (1000, 1000, 2000, 3000)) == (found.reads, found.coalesced, found.chunk_ns)


def test_stamps_of_our_own_clock_are_told_apart() -> None:
    """One of them is enough for the record to say so."""
    found = read(HEAD + token(), token("length"), USAGE + DONE + END, by_kernel=False)

    assert "user" == found.stamped_by


def test_a_first_chunk_without_text_is_a_chunk() -> None:
    """It is vLLM's first token; the first text has its own stamp."""
    empty = event({"choices": [{"index": 0, "text": "", "finish_reason": None}]})
    found = read(HEAD + empty, token("length"), USAGE + DONE + END)

    assert (1000, 2000) == (found.first_chunk_ns, found.first_content_ns)


def test_chat_counts_what_vllm_counts() -> None:
    """Content, reasoning and tool calls, and an empty content without a role."""
    found = read(
        HEAD + delta(role="assistant", content=""),
        delta(content="a"),
        delta(reasoning="b"),
        delta(tool_calls=[{"index": 0}]),
        delta(content=""),
        delta("stop") + usage(4) + DONE + END,
        chat=True,
    )

    assert (True, (2000, 3000, 4000, 5000), "stop") == (
        found.success,
        found.chunk_ns,
        found.finish_reason,
    )


def test_reasoning_by_its_other_name_counts_too() -> None:
    """VLLM's own client knows it no more; tokens they are all the same."""
    found = read(
        HEAD + delta(reasoning_content="hm"), delta("stop", content="a"), usage(2) + DONE + END,
        chat=True,
    )  # fmt: skip

    assert ((1000, 2000), 1000, 2000) == (
        found.chunk_ns,
        found.first_chunk_ns,
        found.first_content_ns,
    )


def test_an_interim_reply_is_skipped() -> None:
    """100 Continue says nothing."""
    found = read(b"HTTP/1.1 100 Continue\r\n\r\n" + REPLIES["good"])

    assert found.success


def test_a_missing_chunk_end_after_done_is_forgiven() -> None:
    """All that was asked for has come."""
    found = read(HEAD + token() + token("length") + USAGE + DONE, cause="closed")

    assert found.success


@pytest.mark.parametrize("cause", ["timeout", "stopped"])
def test_the_cause_of_an_early_end_is_the_failure(cause: str) -> None:
    """Unless the stream itself said more."""
    early = read(HEAD + token(), cause=cause)
    told = read(HEAD + event({"error": {"message": "oom"}}), cause=cause)

    assert (cause, "stream_error") == (early.failure, told.failure)


def test_an_error_object_is_an_error() -> None:
    """Some servers put it at the top level."""
    found = read(HEAD + event({"object": "error", "message": "x"}) + DONE + END)

    assert ("stream_error", "x") == (found.failure, json.loads(found.error or "")["message"])


def test_the_body_of_a_refusal_is_kept() -> None:
    """VLLM's own client loses it."""
    found = read(REPLIES["status-500"])

    assert ("http_error", "bang", 500) == (found.failure, found.error, found.http_status)


def test_nothing_at_all_is_a_reset() -> None:
    """The server closed before it said anything."""
    assert "reset" == read(cause="closed").failure


@pytest.mark.parametrize(
    "broken",
    [
        {"choices": [1]},
        {"choices": "x"},
        {"choices": {"a": 1}},
        "text",
    ],
)
def test_events_of_another_shape_are_bad_replies(broken: object) -> None:
    """JSON, but not this API's."""
    assert "bad_reply" == read(HEAD + event(broken) + DONE + END).failure


@pytest.mark.parametrize(
    "counts", [(1, 0), (0, 8), (-2, 8), ("2", 8), (None, 8), (9, 8), (True, 8)]
)
def test_counts_that_cannot_be_are_wrong_usage(counts: tuple[object, object]) -> None:
    """Too few for the chunks, none, negative, no numbers, or more than was asked for."""
    tokens = token() * 5 + token("length")
    found = read(HEAD + tokens + usage(*counts) + DONE + END, asked_tokens=6)

    assert "wrong_usage" == found.failure


def test_texts_are_kept_where_they_are_asked_for() -> None:
    """As the server sent them, escapes undone."""
    reads = [HEAD + worded(" a"), worded("\\n"), worded(' \\"b'), token("length")]
    found = read(*reads, usage(4) + DONE + END, texts=True)

    assert ' a\n "b a' == found.text


def test_without_usage_in_streams_a_reply_is_a_success() -> None:
    """Where the server is known to send none, and its tokenizer counts instead."""
    reading = Reading(exchange_of(HEAD + token("length") + DONE + END), chat=False, usage=False)
    assert reading.advance()
    found = reading.record(0)

    assert (True, None, "tokenizer") == (found.success, found.output_tokens, found.tokens_from)


def test_a_compressed_reply_is_a_bad_one() -> None:
    """It was not asked for, and its events have no times."""
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n"

    assert "bad_reply" == read(head + b"\x1f\x8b\x08\x00").failure


def test_a_line_of_megabytes_is_joined_once() -> None:
    """Garbage may come in any length; it must not hold up the client."""
    pieces = [b"x" * 16_000] * 700
    size = b"%x\r\n" % (16_000 * 700 + 6)
    started = time.process_time()
    found = read(HEAD, size + b"data: ", *pieces, b"\r\n", DONE + END)

    assert "bad_reply" == found.failure
    assert time.process_time() - started < 2.0
