"""Events that differ in their text alone need to be parsed once."""

from __future__ import annotations


class Pattern:
    """What stands around the text of an event that was parsed.

    An event with the same bytes around a plain string says the same but for the text. Parsing
    it as JSON would cost more than all else that is done with it.
    """

    def __init__(self, key: str) -> None:
        self._keys = (f'"{key}":"'.encode(), f'"{key}": "'.encode())
        self._before = b""
        self._after = b""

    def learn(self, event: bytes, text: str) -> None:
        """*event* was parsed, and holds *text* under the key."""
        for key in self._keys:
            start = event.find(key) + len(key)
            end = start + len(text.encode())
            if event.count(key) == 1 and event[start:end] == text.encode() and _plain(text):
                self._before, self._after = event[:start], event[end:]

    def fits(self, event: bytes) -> bool:
        """Whether *event* says what the one before said, with some other text."""
        before, after = self._before, self._after
        if not before or not event.startswith(before) or not event.endswith(after):
            return False
        text = event[len(before) : -len(after)]
        return bool(text) and b'"' not in text and b"\\" not in text


def _plain(text: str) -> bool:
    return text.isprintable() and '"' not in text and "\\" not in text
