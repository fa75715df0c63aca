"""Server-sent events out of a byte stream."""

from __future__ import annotations


class EventStream:
    """Collects the data of each event; an event is over at its empty line."""

    def __init__(self) -> None:
        self._pending = b""

    @property
    def between_events(self) -> bool:
        """Whether the next byte begins an event."""
        return not self._pending

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that *data* completes."""
        text = self._pending + data
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        *events, self._pending = text.split(b"\n\n")
        return [found for found in map(_data, events) if found is not None]

    def close(self) -> list[bytes]:
        """The data of an event that was cut before its empty line; servers forget it."""
        found = _data(self._pending.strip())
        self._pending = b""
        return [] if found is None else [found]


def _data(event: bytes) -> bytes | None:
    lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
