"""Tests of events that are told all at once: as if each segment were looked at by itself."""

from __future__ import annotations

from array import array
from itertools import accumulate, pairwise
from socket import htonl, htons
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bench_agent.load import together
from bench_agent.load.link import Link
from bench_agent.load.pattern import Pattern, Vocabulary
from bench_agent.load.reply import Exchange
from bench_agent.load.tap import SEGMENT
from bench_agent.load.trail import Trail

BEGIN = 0x7FFFFF00
BEFORE = b'{"id":"cmpl-1","choices":[{"index":0,"text":"'
AFTER = b'","finish_reason":null}]}'

#: Texts as they stand in JSON; the last of them are none.
TEXTS = st.sampled_from([b" the", b"", b'\\"', b"\\\\", b" \xc3\xa9", b"x" * 200, b"\0"])
TROUBLES = ["again", "lost", "odd", "two", "swap"]
FOREIGN = st.sampled_from([b'"', b"\\", b'a","text":"b', b"\n\n"])


def learned(*, chunked: bool) -> Pattern:
    """What stands around the texts of the events below."""
    pattern = Pattern()
    pattern.learn(BEFORE + b"word" + AFTER, "text", "word", chunked=chunked)
    assert pattern.known
    return pattern


def event(pattern: Pattern, text: bytes, *, chunked: bool) -> bytes:
    """One as it comes."""
    inside = pattern.opening + text + AFTER + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(inside), inside) if chunked else inside


def link_of(pattern: Pattern) -> Any:
    """All of a link that is asked for."""
    link = SimpleNamespace(
        least=pattern.least,
        sizes=pattern.sizes,
        opening=pattern.opening,
        closing=pattern.closing,
        cut=-len(pattern.closing),
        events={},
    )
    link.event = lambda total: Link.event(link, total)  # type: ignore[arg-type] # as much of one
    return link


def packed(start: int, size: int, at: int, header: int = 32) -> bytes:
    """A segment with the bytes from *start* of the stream, which came at second *at*."""
    return SEGMENT.pack(
        at, at + 1, htons(20 + header + size), 7, htonl(BEGIN + start), header << 2, 0x18
    )


def one_by_one(pattern: Pattern, segments: list[tuple[int, int, int, int]], data: bytes) -> Any:
    """What is true: the bytes worked off, their times, the segments that then wait."""
    at, times, done = 0, [], 0
    for number, (start, size, came, header) in enumerate(segments):
        if start + size <= at and start < at:
            continue
        whole = data[at : at + size]
        if start != at or header != 32 or len(whole) < size or not pattern.fits_read(whole):
            break
        times += [came, came + 1]
        at += size
        done = number + 1
        if at >= len(data):
            break
    return at, times, done


@st.composite
def reads(draw: st.DrawFn) -> tuple[bool, list[tuple[int, int, int, int]], bytes, int]:
    """Events, some of them others; their segments, some lost, sent again or cut in two; and how
    much of it all was read.
    """  # noqa: D205 - one thought
    chunked = draw(st.booleans())
    pattern = learned(chunked=chunked)
    rare = draw(st.integers(0, 12))
    pieces = []
    for n in range(draw(st.integers(1, 12))):
        text = draw(FOREIGN if n == rare else TEXTS)
        pieces.append(event(pattern, text, chunked=chunked))
    if draw(st.booleans()):
        place = draw(st.integers(0, len(pieces) - 1))
        byte = draw(st.integers(0, len(pieces[place]) - 1))
        pieces[place] = pieces[place][:byte] + b"#" + pieces[place][byte + 1 :]
    starts = [0, *accumulate(map(len, pieces))]
    rows = [(a, b - a, n, 32) for n, (a, b) in enumerate(pairwise(starts))]
    for kind in draw(st.lists(st.sampled_from(TROUBLES), max_size=3)):
        n = draw(st.integers(0, len(rows) - 1))
        start, size, came, header = rows[n]
        if kind == "again":
            rows.insert(draw(st.integers(n + 1, len(rows))), (start, size, 1000 + n, header))
        elif kind == "lost" and len(rows) > 1:
            del rows[n]
        elif kind == "odd":
            rows[n] = start, size, came, 20
        elif kind == "two" and size > 1:
            rows[n : n + 1] = [(start, 1, came, header), (start + 1, size - 1, came, header)]
        elif kind == "swap":
            rows[0], rows[n] = rows[n], rows[0]
    data = b"".join(pieces)
    return chunked, rows, data, draw(st.sampled_from([len(data), draw(st.integers(1, len(data)))]))


