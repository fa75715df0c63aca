"""Tests of events that need no parsing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent.load.pattern import Pattern, Vocabulary


def event(text: str, **more: object) -> bytes:
    """A completion event as vLLM writes it."""
    return json.dumps(
        {"id": "x", "choices": [{"text": text, "finish_reason": None}], **more},
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()


def chunk(text: str, off: int = 0) -> bytes:
    """The event as a chunk, whose size may be *off*."""
    payload = b"data: " + event(text) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(payload) + off, payload)


def learned(*, chunked: bool = True) -> Pattern:
    """A pattern that has seen one event."""
    pattern = Pattern()
    pattern.learn(event(" gear"), "text", " gear", chunked=chunked)
    assert pattern.known
    return pattern


@given(st.text())
def test_what_fits_is_the_same_event_with_another_text(text: str) -> None:
    """Whatever fits would have parsed to the same, but for its text."""
    if learned().fits(event(text)):
        assert json.loads(event(text))["choices"] == [{"text": text, "finish_reason": None}]


@pytest.mark.parametrize("text", [" other", " wörds", "\n\n", 'say "no"', "", "\\"])
def test_texts_fit(text: str) -> None:
    """Escapes and all."""
    assert (True, True) == (learned().fits(event(text)), learned().fits_read(chunk(text)))


@given(st.text(), st.integers(-3, 3))
def test_a_read_that_fits_is_one_whole_chunk(text: str, off: int) -> None:
    """The size is right, nothing comes before or after, and the event fits."""
    if learned().fits_read(chunk(text, off)):
        assert (0, True) == (off, learned().fits(event(text)))
    else:
        assert off or not learned().fits(event(text))


@pytest.mark.parametrize(
    "read",
    [
        chunk(" a") * 2,
        chunk(" a")[:-1],
        chunk(" a")[1:],
        b"",
        b"0\r\n\r\n",
        chunk(" a").replace(b"null", b'"stop"'),
        b"data: " + event(" a") + b"\n\n",
    ],
)
def test_reads_that_are_more_or_less_than_a_chunk_do_not_fit(read: bytes) -> None:
    """Two chunks, half a chunk, none, another event, or no chunk."""
    assert not learned().fits_read(read)


def test_without_chunks_a_read_is_an_event() -> None:
    """For replies that end with their connection."""
    pattern = learned(chunked=False)

    assert pattern.fits_read(b"data: " + event(" b") + b"\n\n")
    assert not pattern.fits_read(chunk(" b"))


def test_an_event_with_the_key_twice_teaches_nothing() -> None:
    """Nobody could tell which of them is the text."""
    pattern = Pattern()
    pattern.learn(event(" a", more={"text": " a"}), "text", " a", chunked=True)

    assert (False, False) == (pattern.known, pattern.fits(event(" b", more={"text": " b"})))


@pytest.mark.parametrize("chunked", [True, False])
def test_events_that_came_together_are_counted(chunked: bool) -> None:
    """The kernel joins what a busy client does not fetch at once."""
    one = chunk(" a") if chunked else b"data: " + event(" a") + b"\n\n"
    pattern = learned(chunked=chunked)

    assert [1, 2, 5] == [pattern.events_in(one * count) for count in (1, 2, 5)]
    assert [0, 0, 0, 0] == [
        pattern.events_in(each) for each in (b"", one + one[:-1], one + b"0\r\n\r\n", b"x" + one)
    ]


@given(st.binary(max_size=40), st.booleans())
def test_garbage_is_no_event(data: bytes, chunked: bool) -> None:
    """Whatever it is, it does not stop the count."""
    assert 0 == learned(chunked=chunked).events_in(data)


def test_a_vocabulary_remembers_what_it_took() -> None:
    """And nothing that is not the inside of a JSON string."""
    words = Vocabulary()

    assert [True, True, False] == [words.takes(text) for text in (b" a", b"\\n", b'"')]
    assert {b" a", b"\\n"} == words.known
