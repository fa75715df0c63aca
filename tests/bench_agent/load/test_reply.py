"""Tests of reading replies."""

from __future__ import annotations

import json
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent.load.reply import SLICE, Exchange, Reading, Stamp
from bench_agent.protocol import RequestRecord
from tests.bench_agent.misbehaving import DONE, END, HEAD, REPLIES, USAGE, event, token


def read(
    *reads: bytes,
    chat: bool = False,
    cause: str | None = None,
    stamps: list[Stamp] | None = None,
) -> RequestRecord:
    """The record of a reply that came in these reads, stamped 1, 2, 3 … microseconds."""
    stamps = stamps or [struct.pack("qq", 0, 1000 * (n + 1)) for n in range(len(reads))]
    exchange = Exchange(0, "r", "u", 0, 0, 9000, list(reads), stamps, cause)
    reading = Reading(exchange, chat=chat)
    for _ in range(len(reads) + 1):
        if reading.advance():
            return reading.record(3)
    raise AssertionError("the reading never ends")


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


def test_a_long_reply_is_read_in_slices() -> None:
    """Sockets are looked at in between."""
    reads = [HEAD, *[token()] * SLICE, token("length"), USAGE + DONE + END]
    stamps: list[Stamp] = list(range(1, len(reads) + 1))
    reading = Reading(Exchange(0, "r", "u", 0, 0, 9, reads, stamps), chat=False)
    steps = [reading.advance(), reading.advance()]

    assert ([False, True], SLICE + 1) == (steps, len(reading.record(0).chunk_ns))


def test_reads_with_several_chunks_are_counted() -> None:
    """Their stamps are upper bounds for all but the last."""
    found = read(HEAD + token() + token(), token(), token("length") + USAGE + DONE + END)

    assert (3, 1, (1000, 1000, 2000, 3000)) == (found.reads, found.coalesced, found.chunk_ns)


def test_stamps_of_our_own_clock_are_told_apart() -> None:
    """One of them is enough for the record to say so."""
    stamps: list[Stamp] = [struct.pack("qq", 0, 5), 7, 8]
    found = read(HEAD + token(), token("length"), USAGE + DONE + END, stamps=stamps)

    assert ("user", (5, 7)) == (found.stamped_by, found.chunk_ns)


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
        delta(reasoning_content="unknown to vLLM"),
        delta("stop") + USAGE + DONE + END,
        chat=True,
    )

    assert (True, (2000, 3000, 4000, 5000), "stop") == (
        found.success,
        found.chunk_ns,
        found.finish_reason,
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
        {"choices": [{"text": "a"}], "usage": {"prompt_tokens": 1}},
        {"choices": {"a": 1}},
        "text",
    ],
)
def test_events_of_another_shape_are_bad_replies(broken: object) -> None:
    """JSON, but not this API's."""
    assert "bad_reply" == read(HEAD + event(broken) + DONE + END).failure
