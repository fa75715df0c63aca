"""Server-sent events out of a byte stream."""

from __future__ import annotations


class EventStream:
    """Collects the data of each event; an event is over at its empty line."""

    def __init__(self) -> None:
        self._pending: list[bytes] = []

    @property
    def between_events(self) -> bool:
        """Whether the next byte begins an event."""
        return not self._pending

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that *data* completes."""
        if self._pending and b"\n" not in data and b"\r" not in data:
            self._pending.append(data)  # joined once: a line may have megabytes
            return []
        text = b"".join(self._pending) + data
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        *events, rest = text.split(b"\n\n")
        self._pending = [rest] if rest else []
        return [found for found in map(_data, events) if found is not None]

    def close(self) -> list[bytes]:
        """The data of an event that was cut before its empty line; servers forget it."""
        found = _data(b"".join(self._pending).strip())
        self._pending = []
        return [] if found is None else [found]


def _data(event: bytes) -> bytes | None:
    lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
