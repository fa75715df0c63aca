"""Tests of server-sent events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench_agent.load.sse import EventStream

TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(
    st.lists(TEXT, min_size=1, max_size=5), st.lists(st.integers(0, 200)), st.sampled_from("\n\r")
)
def test_events_do_not_depend_on_reads(texts: list[str], cuts: list[int], end: str) -> None:
    """Wherever reads were cut, and whichever line ends the server uses."""
    line_end = "\r\n" if end == "\r" else "\n"
    raw = "".join(f"data: {text}{line_end}{line_end}" for text in texts).encode()
    stream, found, at = EventStream(), [], 0
    for cut in [*sorted(c % (len(raw) + 1) for c in cuts), len(raw)]:
        found += stream.feed(raw[at:cut])
        at = cut

    assert [text.encode() for text in texts] == found
    assert stream.between_events


def test_comments_and_other_fields_say_nothing() -> None:
    """Pings and event names are no data."""
    assert [b"x"] == EventStream().feed(b": ping\n\nevent: a\n\nid: 1\ndata:x\n\n")


def test_lines_of_one_event_are_joined() -> None:
    """As the standard has it."""
    assert [b"a\nb"] == EventStream().feed(b"data: a\ndata: b\n\n")


def test_an_event_without_its_empty_line_is_seen_at_the_end() -> None:
    """Some servers forget the last one."""
    stream = EventStream()
    stream.feed(b"data: [DONE]\n")

    assert ([b"[DONE]"], []) == (stream.close(), stream.close())
