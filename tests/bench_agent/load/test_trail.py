"""Tests of where segments end in what was read."""

from __future__ import annotations

from itertools import pairwise
from socket import htonl, htons

from hypothesis import given
from hypothesis import strategies as st

from bench_agent.load.tap import SEGMENT
from bench_agent.load.trail import MANY, Trail, is_old

BEGIN = 0xFFFFFF00  # the numbers wrap around soon


def segment(start: int, size: int, at: int, header: int = 32) -> bytes:
    """Bytes *start* to *start* + *size* of the stream, which came at second *at*."""
    total = htons(20 + header + size)
    return SEGMENT.pack(at, 0, total, 0, htonl((BEGIN + start) & 0xFFFFFFFF), header << 2, 0x18)


def trail(*segments: bytes) -> Trail:
    """A connection of which nothing was read yet."""
    made = Trail(BEGIN)
    made.segments += b"".join(segments)
    return made


def test_each_segment_ends_where_it_does() -> None:
    """In order, with the time of each; TCP's options do not count."""
    made = trail(segment(0, 100, 1), segment(100, 200, 2, header=20), segment(300, 50, 3))

    assert [(100, 1, 0), (300, 2, 0), (350, 3, 0)] == made.ends(350)
    assert 0 == len(made)


def test_a_segment_that_was_not_read_yet_waits() -> None:
    """It is told with the bytes that it brought."""
    made = trail(segment(0, 100, 1), segment(100, 100, 2))

    assert [[(100, 1, 0)], [(100, 2, 0)]] == [made.ends(100), made.ends(100)]


def test_half_a_segment_has_the_time_of_the_whole() -> None:
    """What was read of it ends where the read does; its own end comes later."""
    made = trail(segment(0, 100, 1), segment(100, 100, 2))

    assert [[(100, 1, 0), (150, 2, 0)], [(50, 2, 0)]] == [made.ends(150), made.ends(50)]


def test_what_was_sent_twice_counts_once() -> None:
    """With the time of the first arrival."""
    made = trail(segment(0, 100, 1), segment(100, 100, 2), segment(0, 200, 3), segment(200, 9, 4))

    assert [(100, 1, 0), (200, 2, 0), (209, 4, 0)] == made.ends(209)


def test_nothing_is_said_behind_a_segment_that_is_missing() -> None:
    """But of what comes after that read, again."""
    made = trail(segment(0, 100, 1), segment(200, 100, 3), segment(300, 100, 4))

    assert [[(100, 1, 0)], [(100, 4, 0)]] == [made.ends(300), made.ends(100)]
    assert (4, 0) == made.latest


def test_nothing_is_said_behind_a_segment_that_came_too_soon() -> None:
    """It could be read only when the one before it had come."""
    made = trail(segment(100, 100, 1), segment(0, 100, 2), segment(200, 100, 3))

    assert [[], [(100, 3, 0)]] == [made.ends(200), made.ends(100)]


def test_the_end_of_a_connection_is_no_segment() -> None:
    """A FIN has a number but no bytes."""
    made = trail(segment(0, 100, 1), segment(100, 0, 2))

    assert [(100, 1, 0)] == made.ends(100)


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=20),
    st.lists(st.integers(0, 40), max_size=10),
    st.randoms(use_true_random=False),
)
def test_no_end_is_told_too_early(sizes: list[int], again: list[int], random: object) -> None:
    """Whatever is sent again or lost: an end that is told has its own segment's time."""
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    all_of_them = [
        segment(start, size, n) for n, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]
    random.shuffle(again)  # type: ignore[attr-defined]
    for n in again:
        all_of_them.insert(n, segment(starts[n % len(sizes)], sizes[n % len(sizes)], 1000 + n))
    made = trail(*all_of_them)
    found = made.ends(sum(sizes))

    assert all(earlier[0] < later[0] for earlier, later in pairwise(found))
    assert {end for end, _, _ in found} <= {s + size for s, size in zip(starts, sizes, strict=True)}
    assert all(at >= 1000 or starts[at] + sizes[at] == end for end, at, _ in found)


def test_a_trail_is_ripe_when_enough_waits_or_something_for_long() -> None:
    """Seven segments, or twelve where that does no harm; else whatever waits, after eight looks."""
    few, made = trail(*[segment(0, 9, 1)] * 6), trail(*[segment(0, 9, 1)] * 7)
    many = trail(*[segment(0, 9, 1)] * 11)
    many.enough = MANY

    assert (True, False, False) == (made.is_ripe(), few.is_ripe(), many.is_ripe())
    assert [False] * 6 + [True] == [few.is_ripe() for _ in range(7)]


def test_a_trail_without_segments_is_ripe_at_last() -> None:
    """All that is known of its bytes may have been lost."""
    empty = trail()

    assert [False] * 39 + [True] == [empty.is_ripe() for _ in range(40)]


def test_a_segment_is_old_when_all_of_it_came_before() -> None:
    """Also around the end of the numbers; one that reaches beyond, or begins there, is not."""
    at = (BEGIN + 300) & 0xFFFFFFFF
    ages = [
        is_old((BEGIN + start) & 0xFFFFFFFF, ip_length=52 + 100, offset=0x80, at=at)
        for start in (100, 200, 201, 300, 400)
    ]

    assert [True, True, False, False, False] == ages
