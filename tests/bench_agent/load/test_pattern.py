"""Tests of events that need no parsing."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from bench_agent.load.pattern import Pattern


def event(text: str, **more: object) -> bytes:
    """A completion event as vLLM writes it."""
    return json.dumps(
        {"id": "x", "choices": [{"text": text, "finish_reason": None}], **more},
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()


def learned() -> Pattern:
    """A pattern that has seen one event."""
    pattern = Pattern("text")
    pattern.learn(event(" gear"), " gear")
    return pattern


@given(st.text())
def test_what_fits_is_the_same_event_with_another_text(text: str) -> None:
    """Whatever fits would have parsed to the same, but for a text that is not empty."""
    other = event(text)

    if learned().fits(other):
        assert json.loads(other)["choices"] == [{"text": text, "finish_reason": None}]
        assert text


def test_a_plain_text_fits() -> None:
    """Nearly all events do."""
    assert learned().fits(event(" other wörds"))


@given(st.text(), st.integers(-3, 3))
def test_a_read_that_fits_is_one_whole_chunk(text: str, off: int) -> None:
    """The size is right, nothing comes before or after, and the event fits."""
    payload = b"data: " + event(text) + b"\n\n"
    read = b"%x\r\n%b\r\n" % (len(payload) + off, payload)

    if learned().fits_read(read):
        assert 0 == off
        assert learned().fits(event(text))
    else:
        assert off or not learned().fits(event(text))


def test_reads_that_are_more_or_less_than_a_chunk_do_not_fit() -> None:
    """Two chunks, two events in one, half a chunk, or none."""
    payload = b"data: " + event(" a") + b"\n\n"
    chunk = b"%x\r\n%b\r\n" % (len(payload), payload)
    both = b"%x\r\n%b\r\n" % (2 * len(payload), payload * 2)
    others = [chunk * 2, both, chunk[:-1], chunk[1:], chunk[4:], b"", b"\r\n", b"0\r\n\r\n"]

    assert learned().fits_read(chunk)
    assert [] == [other for other in others if learned().fits_read(other)]
    assert not Pattern("text").fits_read(chunk)


def test_nothing_fits_before_something_was_learned() -> None:
    """The first event is parsed."""
    assert not Pattern("text").fits(event(" gear"))


def test_other_things_do_not_fit() -> None:
    """Finish reasons, usage, errors, empty and escaped texts are parsed."""
    others = [
        event(""),
        event('"'),
        event("\\"),
        event("\n"),
        event(" a", usage={"prompt_tokens": 1}),
        event(" a").replace(b"null", b'"length"'),
        b'{"error":"x"}',
        b"[DONE]",
    ]

    assert [] == [other for other in others if learned().fits(other)]


def test_an_ambiguous_event_is_not_learned() -> None:
    """Where the key stands twice, it is not known which text was parsed."""
    pattern = Pattern("text")
    twice = b'{"text":" a","choices":[{"text":" a"}]}'
    pattern.learn(twice, " a")

    assert not pattern.fits(twice)
