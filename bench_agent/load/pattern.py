"""Events that differ in their text alone need to be parsed once."""

from __future__ import annotations

_NOTHING = b"\0"


class Pattern:
    """What stands around the text of an event that was parsed.

    An event with the same bytes around a plain string says the same but for the text. Parsing
    it as JSON would cost more than all else that is done with it.
    """

    def __init__(self, key: str) -> None:
        self._keys = (f'"{key}":"'.encode(), f'"{key}": "'.encode())
        self._before = _NOTHING
        self._after = _NOTHING
        self._opening = _NOTHING
        self._closing = _NOTHING

    def learn(self, event: bytes, text: str) -> None:
        """*event* was parsed, and holds *text* under the key."""
        raw = text.encode()
        for key in self._keys:
            start = event.find(key) + len(key)
            end = start + len(raw)
            if event.count(key) == 1 and event[start:end] == raw and _plain(raw):
                self._before, self._after = event[:start], event[end:]
                self._opening = b"data: " + self._before
                self._closing = self._after + b"\n\n\r\n"

    def fits(self, event: bytes) -> bool:
        """Whether *event* says what the one before said, with some other text."""
        before, after = self._before, self._after
        if not event.startswith(before) or not event.endswith(after):
            return False
        return _plain(event[len(before) : -len(after)])

    def fits_read(self, data: bytes) -> bool:
        """Whether *data* is one chunk with one such event, from its size line to its end."""
        start = data.find(b"\r\n", 0, 10) + 2
        opening, closing = self._opening, self._closing
        return (
            data.startswith(opening, start)
            and data.endswith(closing)
            and data[: start - 2] == b"%x" % (len(data) - start - 2)
            and _plain(data[start + len(opening) : -len(closing)])
        )


def _plain(text: bytes) -> bool:
    return bool(text) and b'"' not in text and b"\\" not in text and b"\n" not in text
