"""Events like those before, one a segment, that came in one read: told all at once.

All that a token costs above the kernel is here, so what can be done for many of them in one call
is.
"""

from __future__ import annotations

import struct
from functools import cache

from bench_agent.load.link import Link
from bench_agent.load.pattern import Vocabulary
from bench_agent.load.reply import Exchange
from bench_agent.load.tap import SEGMENT
from bench_agent.load.trail import USUAL_OFFSET, Trail, is_old

#: IP length, sequence number and TCP's data offset of a `SEGMENT`.
_PLACES = struct.Struct(">66xH20xI4xBx")
_ZEROS = bytes(4)


def take(link: Link, trail: Trail, exchange: Exchange, data: bytes, vocabulary: Vocabulary) -> int:
    """Work off the segments that *data*, the next bytes of *link*, begins with and that are such
    events; where the others begin.

    What *data* would be if all were, made of their lengths and texts, is compared with what it is.
    """  # noqa: D205 - one thought
    events, begin = link.events, trail.begin
    at, end = begin, begin + len(data)
    parts: list[bytes] = []
    again: list[int] = []  # segments that bring nothing new
    add = parts.append
    for total, number, offset in _PLACES.iter_unpack(trail.segments):
        if number != at or offset != USUAL_OFFSET:
            if is_old(number, ip_length=total, offset=offset, at=at):
                again.append(len(parts) // 2 + len(again))
                continue
            break
        try:
            head, start, cut, size = events[total]
        except KeyError:
            head, start, cut, size = events[total] = link.event(total)
        place = at - begin
        add(head)
        add(data[place + start : place + cut])
        at += size
        if at >= end:
            break
    for row in reversed(again):
        trail.drop(row)
    count = _count_plain(parts[1::2], vocabulary)
    if not count:
        return 0
    del parts[2 * count :]
    parts[0] = parts[0][len(link.closing) :]
    parts.append(link.closing)
    plain = b"".join(parts)
    if not data.startswith(plain):
        return 0
    exchange.stamps.frombytes(_stamps(trail.segments, count))
    trail.forget(count, len(plain))
    return len(plain)


def _count_plain(texts: list[bytes], vocabulary: Vocabulary) -> int:
    """How many are the insides of JSON strings before the first that is none."""
    known, takes = vocabulary.known, vocabulary.takes
    if known.issuperset(texts):
        return len(texts)
    return next(
        (n for n, text in enumerate(texts) if text not in known and not takes(text)), len(texts)
    )


def _stamps(segments: bytearray, count: int) -> bytes:
    """The times of the first *count*, as the kernel's timespecs."""
    return _ZEROS.join(_times(count).unpack_from(segments)) + _ZEROS


@cache
def _times(count: int) -> struct.Struct:
    """Seconds and nanoseconds of *count* segments, as they stand there."""
    return struct.Struct(f"4s4s{SEGMENT.size - 8}x" * count)