def told(chunked: bool, rows: list[tuple[int, int, int, int]], data: bytes) -> Any:
    """What is worked off: bytes, times; and the trail."""
    pattern, trail = learned(chunked=chunked), Trail(BEGIN)
    exchange = Exchange(0, "x", "http://x", 0)
    trail.segments += b"".join(packed(*row) for row in rows)
    at = together.take(link_of(pattern), trail, exchange, data, Vocabulary())
    return at, exchange.stamps, trail


@given(reads())
def test_nothing_is_told_but_what_each_segment_says(read: Any) -> None:
    """Never more than there is, each event with its own first time; what is left, is left."""
    chunked, rows, data, length = read
    data = data[:length]
    at, stamps, trail = told(chunked, rows, data)
    true, times, _ = one_by_one(learned(chunked=chunked), rows, data)
    kept = Trail(BEGIN)
    kept.segments += b"".join(packed(*row) for row in rows)

    assert at in {0, true}
    assert array("q", times if at else []) == stamps
    assert (BEGIN + at) == trail.begin
    assert trail.ends(len(data) - at) == [
        (end - at, *when) for end, *when in kept.ends(len(data)) if end > at
    ]


@given(st.booleans(), st.lists(TEXTS.filter(lambda text: text != b"\0"), min_size=1), st.data())
def test_usual_events_are_told_whole(
    chunked: bool, texts: list[bytes], data: st.DataObject
) -> None:
    """Whatever their texts, and though some segments came twice."""
    pattern = learned(chunked=chunked)
    events = [event(pattern, text, chunked=chunked) for text in texts]
    starts = [0, *accumulate(map(len, events))]
    rows = [(a, b - a, n, 32) for n, (a, b) in enumerate(pairwise(starts))]
    for n in data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=4, unique=True)):
        place = next(k for k, row in enumerate(rows) if row[2] == n)
        rows.insert(place + 1, (*rows[place][:2], 1000, 32))
    at, stamps, trail = told(chunked, rows, b"".join(events))

    assert starts[-1] == at
    assert [0, 1] == stamps[:2].tolist()
    assert list(range(len(texts))) == stamps[::2].tolist()
    assert all(row[2] >= 1000 for row in rows[len(rows) - len(trail) :])


def test_what_follows_the_usual_events_is_left() -> None:
    """The end of a reply, of which the events before are told."""
    pattern = learned(chunked=True)
    usual = [event(pattern, text, chunked=True) for text in (b" the", b" of")]
    last = event(pattern, b'","finish_reason":"stop', chunked=True)
    starts = [0, *accumulate(map(len, [*usual, last]))]
    rows = [(a, b - a, n, 32) for n, (a, b) in enumerate(pairwise(starts))]
    at, stamps, trail = told(True, rows, b"".join([*usual, last]))

    assert (starts[2], [0, 1, 1, 2], 1) == (at, stamps.tolist(), len(trail))


def test_a_longer_header_makes_no_longer_event() -> None:
    """With twelve bytes more of TCP's options, a segment is as long as with twelve of the event."""
    whole = event(learned(chunked=True), b" the", chunked=True)
    rows = [(0, len(whole) - 12, 1, 44), (len(whole) - 12, 12, 5, 32)]
    at, stamps, trail = told(True, rows, whole)

    assert (0, [], 2) == (at, stamps.tolist(), len(trail))
