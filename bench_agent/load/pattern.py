"""Events that differ in their text alone need to be parsed once."""

from __future__ import annotations

import re

#: The inside of a JSON string.
_INSIDE = re.compile(rb'[^"\\\n]*(?:\\.[^"\\\n]*)*')
_NEVER = b"\0"
_TEXTS = 65_536
#: Longer reads are parsed.
MOST = 2048


def _size_line(length: int) -> bytes:
    """The first line of a chunk that is *length* bytes long, all in all."""
    digits = 1
    while len(size := b"%x" % max(0, length - digits - 4)) > digits:
        digits += 1
    return size + b"\r\n"


_CHUNKED = [_size_line(length) for length in range(MOST)]
_UNCHUNKED = [b""] * MOST


class Pattern:
    """What stands around the text of an event that was parsed.

    An event with the same bytes around a JSON string says the same but for the text. Parsing
    it as JSON would cost more than all else that is done with it.

    For a loop that has no time for a call: a read of n bytes, `least` <= n < `MOST`, is one such
    event if it begins with `sizes[n]` (its chunk's size line), goes on with `opening`, ends with
    `closing`, and has the inside of a JSON string between.
    """

    def __init__(self) -> None:
        self._before = _NEVER
        self._after = _NEVER
        self.sizes = _UNCHUNKED
        self.opening = _NEVER
        self.closing = _NEVER
        self.least = MOST

    @property
    def known(self) -> bool:
        """Whether anything was learned."""
        return self.least < MOST

    def learn(self, event: bytes, key: str, text: str, *, chunked: bool) -> None:
        """*event* was parsed, and holds *text* under *key*; it may be no model for others.

        *chunked*: each event comes as a chunk of its own, size line before and line end after.
        """
        raw = text.encode()
        for name in (f'"{key}":"'.encode(), f'"{key}": "'.encode()):
            start = event.find(name) + len(name)
            end = start + len(raw)
            if event.count(name) == 1 and event[start:end] == raw and plain(raw):
                self._before, self._after = event[:start], event[end:]
                self.opening = b"data: " + self._before
                self.closing = self._after + (b"\n\n\r\n" if chunked else b"\n\n")
                self.sizes = _CHUNKED if chunked else _UNCHUNKED
                least = len(self.opening) + len(self.closing)
                self.least = least + len(_size_line(least + 4)) if chunked else least

    def fits(self, event: bytes) -> bool:
        """Whether *event* says what the one before said, with some other text."""
        before, after = self._before, self._after
        if not event.startswith(before) or not event.endswith(after, len(before)):
            return False
        return plain(event[len(before) : -len(after)])

    def fits_read(self, data: bytes) -> bool:
        """Whether *data*, which begins between events, is one whole event of that kind."""
        if not self.least <= len(data) < MOST:
            return False
        size = self.sizes[len(data)]
        return (
            data.startswith(size)
            and data.startswith(self.opening, len(size))
            and data.endswith(self.closing)
            and plain(data[len(size) + len(self.opening) : -len(self.closing)])
        )

    def events_in(self, data: bytes) -> int:
        """How many such events *data* is, which begins between events; 0 if it is anything else."""
        if self.fits_read(data):
            return 1
        at = found = 0
        while at < len(data):
            at, start = self._end_of_event(data, at), at
            if at <= start or not self.fits_read(data[start:at]):
                return 0
            found += 1
        return found

    def _end_of_event(self, data: bytes, at: int) -> int:
        """Where the event that begins at *at* says it ends; 0 where it does not say."""
        if self.sizes is _UNCHUNKED:
            return data.find(b"\n\n", at) + 2
        end = data.find(b"\r\n", at, at + 8)
        try:
            return end + int(data[at:end], 16) + 4
        except ValueError:
            return 0


def plain(text: bytes) -> bool:
    """Whether *text* is the inside of a JSON string, on one line."""
    if 34 not in text and 92 not in text and 10 not in text:  # quote, backslash, line feed
        return True
    return _INSIDE.fullmatch(text) is not None


class Vocabulary:
    """Texts that are `plain`; a vocabulary's worth is remembered in `known`."""

    def __init__(self) -> None:
        self.known: set[bytes] = set()

    def takes(self, text: bytes) -> bool:
        """Whether *text* is plain."""
        found = plain(text)
        if found and len(self.known) < _TEXTS:
            self.known.add(text)
        return found
